"""The zips of a store as packages that could be installed: what each holds, read again only where it has changed.

A registry row is that of the zip whose size, mtime and inode it has. All three can be put back (`cp -p` over a zip),
the time of change (ctime) cannot: so a row counts only for a zip that was changed before the registry was written, or
that this process itself has read since. No fourth number: earlier releases compare exactly these three.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from controller.errors import Code, PackageError, StoreError
from controller.model.package import PackageRecord, Verdict
from controller.reconciler.ports import Packages
from controller.store.layout import StoreLayout


class ZipFolder:
    """Surveys `algorithms/zips`, and remembers what is known of each content by its digest.

    A verdict survives in the registry, but for those that depend on what is here (2003): each process comes to them
    anew.
    """

    def __init__(self, layout: StoreLayout, packages: Packages) -> None:
        self._folder = layout.zips
        self._packages = packages
        self._seen: dict[str, tuple[int, str]] = {}  # of each zip: its ctime in ns, and the digest that it had then
        self._refused: set[str] = set()  # in this process, so under the limits in force
        self._verdicts: dict[str, Verdict] = {}
        self._judged: set[str] = set()  # the digests that were looked at in this process
        self._installed: set[str] = set()  # the digests that need no look: that they can be installed is known
        self._remembers = False
        self.unchecked: tuple[tuple[Path, str], ...] = ()
        """The zips without a verdict that are not installed either, with their digests, as of the last survey."""

    def survey(self, known: Iterable[PackageRecord], known_since: int) -> tuple[PackageRecord, ...]:
        """Return a record for each zip; one that has not changed since it became known is not read again.

        Nor is one that was refused, as long as the limits are the same. `known_since` is when `known` was written, in
        ns of the disk's clock. Raises StoreError.
        """
        rows = tuple(known)
        if not self._remembers:
            self._remember(rows)
        self._installed = {record.digest for record in rows if record.state == "installed"}
        by_zip = {record.zip_name: record for record in rows if record.zip_name is not None}
        surveyed = [self._survey(path, by_zip.get(path.name), known_since) for path in self._paths()]
        records = tuple(record for record in surveyed if record is not None)
        self.unchecked = tuple(
            (self._folder / record.zip_name, record.digest)
            for record in records
            if record.zip_name and record.version and record.verdict is None and record.digest not in self._installed
        )
        return records

    def look_again(self) -> None:
        """Judge what was refused once more the next time: the limits or interpreters that refused it have changed."""
        self._refused.clear()
        self._verdicts = {digest: each for digest, each in self._verdicts.items() if each.code is None}
        self._judged.clear()

    def note(self, verdict: Verdict) -> None:
        """Remember what a full check came to."""
        self._verdicts[verdict.digest] = verdict

    def _remember(self, rows: Iterable[PackageRecord]) -> None:
        for record in rows:
            if record.verdict is not None and record.verdict.code != Code.incompatible_python:
                self._verdicts[record.digest] = record.verdict
        self._remembers = True

    def _paths(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.zip"))
        except OSError as error:
            raise StoreError(f"cannot read {self._folder}: {error.strerror}") from error

    def _survey(self, path: Path, known: PackageRecord | None, known_since: int) -> PackageRecord | None:
        try:
            stat = path.stat()
        except FileNotFoundError:  # taken away since the folder was listed
            return None
        fingerprint = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if known is not None and (known.fingerprint != fingerprint or not self._unchanged(known, stat, known_since)):
            known = None
        if known is not None and not known.version and path.name in self._refused:
            return known
        record = self._look(path, known if known is not None and known.version else None, fingerprint)
        self._seen[path.name] = stat.st_ctime_ns, record.digest
        return record

    def _unchanged(self, known: PackageRecord, stat: os.stat_result, known_since: int) -> bool:
        """Whether a zip with the fingerprint of a row is still what the row says."""
        seen = self._seen.get(known.zip_name or "")
        return (stat.st_ctime_ns, known.digest) == seen if seen else stat.st_ctime_ns < known_since

    def _look(self, path: Path, known: PackageRecord | None, fingerprint: tuple[int, int, int]) -> PackageRecord:
        """Return a zip's record: that of its row, or read anew; with what is known of its content."""
        self._refused.discard(path.name)
        try:
            if known is not None:
                record = _as_candidate(known)
            else:
                manifest, digest = self._packages.survey(path)
                record = PackageRecord(
                    manifest.name, manifest.version, digest, "discovered", None, "", manifest.supported_pids, path.name,
                    fingerprint,
                )  # fmt: skip
            return replace(record, verdict=self._verdict(path, record.digest))
        except PackageError as error:
            self._refused.add(path.name)
            return PackageRecord(
                path.name, "", "", "invalid", int(error.code), str(error), None, path.name, fingerprint
            )  # fmt: skip
        except StoreError as error:  # only this zip cannot be read; it is tried again each time
            return PackageRecord(path.name, "", "", "invalid", None, str(error), None, path.name, None)

    def _verdict(self, path: Path, digest: str) -> Verdict | None:
        """Return what is known of a content, after a cheap look where nobody looked yet."""
        if digest not in self._verdicts and digest not in self._judged and digest not in self._installed:
            self._judged.add(digest)
            if (found := self._packages.judge(path, digest)) is not None:
                self._verdicts[found.digest] = found
        return self._verdicts.get(digest)


def _as_candidate(known: PackageRecord) -> PackageRecord:
    """Return a registry row as what its zip is: whether it can be installed is found out anew, not remembered."""
    return replace(known, state="discovered", error_code=None, reason="", verdict=None)
