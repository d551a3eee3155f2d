"""Which counts may still be asked for: those of every version that answers, is wanted, or may be gone back to."""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import ActiveMapping, BrokenMapping, Observed
from controller.model.package import PackageRef
from controller.model.rollout import Hold, RolloutRecord
from controller.model.tally import Tally
from controller.rollouts.counted import no_longer_counted
from tests.builders import deployment, revision, rollout

ANCIENT, OLD, STABLE, TARGET, PINNED, HELD = (PackageRef("screw", f"1.{minor}.0") for minor in range(6))
EVERY = (ANCIENT, OLD, STABLE, TARGET, PINNED, HELD)
DESIRED = revision(deployment("line", TARGET.version, "A01", "A02", "A03", pinned={"A03": PINNED.version}))
ROLLOUT = rollout(DESIRED.deployments[0], {"A01": STABLE, "A02": STABLE}, back={"A02": OLD})


def counted(*pids: str) -> Observed:
    """Every version was once active on every one of the PIDs; now none is."""
    return Observed(tallies={(pid, ref): Tally(calls=1) for pid in pids for ref in EVERY})


def kept(observed: Observed, pid: str, desired=DESIRED) -> set[PackageRef]:
    gone = no_longer_counted(desired, observed)
    assert gone <= observed.tallies.keys()
    return {ref for each, ref in observed.tallies.keys() - gone if each == pid}


def test_without_counts_there_is_nothing_to_forget():
    assert no_longer_counted(DESIRED, Observed()) == frozenset()


def test_what_answers_and_what_is_wanted_is_kept():
    active = {"A01": ActiveMapping(OLD.name, OLD.version, ""), "A02": BrokenMapping("torn")}
    observed = replace(counted("A01", "A02", "A03", "Z09"), active=active)
    assert kept(observed, "A01") == {OLD, TARGET}
    assert kept(observed, "A02") == {TARGET}
    assert kept(observed, "A03") == {PINNED}
    assert kept(observed, "Z09") == set(), "nobody's PID any more"


def test_what_a_hold_names_is_kept():
    hold = Hold("A01", HELD, "alice", "", "scratches")
    assert kept(replace(counted("A01"), holds={"A01": hold}), "A01") == {HELD, TARGET}


def test_what_a_remembered_rollout_may_ask_for_is_kept_also_when_something_else_is_desired():
    observed = replace(counted("A01", "A02"), records={"line": RolloutRecord(ROLLOUT), "gone": RolloutRecord()})
    desired = revision(deployment("line", HELD.version))
    assert kept(observed, "A01", desired) == {STABLE, TARGET, HELD}
    assert kept(observed, "A02", desired) == {OLD, STABLE, TARGET, HELD}
