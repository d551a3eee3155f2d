"""The registry's content, derived from what the zips hold and what is installed (so that a lost one can be rebuilt)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.errors import Code
from controller.model.objects import ObjectRef
from controller.model.observed import Failure
from controller.model.package import Installation, PackageRecord, PackageRef


def registry_rows(
    zips: Iterable[PackageRecord],
    installed: Mapping[PackageRef, Installation],
    failures: Mapping[ObjectRef, Failure],
) -> tuple[PackageRecord, ...]:
    """Return one record for each zip and for each installed package whose zip is gone."""
    records = [
        _judged(record, installed.get(record.ref), failures.get(ObjectRef("package", record.ref))) for record in zips
    ]
    covered = {record.ref for record in records if record.state == "installed"}
    return (*records, *(_of_installation(each) for ref, each in installed.items() if ref not in covered))


def _judged(record: PackageRecord, installation: Installation | None, failure: Failure | None) -> PackageRecord:
    if installation is not None and installation.receipt.digest == record.digest:
        return replace(record, state="installed", error_code=None, reason="")
    if installation is not None:
        reason = (
            f"{record.ref} is installed from another zip: {installation.receipt.digest}; this one is {record.digest}; "
            "give the new package a new version, or uninstall the old one first"
        )
        return replace(record, state="invalid", error_code=int(Code.invalid_zip), reason=reason)
    own = failure.of(record.digest) if failure is not None else None
    if own is not None and own.code is not None:
        return replace(record, state="invalid", error_code=own.code, reason=own.message)
    if record.verdict is None or record.verdict.digest != record.digest:
        return record
    if record.verdict.code is None:
        return replace(record, state="validated")
    return replace(record, state="invalid", error_code=record.verdict.code, reason=record.verdict.reason)


def _of_installation(installation: Installation) -> PackageRecord:
    receipt = installation.receipt
    return PackageRecord(
        receipt.name, receipt.version, receipt.digest, "installed", supported_pids=receipt.supported_pids
    )  # fmt: skip
