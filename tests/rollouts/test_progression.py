"""How rollouts begin, give way to another target, are judged, and take PIDs back: through whole plans, pass by pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model.actions import Preheat, Switch
from controller.model.desired import Revision
from controller.model.objects import ObjectRef
from controller.model.observed import RecentCalls
from controller.model.package import PackageRef
from controller.model.rollout import Hold, Quarantine, RolloutRecord
from controller.planning.plan import plan
from tests.builders import active, past, revision
from tests.rollouts.line import OLDER, PIDS, A, B, C, Line, line_of

CANARY = {"canary": {"order": ["A04"], "steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}],
                     "analysis": {"minSamples": 10}}}  # fmt: skip


@pytest.fixture
def line() -> Line:
    """A line on A with B installed."""
    line = Line(A, B, zips=(A, B, C))
    line.serving(A, *PIDS)
    return line


def canary(ref: PackageRef = B, **spec: Any) -> Revision:
    return revision(line_of(ref, **{"strategy": CANARY, **spec}))


def start(line: Line) -> None:
    """Bring the canary to its first pause, with enough good calls."""
    line.go(canary())
    line.calls("A04", 60)
    line.go(canary())
    assert (line.on, line.rollout.state) == ("A A A B", "waiting")


# --- the way through


def test_the_cohorts_grow_from_step_to_step_and_every_decision_is_noted(line: Line) -> None:
    seen = []
    for _ in range(3):
        line.go(canary())
        seen.append(line.on)
        line.calls("A04", 60)
        line.go(canary())
        if line.rollout.state == "waiting":
            line.promote()

    assert seen == ["A A A B", "B A A B", "B B B B"]
    assert line.rollout.state == "promoted"
    assert line.notes[0] == "rollout of screw@1.1.0 begins: setWeight 25"
    assert line.notes[-1] == "rollout of screw@1.1.0: promoted on all PIDs"


def test_samples_are_counted_anew_in_every_step(line: Line) -> None:
    start(line)
    line.promote()
    line.go(canary())
    assert line.on == "B A A B"
    line.promote()

    line.go(canary())

    assert line.on == "B B B B", "an operator's promotion needs no samples"
    assert line.rollout.state == "sampling"
    assert "0 calls in this step, 10 are needed" in line.plan.waiting[0].reason


def test_calls_of_the_initial_delay_do_not_count(line: Line) -> None:
    strategy = {"canary": {"steps": [{"setWeight": 25}], "analysis": {"minSamples": 10, "initialDelay": "60s"}}}
    wanted = canary(strategy=strategy, pids=list(PIDS))
    line.go(wanted)
    line.calls("A01", 50, errors=50)
    line.go(wanted, 59)
    assert line.rollout.state == "sampling"
    assert line.rollout.analysis.baseline is None
    line.go(wanted, 1)
    line.calls("A01", 60)

    line.go(wanted)

    assert line.rollout.weight == 100


def test_a_plan_names_the_pids_of_every_step_also_before_the_package_is_installed(line: Line) -> None:
    planned = plan(canary(C), line.observed, line.now())

    assert [(step.step, step.pids) for step in planned.steps] == [
        ("setWeight 25", ("A04",)),
        ("setWeight 50", ("A04", "A01")),
        ("setWeight 100", ("A04", "A01", "A02", "A03")),
    ]
    assert [action.pid for action in planned.actions if isinstance(action, Switch)] == ["A04"]
    assert planned.records["line"].rollout is None, "it begins when the package is there"


def test_the_next_moment_that_matters_is_waited_for(line: Line) -> None:
    strategy = {"canary": {"steps": [{"setWeight": 25}, {"pause": {"duration": "10m"}}]}, "minHealthyTime": "30s"}
    line.go(canary(strategy=strategy), 5)
    assert [(str(wait.object), wait.until) for wait in line.plan.waiting] == [("rollout/line", 35.0)]
    line.go(canary(strategy=strategy), 30)
    assert [wait.until for wait in line.plan.waiting] == [635.0]
    line.go(canary(strategy=strategy), 600)
    assert [wait.until for wait in line.plan.waiting] == [float("inf")]
    line.calls("A01", 60)
    line.go(canary(strategy=strategy))
    line.go(canary(strategy=strategy), 30)
    line.calls("A01", 60)
    line.go(canary(strategy=strategy))

    assert line.rollout.state == "promoted"
    assert line.plan.waiting == (), "the rollback window is nothing to wait for"


def test_without_calls_passes_change_nothing(line: Line) -> None:
    start(line)
    before = line.record
    for seconds in range(100):
        planned = line.go(canary(), seconds)
        assert planned.empty
        assert planned.records == {"line": before}


# --- a failing version


def test_a_bad_canary_is_rolled_back_and_never_tried_again_by_itself(line: Line) -> None:
    start(line)
    line.promote()
    line.go(canary())
    line.calls("A01", 40, errors=40)
    line.go(canary())

    assert (line.on, line.rollout.state) == ("A A A A", "reverted")
    assert [each.package for each in line.record.quarantine] == [B]
    assert "error rate" in line.record.quarantine[0].reason
    assert line.rollout.analysis.verdict is not None
    assert line.rollout.analysis.verdict.outcome == "fail"
    [blocked] = line.plan.blocked
    assert "quarantine" in blocked.reason
    assert "pvctl retry line" in blocked.next_step
    notes = len(line.notes)
    for number in range(1000):
        line.calls(PIDS[number % 4], 5, errors=number % 6)
        assert line.go(canary(), 60).empty
    assert (line.on, len(line.notes)) == ("A A A A", notes)


def test_yaml_to_another_version_and_back_lifts_no_quarantine(line: Line) -> None:
    start(line)
    line.calls("A04", 200, errors=200)
    line.go(canary())
    assert line.on == "A A A A"

    line.go(canary(A))
    assert line.record.rollout is None
    assert not line.plan.blocked
    line.go(canary(B))

    assert line.on == "A A A A"
    assert line.plan.empty
    assert "quarantine" in line.plan.blocked[0].reason


def test_a_mapping_edited_to_a_quarantined_version_is_put_back(line: Line) -> None:
    line.see(records={"line": RolloutRecord(None, (Quarantine(B, f"sha256:{B}", "", "bad"),))})
    line.see(active={**line.observed.active, **active(B, "A02")})

    line.go(canary())

    assert line.on == "A A A A"


def test_a_retry_tries_once_more_at_once_whatever_failed_before(line: Line) -> None:
    line.step(canary())
    line.fail(B)
    line.go(canary())
    assert (line.on, line.rollout.state) == ("A A A A", "reverted")

    line.seconds += 10
    line.see(records={"line": line.record.without_quarantine(B)})
    line.go(canary())

    assert (line.on, line.rollout.state) == ("A A A B", "waiting")
    assert line.rollout.began.seconds == 10


def test_a_new_artefact_of_the_same_version_is_tried(line: Line) -> None:
    start(line)
    line.calls("A04", 200, errors=200)
    line.go(canary())
    line.see(processes={key: each for key, each in line.observed.processes.items() if key.ref != B})
    line.install(B, "sha256:mended")

    line.go(canary())

    assert line.on == "A A A B"


def test_the_first_start_that_fails_is_held_against_nobody(line: Line) -> None:
    line.step(canary())
    line.fail(B, attempts=1)
    line.go(canary())
    assert (line.on, line.rollout.state, line.record.quarantine) == ("A A A A", "stepping", ())
    assert "it does not start" in line.plan.blocked[0].reason

    line.fail(B, attempts=2)
    line.go(canary())

    assert line.rollout.state == "reverted"
    assert "never became ready: it does not start" in line.record.quarantine[0].reason


@pytest.mark.parametrize("kind", [{}, {"breaker": True, "crashed": True}])
def test_never_ready_and_an_open_breaker_fail_at_once(line: Line, kind: dict[str, bool]) -> None:
    line.step(canary())
    line.fail(B, **kind)

    line.go(canary())

    assert line.rollout.state == "reverted"
    assert not line.rollout.emergency, "no PID is on it"


@pytest.mark.parametrize("kind", [{"crashed": True}, {"blameless": True}])
def test_one_crash_and_a_full_disk_take_nothing_back(line: Line, kind: dict[str, bool]) -> None:
    start(line)
    line.fail(B, **kind)

    line.go(canary())

    assert line.rollout.state == "waiting"
    assert not line.record.quarantine


def test_in_an_emergency_the_mapping_does_not_wait_for_a_process(line: Line) -> None:
    wanted = revision(line_of(B))
    line.go(wanted)
    assert line.rollout.state == "promoted"
    line.see(processes={})
    line.fail(B, breaker=True, crashed=True)

    first = plan(wanted, line.observed, line.now())
    switches = [action for action in first.actions if isinstance(action, Switch)]

    assert {action.target for action in switches} == {A}
    assert all(action.depends_on == (ObjectRef("rollout", "line"),) for action in switches)


def test_within_the_rollback_window_a_promoted_version_goes_back_and_later_it_is_only_told(line: Line) -> None:
    wanted = revision(line_of(B, rollbackWindow="1h"))
    line.go(wanted)
    early = Line(A, B)
    early.observed = line.observed
    early.calls("A02", 100, errors=100)
    early.go(wanted, 3599)
    assert early.on == "A A A A"
    assert any(key.ref == A for key in line.observed.processes), "the way back is warm"

    line.go(wanted, 3600)
    assert line.rollout.state == "completed"
    assert not any(key.ref == A for key in line.observed.processes)
    line.calls("A02", 100, errors=100)
    line.go(wanted)

    assert line.on == "B B B B"
    assert not line.record.quarantine
    assert "too late to roll anything back" in line.plan.blocked[0].reason


def test_a_broken_way_back_gives_way_to_the_next_older_version() -> None:
    line = Line(OLDER, A, B)
    line.serving(OLDER, *PIDS)
    line.serving(A, *PIDS)
    line.go(revision(line_of(B)))
    line.see(processes={key: each for key, each in line.observed.processes.items() if key.ref == B})
    line.fail(A)
    line.calls("A01", 100, errors=100)

    line.go(revision(line_of(B)))

    assert (line.on, line.rollout.state) == ("o o o o", "reverted")


def test_with_no_way_back_at_all_what_runs_is_kept_and_that_is_said(line: Line) -> None:
    line.go(revision(line_of(B)))
    line.fail(A)
    line.calls("A01", 100, errors=100)

    line.go(revision(line_of(B)))

    assert (line.on, line.rollout.state) == ("B B B B", "stopped")
    assert "no older version to go back to" in line.plan.blocked[0].reason
    assert line.go(revision(line_of(B)), 1000).empty


def test_without_auto_revert_what_runs_is_kept_also_against_edits(line: Line) -> None:
    wanted = canary(strategy={**CANARY, "autoRevert": False})
    line.go(wanted)
    line.calls("A04", 100, errors=100)
    line.go(wanted)
    assert (line.on, line.rollout.state) == ("A A A B", "stopped")
    line.see(active={pid: each for pid, each in line.observed.active.items() if pid != "A02"})

    line.go(wanted)

    assert line.on == "A A A B"


# --- the first deployment


def test_a_first_deployment_that_fails_is_tried_again_and_not_quarantined() -> None:
    line = Line(zips=(A,))
    line.install(A)
    line.fail(A)

    planned = line.go(revision(line_of(A)))

    assert line.record == RolloutRecord()
    assert [str(wait.object) for wait in planned.waiting] == ["process/line/screw@1.0.0-0"]
    line.see(failures={})
    line.go(revision(line_of(A)))
    assert line.on == "A A A A"


def test_a_first_version_is_called_so() -> None:
    line = Line(A)
    first = plan(revision(line_of(A)), line.observed, line.now())
    reasons = {action.pid: action.reason for action in first.actions if isinstance(action, Switch)}
    assert reasons == {pid: f"first version of {pid}" for pid in PIDS}

    line.see(history={"A01": past(A)})  # its mapping was removed by hand
    again = plan(revision(line_of(A)), line.observed, line.now())
    reasons = {action.pid: action.reason for action in again.actions if isinstance(action, Switch)}
    assert reasons["A01"] == "deployment line serves it and it has no active version"

    partly = Line(A, B)
    partly.serving(A, "A01", "A02")
    partly.go(canary())
    assert partly.on == "A A B B"
    assert partly.notes[0].endswith("; first version of A04, A03, so at once")


def test_a_pid_that_had_nothing_goes_to_what_the_others_had(line: Line) -> None:
    partly = Line(A, B)
    partly.serving(A, "A01", "A02")
    partly.go(canary())
    partly.calls("A04", 100, errors=100)

    partly.go(canary())

    assert partly.on == "A A A A"


# --- another target, other PIDs


def test_a_rollout_whose_pids_have_all_left_gives_way_to_one_of_the_new_pids(line: Line) -> None:
    start(line)
    line.serving(A, "B01", "B02", name="cell")

    line.go(canary(pids=["B01", "B02"], strategy={"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}))

    assert line.active == {"B01": B.version, "B02": A.version}
    assert line.rollout.strategy.sequence == ("B01", "B02")


def test_another_target_under_way_starts_again_from_stable(line: Line) -> None:
    start(line)
    line.promote()
    line.go(canary())
    assert line.on == "B A A B"

    line.install(C)
    line.go(canary(C))

    assert line.on == "A A A C"
    assert line.rollout.stable == dict.fromkeys(PIDS, A)


def test_the_stable_version_as_target_cancels(line: Line) -> None:
    start(line)

    line.go(canary(A))

    assert line.on == "A A A A"
    assert line.record.rollout is None
    assert line.notes[-1] == "the rollout of screw@1.1.0 is over: it is not wanted any more"
    assert not line.record.quarantine


def test_while_another_target_cannot_be_had_nothing_moves_but_a_failing_canary_goes_back(line: Line) -> None:
    start(line)
    line.promote()
    missing = canary(PackageRef("screw", "9.9.9"))

    line.go(missing, 100_000)
    assert (line.on, line.rollout.target) == ("A A A B", B)
    assert "9.9.9" in line.rollout.suspended_because
    line.calls("A04", 200, errors=200)
    line.go(missing)

    assert line.on == "A A A A"


def test_a_package_that_cannot_be_had_starts_no_rollout(line: Line) -> None:
    missing = canary(PackageRef("screw", "9.9.9"))

    for _ in range(5):
        planned = line.go(missing, 1000)
        assert planned.empty

    assert line.record == RolloutRecord()
    assert "no zip in algorithms/zips" in planned.blocked[0].reason
    assert line.on == "A A A A"


def test_a_pid_that_joins_a_rollout_gets_stable_first_and_one_that_leaves_is_gone(line: Line) -> None:
    start(line)

    line.go(canary(pids=[*PIDS[1:], "A09"]))
    assert line.active["A09"] == A.version

    line.calls("A04", 60)
    for _ in range(3):
        line.promote() if line.rollout.state in {"waiting", "sampling"} else None
        line.go(canary(pids=[*PIDS[1:], "A09"]))
    assert line.rollout.state == "promoted"
    assert line.active["A09"] == B.version


def test_a_pid_from_another_deployment_joins_a_steady_one_in_place() -> None:
    line = Line(A, B)
    line.serving(B, "A01", "A02")
    line.serving(A, "A03", name="cell")

    line.go(revision(line_of(B, pids=("A01", "A02", "A03"), strategy=CANARY | {"canary": {}})))

    assert line.active == {"A01": "1.1.0", "A02": "1.1.0", "A03": "1.1.0"}
    assert line.record.rollout is None


def test_two_deployments_that_swap_pids_lose_nobody() -> None:
    weld = PackageRef("weld", "1.0.0")
    line = Line(A, weld)
    line.serving(A, "A01", "A02")
    line.serving(weld, "B01", "B02", name="cell")
    line.go(revision(line_of(A, pids=("A01", "A02")), line_of(weld, name="cell", pids=("B01", "B02"))))

    line.go(revision(line_of(A, pids=("A01", "B02")), line_of(weld, name="cell", pids=("B01", "A02"))))

    assert line.active == {"A01": "1.0.0", "A02": "1.0.0", "B01": "1.0.0", "B02": "1.0.0"}
    names = {pid: mapping.name for pid, mapping in line.observed.active.items()}  # type: ignore[union-attr]
    assert names == {"A01": "screw", "A02": "weld", "B01": "weld", "B02": "screw"}


def test_pinned_and_held_pids_stay_where_they_are(line: Line) -> None:
    line.see(holds={"A02": Hold("A02", A, "alice", "", "a test")})
    wanted = revision(line_of(B, pinned={"A01": "1.0.0"}))

    line.go(wanted)

    assert line.on == "A A B B"
    assert line.rollout.state == "promoted"
    assert line.rollout.strategy.sequence == ("A03", "A04")
    line.calls("A03", 100, errors=100)
    line.go(wanted)
    assert line.on == "A A A A"


def test_a_held_pid_follows_again_when_it_is_resumed(line: Line) -> None:
    line.see(holds={"A02": Hold("A02", A, "alice", "", "a test")})
    line.go(revision(line_of(B)))
    assert line.on == "B A B B"

    line.see(holds={})
    line.go(revision(line_of(B)))

    assert line.on == "B B B B"


def test_what_only_a_hold_gave_a_pid_is_never_gone_back_to(line: Line) -> None:
    """A trial was never deployed: it begins no rollout of the version before it, and no failure leads to it."""
    line.install(C)
    wanted = revision(line_of(B, rollbackWindow="1h"))
    line.see(holds={pid: Hold(pid, C, "alice", "", "a trial") for pid in PIDS})
    line.go(revision(line_of(A)))
    assert line.on == "C C C C"

    line.see(holds={})
    line.go(revision(line_of(A)))
    assert (line.on, line.record.rollout) == ("A A A A", None), "back at once, as if nothing had been tried"

    line.see(holds={"A02": Hold("A02", C, "alice", "", "a trial")})
    line.go(revision(line_of(A)))
    line.see(holds={})
    line.go(wanted)
    assert line.on == "B B B B"
    assert set(line.rollout.stable.values()) == {A}
    line.calls("A02", 100, errors=100)
    line.go(wanted)
    assert line.on == "A A A A"


def test_a_rollout_of_pinned_and_held_pids_only_does_not_begin(line: Line) -> None:
    line.see(holds={"A02": Hold("A02", A, "alice", "", "a test")})
    pinned = dict.fromkeys(("A01", "A03", "A04"), "1.0.0")

    assert line.go(revision(line_of(B, pinned=pinned))).empty
    assert line.record.rollout is None


def test_a_suspended_deployment_stands_still_and_loses_no_time(line: Line) -> None:
    strategy = {**CANARY, "progressDeadline": "60s", "minHealthyTime": "10s"}
    line.go(canary(strategy=strategy))

    line.go(canary(strategy=strategy, suspend=True), 5)
    line.calls("A04", 100, errors=100)
    line.go(canary(strategy=strategy, suspend=True), 10_000)
    assert line.on == "A A A B"
    line.go(canary(strategy=strategy))

    assert line.on == "A A A A"


def test_replicas_are_all_ready_before_the_first_pid_moves(line: Line) -> None:
    wanted = canary(replicas=2)
    first = plan(wanted, line.observed, line.now())
    [switch] = [action for action in first.actions if isinstance(action, Switch)]

    starts = {action.object for action in first.actions if isinstance(action, Preheat) and action.process.ref == B}
    assert len(starts) == 2
    assert starts <= set(switch.depends_on)


def test_a_deployment_that_is_gone_keeps_its_quarantine_only(line: Line) -> None:
    start(line)
    quarantine = (Quarantine(C, "sha256:c", "", "bad"),)
    line.see(records={"line": replace(line.record, quarantine=quarantine)})

    line.go(revision(line_of(A, name="other")))

    assert (line.record.rollout, line.record.quarantine) == (None, quarantine)


# --- the host


def unaffected_version() -> dict[str, Any]:
    return line_of(PackageRef("weld", "1.0.0"), name="cell", pids=("B01", "B02"))


def with_cell(line: Line) -> Revision:
    weld = PackageRef("weld", "1.0.0")
    line.install(weld)
    line.serving(weld, "B01", "B02", name="cell")
    return revision(line_of(strategy=CANARY), unaffected_version())


def test_when_others_fail_too_the_canary_is_suspended_and_not_rolled_back(line: Line) -> None:
    wanted = with_cell(line)
    line.go(wanted)
    line.calls("B01", 100, errors=60)
    line.calls("A04", 100, errors=60)

    line.go(wanted)

    assert line.on == "A A A B"
    assert "cell: error rate" in line.rollout.suspended_because
    assert not line.record.quarantine


def test_what_came_of_the_hosts_trouble_is_not_held_against_the_version_when_it_is_over(line: Line) -> None:
    wanted = with_cell(line)
    line.go(wanted)
    line.calls("B01", 100, errors=60)
    line.calls("A04", 100, errors=60)
    line.go(wanted)
    assert line.rollout.analysis.host_degraded

    line.see(recent=RecentCalls())
    line.go(wanted)
    assert (line.on, line.rollout.analysis.host_degraded, line.rollout.suspended_because) == ("A A A B", False, "")
    line.calls("A04", 20, errors=12)
    line.see(recent=RecentCalls())
    line.go(wanted)

    assert line.on == "A A A A", "its own failures are still seen"


def test_one_that_failed_before_says_nothing_about_the_host(line: Line) -> None:
    wanted = with_cell(line)
    line.calls("B01", 100, errors=60)
    line.go(wanted)
    line.calls("A04", 100, errors=60)

    line.go(wanted)

    assert line.on == "A A A A"
    assert line.rollout.analysis.already_failing == ("cell",)


def test_two_bad_versions_that_are_rolled_out_together_do_not_protect_each_other() -> None:
    weld, worse = PackageRef("weld", "1.0.0"), PackageRef("weld", "1.1.0")
    line = Line(A, B, weld, worse)
    line.serving(A, *PIDS)
    line.serving(weld, "B01", "B02", name="cell")
    wanted = revision(line_of(B), line_of(worse, name="cell", pids=("B01", "B02")))
    line.go(wanted)
    for pid in (*PIDS, "B01", "B02"):
        line.calls(pid, 50, errors=30)

    line.go(wanted)

    assert line.on == "A A A A"
    assert (line.active["B01"], line.active["B02"]) == ("1.0.0", "1.0.0")


# --- restarts


@pytest.mark.parametrize("boot", ["boot", "another boot"])
def test_a_restart_goes_on_with_the_same_deadline(line: Line, boot: str) -> None:
    strategy = {**CANARY, "minHealthyTime": "300s", "progressDeadline": "10m"}
    line.go(canary(strategy=strategy))
    for _ in range(20):
        line.go(canary(strategy=strategy), 10)
    left = line.rollout.timer.remaining(line.now())  # type: ignore[union-attr]

    if boot != line.boot:
        line.boot, line.seconds = boot, 3.0
    line.go(canary(strategy=strategy))

    assert left == 100
    assert line.rollout.timer is not None
    assert line.rollout.timer.remaining(line.now()) <= 115
    line.calls("A04", 60)
    line.go(canary(strategy=strategy), 116)
    assert line.rollout.state == "waiting"


def test_lost_counters_make_nobody_fail_and_nobody_pass(line: Line) -> None:
    wanted = canary(strategy={"canary": {"order": ["A04"], "steps": [{"setWeight": 25}]}})
    line.go(wanted)
    line.calls("A04", 48)
    line.go(wanted)
    line.tallies.clear()
    line.see(tallies={}, recent=RecentCalls())
    line.calls("A04", 5)

    line.go(wanted)

    assert line.rollout.state == "sampling"


# --- what is known to work


def test_a_version_that_was_promoted_and_never_called_is_no_good_way_back(line: Line) -> None:
    everywhere = revision(line_of(B))
    line.calls("A01", 5)
    line.go(everywhere)
    assert (line.on, line.rollout.state) == ("B B B B", "promoted")
    line.tallies.clear()  # counts are forgotten in time; that 1.0.0 has answered is not
    line.see(tallies={})

    line.go(revision(line_of(C)))
    assert (line.on, line.plan.ways_back["line"]) == ("C C C C", A)
    line.calls("A01", 20, errors=20)
    line.go(revision(line_of(C)))

    assert line.on == "A A A A"


def test_among_versions_that_all_answered_or_never_did_the_latest_is_the_way_back(line: Line) -> None:
    for calls in (0, 5):
        line.calls("A01", calls)
        line.go(revision(line_of(B)))
        line.calls("A01", calls)
        line.go(revision(line_of(C)))
        assert line.plan.ways_back["line"] == B


def test_a_pid_that_is_not_on_the_version_that_failed_does_not_move(line: Line) -> None:
    """Also where the version that it has was never called, and an older one was."""
    line.install(OLDER)
    line.serving(OLDER, *PIDS)
    line.calls("A02", 9)
    line.serving(A, *PIDS)
    line.go(canary())
    assert line.on == "A A A B"
    line.calls("A04", 20, errors=20)

    line.go(canary())

    assert line.on == "A A A o", "1.0.0 was never called anywhere, 0.9.0 was"
    assert line.rollout.state == "reverted"
