"""The rollout state machine: facts and `now` go in, the next rollout comes out. Pure; transitions stand in a table.

A stage is a weight or a pause. After a weight's PIDs have moved it bakes for `minHealthyTime`; before the weight rises
again the canary must have passed its analysis. A failure takes all PIDs back once; nothing a reverted rollout's health
does afterwards moves them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from controller.errors import ControllerError
from controller.model.desired import Deployment
from controller.model.package import PackageRef
from controller.model.rollout import Countdown, Instant, Rollout, Stage, State, Terms
from controller.planning.cohorts import cohort, rollout_sequence

Event = Literal["moved", "next_weight", "next_pause", "next_wait", "done", "failed", "gave_up", "went_back", "expired"]
Judgement = Literal["pass", "fail", "inconclusive", "hold"]

TRANSITIONS: dict[tuple[State, Event], State] = {
    ("stepping", "moved"): "baking",
    ("baking", "next_weight"): "stepping",
    ("baking", "next_pause"): "paused",
    ("baking", "next_wait"): "waiting",
    ("baking", "done"): "promoted",
    ("paused", "next_weight"): "stepping",
    ("paused", "next_pause"): "paused",
    ("paused", "next_wait"): "waiting",
    ("paused", "done"): "promoted",
    ("waiting", "next_weight"): "stepping",
    ("waiting", "next_pause"): "paused",
    ("waiting", "next_wait"): "waiting",
    ("waiting", "done"): "promoted",
    ("stepping", "failed"): "reverting",
    ("baking", "failed"): "reverting",
    ("paused", "failed"): "reverting",
    ("waiting", "failed"): "reverting",
    ("promoted", "failed"): "reverting",
    ("stepping", "gave_up"): "stopped",
    ("baking", "gave_up"): "stopped",
    ("paused", "gave_up"): "stopped",
    ("waiting", "gave_up"): "stopped",
    ("promoted", "gave_up"): "stopped",
    ("reverting", "went_back"): "reverted",
    ("promoted", "expired"): "completed",
}


class IllegalTransition(ControllerError):
    """An event that the table does not list for the state: a defect of the controller, never of a user."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the machine may know. `active` is each PID's version; `movable` the PIDs that are neither pinned nor held.

    `failure` is why the target failed at once (never ready, breaker, memory, heartbeat), empty where it did not;
    `emergency` that it answers nothing any more. `back` is where each PID would go now.
    """

    active: Mapping[str, PackageRef | None]
    movable: frozenset[str]
    judgement: Judgement = "pass"
    judged_because: str = ""
    failure: str = ""
    emergency: bool = False
    back: Mapping[str, PackageRef] = field(default_factory=dict)


def terms_of(deployment: Deployment) -> Terms:
    """Return a deployment's strategy as a rollout pins it: stages that end at 100 %, and who moves when."""
    strategy = deployment.spec.strategy
    steps = strategy.canary.steps if strategy.canary else ()
    stages = [
        Stage("weight", weight=step.set_weight)
        if step.set_weight is not None
        else Stage("pause", pause=step.pause.duration if step.pause else None)
        for step in steps
    ]
    if not any(stage.weight == 100 for stage in stages):
        stages.append(Stage("weight", weight=100))
    if not strategy.auto_promote:
        last = max(index for index, stage in enumerate(stages) if stage.weight == 100)
        first = min(index for index in range(last + 1) if stages[index].weight == 100)
        stages.insert(first, Stage("pause"))
    return Terms(
        stages=tuple(stages),
        sequence=rollout_sequence(deployment.spec),
        min_healthy_time=strategy.min_healthy_time,
        progress_deadline=strategy.progress_deadline,
        auto_revert=strategy.auto_revert,
        on_inconclusive=strategy.canary.analysis.on_inconclusive if strategy.canary else "promote",
        rollback_window=deployment.spec.rollback_window,
        initial_delay=strategy.canary.analysis.initial_delay if strategy.canary else 0.0,
        min_samples=strategy.canary.analysis.min_samples if strategy.canary else None,
    )


def begin(
    deployment: Deployment, digest: str, stable: Mapping[str, PackageRef], now: Instant, started_at: str
) -> Rollout:
    """Return a rollout of a deployment's package at its first stage."""
    terms = terms_of(deployment)
    rollout = Rollout(
        deployment.name, deployment.spec.ref, digest, terms, dict(stable), "stepping", started_at,
        progress=Countdown(terms.progress_deadline, now),
    )  # fmt: skip
    return _enter(rollout, 0, now) if terms.stages[0].kind == "pause" else rollout


def advance(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Return the rollout after every transition that the facts allow now."""
    rollout = _note_obstacles(rollout, facts, now)
    for _ in range(len(rollout.terms.stages) * 3 + 3):  # each stage is entered, moved and left once at most
        following = _step(rollout, facts, now)
        if following == rollout:
            return rollout
        rollout = following
    return rollout


def fail(rollout: Rollout, reason: str, facts: Facts, now: Instant) -> Rollout:
    """Return the rollout taken back, or stopped where that is wanted or there is no way back."""
    back = {pid: facts.back[pid] for pid in facts.movable if pid in facts.back}
    can_revert = rollout.terms.auto_revert and bool(back)
    if not can_revert:
        why = "autoRevert is false" if not rollout.terms.auto_revert else "there is no older version to go back to"
        reason = f"{reason}; {why}: what runs is kept"
    event: Event = "failed" if can_revert else "gave_up"
    return replace(
        _move(rollout, event), reason=reason, back=back, emergency=facts.emergency, timer=None,
        progress=rollout.progress.stop(now), held_for="",
    )  # fmt: skip


def promote(rollout: Rollout, now: Instant, *, full: bool) -> Rollout:
    """Return the rollout with its present pause ended by an operator; with `full`, all the others too."""
    if rollout.state in {"paused", "waiting"}:
        rollout = _enter(rollout, rollout.stage + 1, now)
    return replace(rollout, full=rollout.full or full, paused_by="")


def wanted_version(rollout: Rollout, pid: str, newcomer: PackageRef | None) -> PackageRef | None:
    """Return the version that a rollout wants for an unpinned, unheld PID; None to leave it as it is.

    `newcomer` is what a PID gets that came after the start: stable first.
    """
    if rollout.state in {"promoted", "completed"}:
        return rollout.target
    if rollout.state == "stopped":
        return None
    if rollout.state in {"reverting", "reverted"}:
        return rollout.back.get(pid, rollout.stable.get(pid, newcomer))
    if pid in cohort(rollout.terms.sequence, rollout.weight):
        return rollout.target
    return rollout.stable.get(pid, newcomer)


def _note_obstacles(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Stop or restart the progress deadline as pauses and host-wide trouble come and go."""
    held_for = facts.judged_because if facts.judgement == "hold" and rollout.under_way else ""
    rollout = replace(rollout, held_for=held_for)
    stands = bool(held_for or rollout.paused_by) or rollout.state in {"paused", "waiting"}
    if stands or not rollout.under_way:
        return replace(rollout, progress=rollout.progress.stop(now)) if rollout.progress.since else rollout
    return rollout if rollout.progress.since else replace(rollout, progress=rollout.progress.run(now))


def _step(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    if rollout.state == "reverting":
        return _move(rollout, "went_back") if _is_back(rollout, facts) else rollout
    if rollout.state not in {"stepping", "baking", "paused", "waiting", "promoted"}:
        return rollout
    if why := _why_failed(rollout, facts, now):
        return fail(rollout, why, facts, now)
    if rollout.state == "promoted":
        over = rollout.timer is None or rollout.timer.over(now)
        return replace(_move(rollout, "expired"), timer=None) if over else rollout
    if rollout.paused_by or rollout.held_for:
        return rollout
    return _go_on(rollout, facts, now)


def _why_failed(rollout: Rollout, facts: Facts, now: Instant) -> str:
    if rollout.aborted or facts.failure:
        return rollout.aborted or facts.failure
    if facts.judgement == "fail":
        return facts.judged_because
    stuck = rollout.state in {"stepping", "baking"} and not (rollout.paused_by or rollout.held_for)
    if stuck and rollout.progress.over(now):
        return f"no progress within {rollout.terms.progress_deadline:g}s"
    return ""


def _go_on(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    if rollout.state == "stepping":
        wanted = [pid for pid in cohort(rollout.terms.sequence, rollout.weight) if pid in facts.movable]
        if all(facts.active.get(pid) == rollout.target for pid in wanted):
            bake = Countdown(rollout.terms.min_healthy_time, now)
            return replace(_move(rollout, "moved"), timer=bake, progress=_refreshed(rollout, now))
        return rollout
    if rollout.state == "waiting" and not rollout.full:
        return rollout
    over = rollout.timer is None or rollout.timer.over(now) or (rollout.full and rollout.state == "paused")
    return _leave_stage(rollout, facts, now) if over else rollout


def _leave_stage(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Go to the next stage. Before the weight rises the canary must have passed; too few samples are no pass."""
    following = rollout.stage + 1
    rises = following < len(rollout.terms.stages) and rollout.terms.stages[following].kind == "weight"
    if rises and facts.judgement == "inconclusive" and rollout.stage >= 0 and not rollout.full:
        if rollout.terms.on_inconclusive == "revert":
            return fail(rollout, f"inconclusive: {facts.judged_because}", facts, now)
        if rollout.terms.on_inconclusive == "wait":
            # waiting for samples counts as a pause: the progress deadline stands still
            return replace(rollout, progress=rollout.progress.stop(now), reason=facts.judged_because)
    return _enter(rollout, following, now)


def _enter(rollout: Rollout, index: int, now: Instant) -> Rollout:
    """Enter a stage, or promotion after the last."""
    rollout = replace(rollout, stage=min(index, len(rollout.terms.stages) - 1), reason="")
    if index >= len(rollout.terms.stages):
        window = Countdown(rollout.terms.rollback_window, now)
        return replace(_move(rollout, "done"), timer=window, progress=rollout.progress.stop(now))
    stage = rollout.terms.stages[index]
    if stage.kind == "weight":
        return replace(_move(rollout, "next_weight"), timer=None, progress=_refreshed(rollout, now))
    event: Event = "next_wait" if stage.pause is None else "next_pause"
    timer = None if stage.pause is None else Countdown(stage.pause, now)
    return replace(_move(rollout, event), timer=timer, progress=rollout.progress.stop(now))


def _move(rollout: Rollout, event: Event) -> Rollout:
    try:
        return replace(rollout, state=TRANSITIONS[rollout.state, event])
    except KeyError:
        raise IllegalTransition(f"rollout of {rollout.deployment}: {event} in state {rollout.state}") from None


def _refreshed(rollout: Rollout, now: Instant) -> Countdown:
    return Countdown(rollout.terms.progress_deadline, now)


def _is_back(rollout: Rollout, facts: Facts) -> bool:
    return all(facts.active.get(pid) != rollout.target for pid in rollout.back if pid in facts.movable)
