"""PIDs that no deployment has: kept ready while their mappings are there, repaired, given up, and taken over."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.actions import Preheat, Retire, Switch
from controller.model.objects import ProcessKey
from controller.model.observed import BrokenMapping, Observed
from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.unmanaged import serving_deployment
from controller.planning.needs import why_needed
from controller.planning.plan import plan
from tests.builders import SUPPORTED, active, deployment, installed, past, process, revision, running

REF, OTHER = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
PID = SUPPORTED[0]
KEY = ProcessKey("_unmanaged.screw", "screw", "1.0.0")
NOBODYS = revision(deployment("other", "9.9.9", SUPPORTED[1], package="other"))
NOW = Instant("boot", 100.0)


def planned(seen: Any, desired: Any = NOBODYS, **how: Any) -> list[Any]:
    """Return what is to be done about what these tests look at."""
    observed = Observed(**{"installed": installed(REF, OTHER), **seen})
    return [each for each in plan(desired, observed, NOW, **how).actions if isinstance(each, Preheat | Retire | Switch)]


def test_a_process_is_kept_for_as_long_as_the_mapping_is_there() -> None:
    mapped = {"active": active(REF, PID), "history": {PID: past(REF, None)}}
    [start] = planned(mapped)
    assert (start.process, start.smoke) == (KEY, False)
    ready = running(process(REF, name="_unmanaged.screw"))
    assert planned({**mapped, "processes": ready}) == []
    [end] = planned({"processes": ready})
    assert (type(end), end.process) == (Retire, KEY)
    assert planned(mapped, serve=False) == []


def test_a_process_that_a_command_is_about_to_need_is_not_ended() -> None:
    ready = running(process(REF, name="_unmanaged.screw"))
    assert planned({"processes": ready, "kept": frozenset({KEY})}) == []


def test_a_damaged_mapping_is_put_back_as_somebody_had_made_it() -> None:
    broken = {"active": {PID: BrokenMapping("torn")}, "history": {PID: past(REF, None)}}
    ready = running(process(REF, name="_unmanaged.screw"))
    [switch] = planned({**broken, "processes": ready})
    assert (switch.pid, switch.deployment, switch.target) == (PID, None, REF)
    start, later = planned(broken)
    assert (start.process, later.depends_on) == (KEY, (start.object,))
    assert planned({"active": {PID: BrokenMapping("torn")}}) == [], "nobody knows what it was"


@pytest.mark.parametrize(
    "seen",
    [
        {"active": active(REF, "Z9"), "history": {"Z9": past(REF, None)}},
        {"active": active(PackageRef("screw", "7.0.0"), PID)},
        {"active": active(REF, PID), "history": {PID: past(REF, "screw")}},
    ],
    ids=["not supported", "not installed", "a deployment's until now"],
)
def test_what_cannot_be_served_is_not(seen: Any) -> None:
    assert [each for each in planned(seen) if isinstance(each, Preheat)] == []


def test_a_deployment_that_names_the_pid_has_its_own_process_first_and_then_the_other_ends() -> None:
    desired = revision(deployment("line", "1.0.0", PID, package="screw"))
    mapped = {"active": active(REF, PID), "history": {PID: past(REF, None)}}
    theirs = process(REF, name="_unmanaged.screw")
    [start] = planned({**mapped, "processes": running(theirs)}, desired)
    assert start.process.deployment == "line"
    [end] = planned({**mapped, "processes": running(theirs, process(REF, name="line"))}, desired)
    assert (type(end), end.process) == (Retire, KEY)


def test_force_gives_up_what_nobody_declared_and_nothing_else() -> None:
    declared = Observed(installed=installed(REF), active=active(REF, SUPPORTED[1], PID))
    assert set(why_needed(REF, NOBODYS, declared)) == {f"it answers PID {PID}", f"it answers PID {SUPPORTED[1]}"}
    assert why_needed(REF, NOBODYS, declared, force=True) == (f"it answers PID {SUPPORTED[1]}",)
    warm = running(process(REF, name="_unmanaged.screw"))
    was = {PID: (*past(REF, None), *past(OTHER, None))}
    back = Observed(installed=installed(REF, OTHER), history=was, active=active(OTHER, PID), processes=warm)
    assert len(why_needed(REF, NOBODYS, back)) == 2
    assert why_needed(REF, NOBODYS, back, force=True) == ()


def test_timeouts_and_limits_are_those_of_the_policy() -> None:
    ordered = revision(defaults={"timeouts": {"call": "7s"}, "health": {"memory": {"max": "1GiB"}}})
    stands_in = serving_deployment(ordered, "_unmanaged.screw")
    assert stands_in is not None
    assert stands_in.spec.timeouts.call == 7.0
    assert stands_in.spec.health.memory is not None
    assert serving_deployment(ordered, "screw") is None
