"""The report of a package's checks, made of its examination; and which zip of a store holds a package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import Code, PackageError
from controller.model.package import PackageRef
from controller.station.commands.packages import ErrorRow
from controller.station.commands.validating import CheckRow, PackageReport, Validate, ValidateStored
from controller.station.port import Report
from controller.store.store import Store

if TYPE_CHECKING:
    from controller.packages.examination import Examination


def validate(store: Store, now: Callable[[], str], command: Validate | ValidateStored, report: Report) -> PackageReport:
    """Check a zip beside what a store holds. Blocks. `now` returns an RFC 3339 timestamp.

    Raises:
        PackageError: 2001, there is no such zip in the store.
        StoreError: the disk failed.
    """
    from controller.packages.install import Installer  # noqa: PLC0415 - 2 MB that few daemons need

    path = command.zip_path if isinstance(command, Validate) else _stored(store, command)
    found = Installer.of(store, now).trial(path, report, beside=True, prove=command.prove)
    return report_of(path.name, found)


def report_of(zip_name: str, found: Examination) -> PackageReport:
    """Return the report of an examination."""
    rows = tuple(
        CheckRow(each.check.name, each.check.what, each.state, _refusal(each.error), each.because)
        for each in found.results.values()
    )
    manifest, first = found.manifest, next(iter(found.errors), None)
    return PackageReport(
        zip_name, first is None, manifest.name if manifest else None, manifest.version if manifest else None,
        found.digest or None, _refusal(first), rows, tuple(found.warnings),
    )  # fmt: skip


def _refusal(error: PackageError | None) -> ErrorRow | None:
    return ErrorRow(**error.to_document()) if error is not None else None


def _stored(store: Store, command: ValidateStored) -> Path:
    package = PackageRef(command.name or "", command.version or "")
    held = (each.zip_name for each in store.registry.read() or () if each.ref == package and each.zip_name)
    name = command.zip or next(held, None)
    if name is None or not (path := store.layout.zips / name).is_file():
        what = (
            f"no zip in algorithms/zips holds {package}" if name is None else f"there is no {name} in algorithms/zips"
        )
        raise PackageError(Code.invalid_zip, what, next_step="see `pvctl package list`")
    return path
