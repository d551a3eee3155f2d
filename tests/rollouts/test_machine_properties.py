"""Whatever befalls a rollout, step by step: what the machine never does, for any strategy and any facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.desired import Deployment
from controller.model.package import PackageRef
from controller.model.rollout import BY_PICTURES, Instant, Rollout
from controller.rollouts.cohorts import cohort
from controller.rollouts.machine import Facts, advance, begin, promote, wanted_versions
from tests.builders import deployment

OLD, NEW = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
PIDS = ("A01", "A02", "A03", "A04")

_pictures = st.sampled_from(({"replay": {"last": 50}}, {"shadow": {"duration": "30s"}}, {"shadow": {"duration": "0s"}}))
_others = st.sampled_from(({"pause": {"duration": "20s"}}, {"pause": {}}))
_steps = st.tuples(
    st.lists(_pictures | _others, max_size=3),
    st.lists(st.sampled_from((25, 50)), max_size=2, unique=True).map(sorted),
    st.lists(_pictures | _others, max_size=2),
).map(lambda parts: [*parts[0], *({"setWeight": weight} for weight in parts[1]), *parts[2]])
_facts = st.fixed_dictionaries(
    {
        "judgement": st.sampled_from(("pass", "pass", "pass", "inconclusive", "suspended", "fail")),
        "shown": st.booleans(),
        "undecided": st.sampled_from(("", "", "9 recorded pictures, 10 are needed")),
        "refused": st.booleans(),
    }
)
_moments = st.tuples(
    st.sampled_from((0.0, 1.0, 25.0, 700.0)), _facts, st.sampled_from(("", "", "", "promote", "full", "pause"))
)


@given(
    _steps, st.sampled_from(("wait", "promote", "revert")), st.booleans(), st.booleans(),
    st.lists(_moments, min_size=1, max_size=25),
)  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_pictures_move_no_pid_and_every_step_is_entered_once(
    steps: list[Any], then: str, auto_revert: bool, auto_promote: bool, moments: list[Any]
) -> None:
    strategy = {"canary": {"steps": steps, "analysis": {"onInconclusive": then}}, "minHealthyTime": "5s",
                "autoRevert": auto_revert, "autoPromote": auto_promote}  # fmt: skip
    of = Deployment.model_validate(deployment("line", "1.1.0", *PIDS, strategy=strategy))
    active: dict[str, PackageRef | None] = dict.fromkeys(PIDS, OLD)
    rollout, seconds, changes = begin(of, "sha256:b", dict.fromkeys(PIDS, OLD), Instant("boot", 0.0), ""), 0.0, 0
    for passed, facts, verb in moments:
        seconds += passed
        now = Instant("boot", seconds)
        rollout = _by_hand(rollout, verb, now)
        for _ in range(4):
            before = rollout
            seen = Facts(active=dict(active), movable=frozenset(PIDS), back=dict.fromkeys(PIDS, OLD), **facts)
            rollout = _counted(advance(rollout, seen, now))
            changes += (rollout.state, rollout.step) != (before.state, before.step)
            assert rollout.step >= before.step, "no step is entered again"
            assert before.state not in {"reverted", "stopped", "completed"} or rollout.state == before.state
            if rollout.state in BY_PICTURES:
                assert rollout.present_step is not None
                assert rollout.present_step.pictures is not None
                assert rollout.progress.since is None, "no deadline runs while pictures are shown"
            wanted = wanted_versions(rollout, active)
            if rollout.under_way:
                on_target = {pid for pid, ref in wanted.items() if ref == NEW}
                assert on_target <= set(cohort(rollout.strategy.sequence, rollout.weight)), "no weight, no PID"
            active |= {pid: ref for pid, ref in wanted.items() if ref is not None}
    assert changes <= 3 * len(rollout.strategy.steps) + 6


def _by_hand(rollout: Rollout, verb: str, now: Instant) -> Rollout:
    if verb == "pause":
        return replace(rollout, paused_by="" if rollout.paused_by else "ann")
    if verb and rollout.under_way:
        return promote(rollout, now, full=verb == "full")
    return rollout


def _counted(rollout: Rollout) -> Rollout:
    """The rollout with the calls and pictures of its step counted from zero."""
    return replace(rollout, analysis=replace(rollout.analysis, step_calls=0, pictures_before=0))
