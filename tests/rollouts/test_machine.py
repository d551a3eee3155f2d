"""The rollout state machine: every event in every state, the walk through the steps, and what rolls it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from controller.model.desired import Deployment
from controller.model.package import PackageRef
from controller.model.rollout import Countdown, Instant, Rollout, State
from controller.rollouts.machine import Facts, advance, begin, halt, promote, wanted_versions
from controller.rollouts.steps import pin_strategy
from controller.rollouts.transitions import TRANSITIONS, Event, IllegalTransition, following
from tests.builders import deployment

OLDER, OLD, NEW = (PackageRef("screw", version) for version in ("0.9.0", "1.0.0", "1.1.0"))
PIDS = ("A01", "A02", "A03", "A04")
STEPS = ({"setWeight": 25}, {"pause": {"duration": "10m"}}, {"setWeight": 50}, {"pause": {}})
UNDER_WAY = ("stepping", "baking", "paused", "waiting", "sampling", "replaying", "shadowing")


def at(seconds: float, boot: str = "boot") -> Instant:
    return Instant(boot, seconds)


def line_of(*steps: Any, pids: tuple[str, ...] = PIDS, analysis: Any = None, **strategy: Any) -> Deployment:
    canary = {"canary": {"order": [pids[-1]], "steps": list(steps), "analysis": analysis or {}}} if steps else {}
    strategy = {**canary, "minHealthyTime": "30s", **strategy}
    return Deployment.model_validate(deployment("line", "1.1.0", *pids, strategy=strategy))


def counted(rollout: Rollout) -> Rollout:
    """The rollout with its step's calls counted from zero."""
    return replace(rollout, analysis=replace(rollout.analysis, step_calls=0))


class Walk:
    """A rollout on a line whose PIDs move when they are wanted elsewhere."""

    def __init__(self, of: Deployment, stable: dict[str, PackageRef] | None = None, held: tuple[str, ...] = ()) -> None:
        self.pids = of.spec.pids
        self.active: dict[str, PackageRef | None] = dict.fromkeys(self.pids, OLD) if stable is None else dict(stable)
        self.held = held
        self.seconds = 0.0
        begun = begin(of, "sha256:b", {p: r for p, r in self.active.items() if r}, at(0), "", held)
        self.rollout = counted(begun)

    def facts(self, **facts: Any) -> Facts:
        free = frozenset(pid for pid in self.pids if pid not in self.held)
        back = {pid: ref for pid, ref in self.rollout.stable.items() if pid in free}
        return Facts(**{"active": dict(self.active), "movable": free, "back": back, **facts})

    def go(self, seconds: float = 0.0, **facts: Any) -> str:
        """Let time go by, move the PIDs that are to move, and return the state."""
        self.seconds += seconds
        for _ in range(3):
            free = {pid: self.active.get(pid) for pid in self.pids if pid not in self.held}
            self.active |= {pid: ref for pid, ref in wanted_versions(self.rollout, free).items() if ref}
            self.rollout = advance(counted(self.rollout), self.facts(**facts), at(self.seconds))
        return self.rollout.state

    @property
    def canary(self) -> list[str]:
        return [pid for pid in self.pids if self.active.get(pid) == NEW]


# --- the table


def test_every_state_leads_somewhere_or_is_final() -> None:
    leading = {state for state, _ in TRANSITIONS}

    assert set(get_args(State)) - leading == {"completed", "reverted", "stopped"}
    assert set(TRANSITIONS.values()) | {"baking"} == set(get_args(State))


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("event", get_args(Event))
def test_an_event_leads_where_the_table_says_or_is_a_defect(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert following(state, event) == TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=state):
            following(state, event)


# --- the walk


def test_a_canary_walks_its_steps_and_pauses_to_promotion() -> None:
    walk = Walk(line_of(*STEPS))

    assert (walk.go(), walk.canary) == ("baking", ["A04"])
    assert walk.go(29) == "baking"
    assert walk.go(1) == "paused"
    assert (walk.go(599), walk.canary) == ("paused", ["A04"])
    assert (walk.go(1), walk.canary) == ("baking", ["A01", "A04"])
    assert walk.go(30) == "waiting"
    assert walk.go(100_000) == "waiting"
    walk.rollout = promote(walk.rollout, at(walk.seconds), full=False)
    assert (walk.go(), walk.canary) == ("baking", list(PIDS))
    assert walk.go(30) == "promoted"
    assert walk.go(86_399) == "promoted"
    assert walk.go(1) == "completed"


def test_full_promotion_skips_every_pause_to_come_but_no_bake() -> None:
    walk = Walk(line_of(*STEPS))
    walk.go()
    walk.rollout = promote(walk.rollout, at(0), full=True)

    assert walk.go(29) == "baking"
    assert (walk.go(1), walk.canary) == ("baking", ["A01", "A04"])
    assert (walk.go(30), walk.canary) == ("baking", list(PIDS))
    assert walk.go(30) == "promoted"


def test_without_auto_promote_it_waits_once_before_all_pids() -> None:
    plain = pin_strategy(line_of(autoPromote=False))
    stepped = pin_strategy(line_of({"setWeight": 25}, {"pause": {"duration": "1m"}}, autoPromote=False))
    waiting = pin_strategy(line_of(*STEPS, autoPromote=False))
    beyond = pin_strategy(line_of({"setWeight": 100}, {"pause": {"duration": "1m"}}, autoPromote=False))

    assert [str(each) for each in plain.steps] == ["pause until promoted", "setWeight 100"]
    assert [str(each) for each in stepped.steps][-2:] == ["pause until promoted", "setWeight 100"]
    assert [str(each) for each in waiting.steps].count("pause until promoted") == 1
    assert [str(each) for each in beyond.steps] == ["pause until promoted", "setWeight 100", "pause 60s"]


@pytest.mark.parametrize(
    ("steps", "state", "canary"),
    [
        ((), "baking", list(PIDS)),
        (({"pause": {"duration": "1m"}}, {"setWeight": 25}), "paused", []),
        (({"setWeight": 0}, {"pause": {}}), "waiting", []),
        (({"setWeight": 100}, {"pause": {}}), "baking", list(PIDS)),
    ],
)
def test_the_first_stage_may_be_anything(steps: Any, state: str, canary: list[str]) -> None:
    walk = Walk(line_of(*steps))

    assert (walk.go(), walk.canary) == (state, canary)


def test_a_single_pid_moves_at_the_first_step_and_bakes_through_the_others() -> None:
    walk = Walk(line_of({"setWeight": 25}, {"setWeight": 50}, pids=("A01",), analysis={"minSamples": 1}))

    assert (walk.go(), walk.canary) == ("baking", ["A01"])
    assert [walk.go(30) for _ in range(3)] == ["baking", "baking", "promoted"]


def test_a_pid_without_a_version_gets_the_target_at_once_and_one_that_comes_later_gets_stable_first() -> None:
    walk = Walk(line_of(*STEPS), {"A01": OLD, "A02": OLD, "A04": OLD})
    walk.go()
    assert walk.canary == ["A03", "A04"]

    wanted = wanted_versions(walk.rollout, {"A01": OLD, "A09": None})

    assert wanted == {"A01": OLD, "A09": OLD}
    assert wanted_versions(replace(walk.rollout, state="promoted"), {"A09": OLD}) == {"A09": NEW}


def test_nobody_waits_for_a_pid_that_had_nothing() -> None:
    walk = Walk(line_of(minHealthyTime="0s"), {"A01": OLD, "A02": OLD, "A04": OLD})
    on_target = {"A01": NEW, "A02": NEW, "A04": NEW}

    assert advance(walk.rollout, walk.facts(active=on_target), at(0)).state == "promoted"


def test_a_held_pid_does_not_count_and_one_held_later_leaves_without_being_replaced() -> None:
    at_start = Walk(line_of(*STEPS), held=("A04",))
    assert at_start.rollout.strategy.sequence == ("A01", "A02", "A03")

    later = Walk(line_of(*STEPS))
    later.go()
    later.held, later.active["A04"] = ("A04",), OLD
    assert (later.go(30), later.canary) == ("paused", [])
    assert (later.go(600), later.canary) == ("baking", ["A01"])


def test_with_every_pid_held_it_stands_still() -> None:
    walk = Walk(line_of(minHealthyTime="0s"))
    walk.held = PIDS

    assert walk.go(10_000) == "stepping"


# --- samples


@pytest.mark.parametrize(
    ("then", "state"), [("wait", "sampling"), ("promote", "baking"), ("revert", "reverted")]
)  # fmt: skip
def test_too_few_samples_at_the_end_of_a_step(then: str, state: str) -> None:
    walk = Walk(line_of({"setWeight": 25}, {"pause": {"duration": "10s"}}, analysis={"onInconclusive": then}))
    few: Any = {"judgement": "inconclusive", "judged_because": "3 calls, 50 are needed"}

    assert walk.go(**few) == "baking"
    assert walk.go(30, **few) == "paused"
    assert walk.go(10, **few) == state


def test_waiting_for_samples_is_a_pause_that_calls_or_an_operator_end() -> None:
    few: Any = {"judgement": "inconclusive", "judged_because": "3 calls, 50 are needed"}
    walk = Walk(line_of({"setWeight": 25}))
    walk.go(**few)
    assert walk.go(30, **few) == "sampling"
    assert walk.go(100_000, **few) == "sampling"
    by_hand = promote(walk.rollout, at(walk.seconds), full=False)

    assert (walk.go(), walk.canary) == ("baking", list(PIDS))
    assert (by_hand.state, by_hand.weight) == ("stepping", 100)
    assert walk.go(30, **few) == "sampling", "the last step must pass too"


def test_where_no_pid_of_the_step_can_be_judged_no_samples_are_waited_for() -> None:
    walk = Walk(line_of({"setWeight": 25}))
    walk.go()
    walk.held = ("A04",)

    assert walk.go(30, judgement="inconclusive") == "baking"
    assert walk.rollout.weight == 100


# --- failures


@pytest.mark.parametrize("state", [*UNDER_WAY, "promoted"])
def test_a_failing_verdict_takes_every_pid_back_in_every_state(state: State) -> None:
    walk = Walk(line_of(*STEPS))
    walk.go()
    walk.rollout = replace(walk.rollout, state=state, timer=Countdown(100.0, at(0)))

    failed = advance(walk.rollout, walk.facts(judgement="fail", judged_because="error rate 60 %"), at(1))

    assert failed.state == "reverting"
    assert failed.reason == "error rate 60 %"
    assert failed.back == dict.fromkeys(PIDS, OLD)
    assert wanted_versions(failed, dict(walk.active)) == dict.fromkeys(PIDS, OLD)
    walk.rollout = failed
    assert (walk.go(), walk.canary) == ("reverted", [])


@pytest.mark.parametrize("state", ["reverted", "stopped", "completed"])
@pytest.mark.parametrize("judgement", ["pass", "fail", "suspended", "inconclusive"])
def test_nothing_moves_a_rollout_that_has_ended(state: State, judgement: Any) -> None:
    walk = Walk(line_of(*STEPS))
    walk.go()
    ended = replace(walk.rollout, state=state, timer=None, progress=Countdown(5.0))

    for seconds in range(0, 10_000, 10):
        assert advance(ended, walk.facts(judgement=judgement), at(seconds)) == ended


def test_without_auto_revert_it_stops_and_leaves_all_as_it_is() -> None:
    walk = Walk(line_of(*STEPS, autoRevert=False))
    walk.go()

    assert walk.go(judgement="fail", judged_because="it is slow") == "stopped"
    assert "autoRevert is false" in walk.rollout.reason
    assert walk.canary == ["A04"]
    assert wanted_versions(walk.rollout, {"A01": OLD, "A04": NEW}) == {"A01": OLD, "A04": NEW}


def test_an_abort_takes_it_back_even_without_auto_revert_and_although_it_is_paused() -> None:
    walk = Walk(line_of(*STEPS, autoRevert=False))
    walk.go()
    walk.rollout = replace(walk.rollout, aborted="aborted by alice: smoke", paused_by="bob")

    assert (walk.go(), walk.canary) == ("reverted", [])
    assert walk.rollout.reason == "aborted by alice: smoke"


def test_with_no_way_back_what_runs_is_kept_and_that_is_said() -> None:
    nowhere, partly = Walk(line_of()), Walk(line_of())
    nowhere.go()
    partly.go()

    assert nowhere.go(judgement="fail", judged_because="bad", back={}) == "stopped"
    assert "no older version to go back to: what runs is kept" in nowhere.rollout.reason
    assert partly.go(judgement="fail", judged_because="bad", back={"A01": OLD}) == "reverted"
    assert partly.canary == ["A02", "A03", "A04"]
    assert "no older version works on A02, A03, A04" in partly.rollout.reason


def test_a_broken_way_back_is_replaced_by_an_older_one_and_that_choice_stays() -> None:
    walk = Walk(line_of())
    walk.go()
    failed = advance(walk.rollout, walk.facts(judgement="fail", judged_because="bad"), at(1))
    there = {**walk.active, "A01": OLD}

    rerouted = advance(
        failed, walk.facts(active=there, unfit=frozenset({OLD}), back=dict.fromkeys(PIDS, OLDER)), at(2)
    )  # fmt: skip
    later = advance(rerouted, walk.facts(active=there), at(3))

    assert rerouted.back == {"A01": OLD, "A02": OLDER, "A03": OLDER, "A04": OLDER}
    assert later.back == rerouted.back
    lost = advance(failed, walk.facts(unfit=frozenset({OLD}), back={}), at(2))
    assert lost.state == "reverted"
    assert "what runs there is kept" in lost.reason


def test_only_a_version_that_some_pid_is_on_makes_an_emergency() -> None:
    walk = Walk(line_of(*STEPS))
    before = advance(walk.rollout, walk.facts(judgement="fail", emergency=True), at(0))
    walk.go()
    after = advance(walk.rollout, walk.facts(judgement="fail", emergency=True), at(0))

    assert (before.emergency, after.emergency) == (False, True)


# --- the progress deadline, pauses and holds


def test_no_progress_within_the_deadline_fails_and_each_pid_that_moves_is_progress() -> None:
    walk = Walk(line_of(progressDeadline="60s"))
    stuck = advance(walk.rollout, walk.facts(), at(59))
    assert stuck.state == "stepping"
    assert advance(stuck, walk.facts(), at(60)).state == "reverted"

    one = advance(stuck, walk.facts(active={**walk.active, "A01": NEW}), at(59))
    assert advance(one, walk.facts(active={**walk.active, "A01": NEW}), at(118)).state == "stepping"
    assert advance(one, walk.facts(active={**walk.active, "A01": NEW}), at(119)).reason == "no progress within 60s"


@pytest.mark.parametrize(
    ("changed", "facts"),
    [
        ({"paused_by": "alice"}, {}),
        ({}, {"judgement": "suspended", "judged_because": "the host"}),
        ({}, {"obstacle": "screw@1.1.0 is not installed"}),
        ({}, {"movable": frozenset()}),
    ],
)
def test_what_stands_in_its_way_stops_the_deadline_and_moves_nobody(changed: Any, facts: Any) -> None:
    walk = Walk(line_of(progressDeadline="60s"))
    walk.rollout = replace(walk.rollout, **changed)
    rollout = advance(walk.rollout, walk.facts(**facts), at(50))

    for seconds in (100, 1000, 10_000):
        rollout = advance(rollout, walk.facts(**facts), at(seconds))
        assert rollout.state == "stepping"
    if "movable" not in facts:
        assert wanted_versions(rollout, dict(walk.active)) == dict.fromkeys(PIDS, OLD)
    freed = advance(replace(rollout, paused_by=""), walk.facts(), at(10_000))
    assert advance(freed, walk.facts(), at(10_009)).state == "stepping"
    assert advance(freed, walk.facts(), at(10_060)).state == "reverted"


def test_an_operators_pause_stops_it_until_resumed_and_a_failing_version_is_still_rolled_back() -> None:
    walk = Walk(line_of({"setWeight": 25}, {"setWeight": 50}))
    walk.go()
    walk.rollout = replace(walk.rollout, paused_by="alice")

    assert (walk.go(10_000), walk.canary) == ("baking", ["A04"])
    assert promote(walk.rollout, at(walk.seconds), full=True).paused_by == "alice"
    assert walk.go(judgement="fail", judged_because="bad") == "reverted"


def test_a_hold_for_the_host_keeps_its_first_words_and_is_over_when_the_trouble_is() -> None:
    walk = Walk(line_of(*STEPS))
    walk.go()

    assert walk.go(100, judgement="suspended", judged_because="cell: 60 % errors") == "baking"
    walk.go(1, judgement="suspended", judged_because="cell: 61 % errors")
    assert walk.rollout.suspended_because == "cell: 60 % errors"
    assert walk.go(1) == "paused"
    assert not walk.rollout.suspended_because


def test_a_suspended_deployment_loses_no_time() -> None:
    walk = Walk(line_of(progressDeadline="60s"))
    halted = halt(walk.rollout, at(50))

    assert halted.progress == Countdown(10.0)
    assert advance(halted, walk.facts(), at(5000)).state == "stepping"


# --- time on disk


def test_waiting_changes_nothing_on_disk_but_now_and_then_what_is_left() -> None:
    walk = Walk(line_of(*STEPS))
    walk.go()
    baking = walk.rollout
    assert advance(baking, walk.facts(), at(9)) == baking
    noted = advance(baking, walk.facts(), at(12))
    assert noted.timer == Countdown(18.0, at(12))

    changes, rollout = 0, replace(walk.rollout, state="promoted", timer=Countdown(86_400.0, at(0)))
    for seconds in range(0, 80_000, 10):
        before, rollout = rollout, advance(rollout, walk.facts(), at(seconds))
        changes += rollout != before
    assert changes < 60, "a window of a day is not written down every ten seconds"


def test_after_a_reboot_it_goes_on_with_what_was_left() -> None:
    walk = Walk(line_of({"setWeight": 25}, {"pause": {"duration": "10m"}}))
    walk.go()
    walk.go(30)
    for seconds in range(30, 331):
        walk.rollout = advance(walk.rollout, walk.facts(), at(seconds))

    restarted = advance(walk.rollout, walk.facts(), at(331))
    rebooted = advance(walk.rollout, walk.facts(), at(1, "second boot"))

    assert restarted.timer is not None
    assert rebooted.timer is not None
    assert restarted.timer.remaining(at(331)) == 299.0
    assert 299.0 <= rebooted.timer.remaining(at(1, "second boot")) <= 330.0
    assert rebooted.timer.over(at(332, "second boot"))
