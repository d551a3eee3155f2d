"""Retention keeps the newest, and everything that something depends on or may go back to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.model.actions import RemovePackage, RemoveZip
from controller.model.observed import Observed
from controller.model.package import Installation, PackageRef
from controller.model.rollout import Hold, Quarantine, RolloutRecord
from controller.planning.retention import exceeds, surplus
from tests.builders import active, deployment, installed, past, process, revision, running, zipped

VERSIONS = [PackageRef("screw", f"1.{number}.0") for number in range(6)]


def observed(**fields: Any) -> Observed:
    """Six versions, the last the newest, with the last one active on A01."""
    found = {
        ref: Installation(replace(each.receipt, installed_at=f"2026-01-0{number + 1}T00:00:00Z"), each.folder)
        for number, (ref, each) in enumerate(installed(*VERSIONS).items())
    }
    return Observed(installed=found, **{"active": active(VERSIONS[5], "A01"), **fields})


def removed(seen: Observed, **policy: Any) -> list[str]:
    wanted = revision(deployment("screw", "1.5.0", "A01"), **policy)
    return [action.package.version for action in surplus(wanted, seen) if isinstance(action, RemovePackage)]


def test_the_newest_versions_are_kept() -> None:
    assert removed(observed()) == ["1.2.0", "1.1.0", "1.0.0"]


def test_what_something_depends_on_is_kept_however_old() -> None:
    needs: dict[str, Any] = {
        "active": {**active(VERSIONS[5], "A01"), **active(VERSIONS[0], "Z1")},
        "processes": running(process(VERSIONS[1])),
        "holds": {"A01": Hold("A01", VERSIONS[2], "root", "", "")},
    }
    assert removed(observed(**needs)) == []
    quarantine = RolloutRecord(None, (Quarantine(VERSIONS[0], "d", "", ""),))
    assert removed(observed(records={"screw": quarantine})) == ["1.2.0", "1.1.0"]


def test_a_pids_way_back_is_kept() -> None:
    history = {"A01": (*past(VERSIONS[0]), *past(VERSIONS[1]), *past(VERSIONS[5]))}

    assert removed(observed(history=history)) == ["1.2.0", "1.0.0"]


def test_a_pinned_version_is_kept() -> None:
    wanted = revision(deployment(version="1.5.0", pids=("A01", "A02"), pinned={"A02": "1.0.0"}))

    assert [str(action.object) for action in surplus(wanted, observed())] == [
        "package/screw@1.2.0",
        "package/screw@1.1.0",
    ]


def test_a_deployment_may_ask_for_more_than_the_station() -> None:
    wanted = revision(deployment(version="1.5.0", pids=("A01",), retention={"versions": 5}))

    assert [str(action.object) for action in surplus(wanted, observed())] == ["package/screw@1.0.0"]


def test_zips_are_kept_unless_the_policy_limits_them_and_never_those_desired() -> None:
    zips = tuple(
        replace(record, fingerprint=(1, number, 1)) for number, record in enumerate(zipped(*reversed(VERSIONS)))
    )  # the desired 1.5.0 has the oldest zip
    wanted = revision(deployment("screw", "1.5.0", "A01"))
    limited = revision(deployment("screw", "1.5.0", "A01"), retention={"zips": 2})

    assert not any(isinstance(action, RemoveZip) for action in surplus(wanted, observed(zips=zips)))
    names = [action.zip_name for action in surplus(limited, observed(zips=zips)) if isinstance(action, RemoveZip)]
    assert names == ["screw-1.2.0.zip", "screw-1.3.0.zip", "screw-1.4.0.zip"]


def test_ways_back_are_read_only_where_there_is_too_much() -> None:
    wanted = revision(deployment("screw", "1.5.0", "A01"))

    assert exceeds(wanted, observed())
    assert not exceeds(wanted, Observed(installed=installed(*VERSIONS[:3])))
