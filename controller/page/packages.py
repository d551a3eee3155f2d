"""The packages of a station, and what of them is in quarantine, why, and how that ends. Pure rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.model.status_document import PackageRow
from controller.page.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A version that failed in a deployment. `wanted`: the desired state names it, so a retry lifts its quarantine."""

    deployment: str
    package: str
    version: str
    at: str
    reason: str
    wanted: bool


class PackageLine(NamedTuple):
    """A package, and whether exactly this artefact is in quarantine somewhere."""

    package: PackageRow
    quarantined: bool


def quarantine(snapshot: Snapshot) -> tuple[Quarantined, ...]:
    """Return what is in quarantine: in the order of deployments, the newest first."""
    rows = snapshot.status["deployments"] if snapshot.status else ()
    return tuple(
        Quarantined(
            row["name"], each["package"], each["version"], each["at"], each["reason"],
            (each["package"], each["version"]) == (row["package"], row["target_version"]),
        )
        for row in rows
        for each in reversed(snapshot.details.get(row["name"], {}).get("quarantine") or ())
    )  # fmt: skip


def packages(snapshot: Snapshot) -> tuple[PackageLine, ...]:
    """Return the packages, those that cannot be used first."""
    digests = {each["digest"] for row in snapshot.details.values() for each in row.get("quarantine") or ()}
    found = snapshot.status["packages"] if snapshot.status else ()
    lines = (PackageLine(each, each["digest"] in digests) for each in found)
    return tuple(sorted(lines, key=lambda each: each.package["state"] != "invalid"))
