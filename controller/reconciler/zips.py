"""The zips of a store as packages that could be installed: what each holds, read again only where it has changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from controller.errors import PackageError, StoreError
from controller.model.package import PackageRecord
from controller.reconciler.ports import Packages
from controller.store.layout import StoreLayout


class ZipFolder:
    """Surveys `algorithms/zips`."""

    def __init__(self, layout: StoreLayout, packages: Packages) -> None:
        self._folder = layout.zips
        self._packages = packages
        self._refused: dict[str, tuple[int, ...]] = {}  # in this process, so under the limits in force

    def survey(self, known: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
        """Return a record for each zip; one that has not changed since it became known is not read again.

        Nor is one that was refused, as long as the limits are the same. Raises StoreError.
        """
        by_zip = {record.zip_name: record for record in known if record.zip_name is not None}
        surveyed = (self._survey(path, by_zip.get(path.name)) for path in self._paths())
        return tuple(record for record in surveyed if record is not None)

    def look_again(self) -> None:
        """Read what was refused once more the next time: the limits that refused it have changed."""
        self._refused.clear()

    def _paths(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.zip"))
        except OSError as error:
            raise StoreError(f"cannot read {self._folder}: {error.strerror}") from error

    def _survey(self, path: Path, known: PackageRecord | None) -> PackageRecord | None:
        try:
            stat = path.stat()
        except FileNotFoundError:  # taken away since the folder was listed
            return None
        fingerprint = (stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)  # `cp -p` keeps all but the last
        if known is not None and known.fingerprint == fingerprint:
            if known.version:
                return _as_candidate(known)
            if self._refused.get(path.name) == fingerprint:
                return known
        try:
            manifest, digest = self._packages.survey(path)
        except PackageError as error:
            self._refused[path.name] = fingerprint
            return PackageRecord(
                path.name, "", "", "invalid", int(error.code), str(error), None, path.name, fingerprint
            )  # fmt: skip
        except StoreError as error:  # only this zip cannot be read; it is tried again each time
            return PackageRecord(path.name, "", "", "invalid", None, str(error), None, path.name, None)
        return PackageRecord(
            manifest.name, manifest.version, digest, "discovered", None, "", manifest.supported_pids, path.name,
            fingerprint,
        )  # fmt: skip


def _as_candidate(known: PackageRecord) -> PackageRecord:
    """Return a registry row as what its zip is: whether it can be installed is found out anew, not remembered."""
    if known.state == "discovered":
        return known
    return PackageRecord(
        known.name, known.version, known.digest, "discovered", None, "", known.supported_pids, known.zip_name,
        known.fingerprint,
    )  # fmt: skip
