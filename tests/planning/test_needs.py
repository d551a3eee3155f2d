"""Who needs a version: retention and uninstall give one answer, with every reason."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.actions import RemovePackage
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.model.rollout import Hold, Quarantine, RolloutRecord
from controller.planning.needs import why_needed
from controller.planning.retention import surplus
from tests.builders import active, deployment, past, process, revision, rollout, running
from tests.planning.test_retention import VERSIONS, observed

OLDEST, OLDER, NEWEST = VERSIONS[0], VERSIONS[1], VERSIONS[5]
WANTED = revision(deployment("screw", "1.5.0", "A01"))


def record(target: PackageRef = NEWEST, **more: Any) -> RolloutRecord:
    [of] = revision(deployment("screw", target.version, "A01")).deployments
    return RolloutRecord(rollout(of, **{"stable": {"A01": OLDEST}, **more}))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"active": {**active(NEWEST, "A01"), **active(OLDEST, "Z1")}}, "it answers PID Z1"),
        ({"processes": running(process(OLDEST))}, "process screw/screw@1.0.0-0 runs it"),
        ({"holds": {"A01": Hold("A01", OLDEST, "root", "", "")}}, "PID A01 is held on it"),
        ({"records": {"screw": record()}}, "the rollout of screw may go back to it"),
        ({"records": {"screw": record(stable={}, back={"A01": OLDEST})}}, "the rollout of screw may go back to it"),
        ({"records": {"screw": record(target=OLDEST, stable={})}}, "the rollout of screw is of it"),
        ({"history": {"A01": (*past(OLDEST), *past(NEWEST))}}, "it is the way back of PID A01"),
    ],
)
def test_what_retention_keeps_for_a_need_is_not_uninstalled_and_the_reason_is_said(seen: Any, reason: str) -> None:
    station = observed(**seen)

    removed = [each.package for each in surplus(WANTED, station) if isinstance(each, RemovePackage)]

    assert OLDEST not in removed
    assert why_needed(OLDEST, WANTED, station) == (reason,)


def test_a_completed_rollout_needs_what_it_came_from_no_more() -> None:
    station = observed(records={"screw": record(state="completed")})

    assert why_needed(OLDEST, WANTED, station) == ()


def test_what_retention_removes_may_be_uninstalled() -> None:
    station = observed(history={"A01": (*past(OLDER), *past(NEWEST))})

    removed = [each.package for each in surplus(WANTED, station) if isinstance(each, RemovePackage)]

    assert removed
    assert all(why_needed(package, WANTED, station) == () for package in removed)


def test_what_is_desired_or_pinned_is_needed() -> None:
    pinned = revision(deployment(version="1.5.0", pids=("A01", "A02"), pinned={"A02": "1.0.0"}))

    assert why_needed(NEWEST, pinned, Observed()) == ("deployment screw desires it",)
    assert why_needed(OLDEST, pinned, Observed()) == ("deployment screw pins A02 to it",)
    assert why_needed(OLDEST, None, Observed()) == ()


def test_a_quarantine_keeps_a_version_as_evidence_but_an_operator_may_remove_it() -> None:
    quarantined = RolloutRecord(None, (Quarantine(OLDEST, "d", "", "it failed"),))
    station = observed(records={"screw": quarantined})

    removed = [each.package for each in surplus(WANTED, station) if isinstance(each, RemovePackage)]

    assert OLDEST not in removed
    assert why_needed(OLDEST, WANTED, station) == ()
