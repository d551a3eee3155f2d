"""The rollout state machine: facts and `now` go in, the next rollout comes out. Pure; see `transitions.py`.

A step is a weight, a pause, a replay or a shadow. After a weight's PIDs have moved it bakes for `minHealthyTime`;
before the weight rises again, and before promotion, the canary must have passed its analysis. A replay or a shadow
moves no PID, and ends when enough pictures were compared. A failure rolls all PIDs back once; nothing that a reverted
rollout's health does afterwards moves them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.model.analysis import Outcome
from controller.model.desired import Deployment
from controller.model.package import PackageRef
from controller.model.rollout import BY_PICTURES, STANDING, AnalysisState, Countdown, Instant, Rollout
from controller.rollouts.cohorts import cohort
from controller.rollouts.steps import pin_strategy
from controller.rollouts.transitions import Event, following


@dataclass(frozen=True, slots=True)
class Facts:
    """What the machine may know.

    `active` is each PID's version, `movable` the PIDs that may move to the target: neither pinned nor held, and
    supported by it. `back` is where each PID would go now, `unfit` the versions that none can go to. `obstacle` says
    why the rollout cannot go on, whatever its health; `refused`, that the host lets no process of the target start.
    `emergency`: the target answers nothing any more. In a replay or shadow step, `shown` says that every picture was
    shown that is to be, and `undecided` why those that could be compared do not say enough; empty where they do.
    """

    active: Mapping[str, PackageRef | None]
    movable: frozenset[str]
    judgement: Outcome = "pass"
    judged_because: str = ""
    obstacle: str = ""
    refused: bool = False
    emergency: bool = False
    back: Mapping[str, PackageRef] = field(default_factory=dict)
    unfit: frozenset[PackageRef] = frozenset()
    shown: bool = True
    undecided: str = ""

    def on(self, package: PackageRef) -> list[str]:
        """The PIDs that may move and have that version."""
        return sorted(pid for pid in self.movable if self.active.get(pid) == package)


def begin(
    deployment: Deployment, digest: str, stable: Mapping[str, PackageRef], now: Instant, started_at: str,
    held: Iterable[str] = (),
) -> Rollout:  # fmt: skip
    """Return a rollout of a deployment's package at its first step, as if it had just left one before it."""
    strategy = pin_strategy(deployment, held)
    rollout = Rollout(
        deployment.name, deployment.spec.ref, digest, strategy, dict(stable), "baking", started_at, now,
        analysis=AnalysisState(delay=Countdown(strategy.initial_delay)),
    )  # fmt: skip
    return _enter(rollout, 0, now)


def advance(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Return the rollout after every transition that the facts allow now."""
    rollout = _note_obstacles(rollout, facts, now)
    for _ in range(len(rollout.strategy.steps) * 3 + 3):  # each step is entered, moved and left once at most
        before, rollout = rollout, _step(rollout, facts, now)
        entered = None in {rollout.analysis.step_calls, rollout.analysis.pictures_before}
        if rollout == before or entered:  # what was judged so far was judged in the step before
            break
    timer = rollout.timer.noted(now) if rollout.timer else None
    return replace(rollout, timer=timer, progress=rollout.progress.noted(now))


def halt(rollout: Rollout, now: Instant) -> Rollout:
    """Return the rollout with its progress deadline standing still: its deployment is suspended."""
    return replace(rollout, progress=rollout.progress.stop(now))


def promote(rollout: Rollout, now: Instant, *, full: bool) -> Rollout:
    """Return the rollout with its present pause, replay or shadow ended by an operator; with `full`, all others too.

    What an operator paused stays so until it is resumed.
    """
    if can_be_passed(rollout):
        rollout = _enter(rollout, rollout.step + 1, now)
    return replace(rollout, full=rollout.full or full)


def replay_again(rollout: Rollout) -> Rollout:
    """Return a rollout in a replay step with the replay begun anew, over the recorded calls that are there by then."""
    again = rollout.analysis.replayed_again + 1
    return replace(rollout, analysis=replace(rollout.analysis, replayed_again=again))


def can_be_passed(rollout: Rollout) -> bool:
    """Whether an operator can end what it waits for now."""
    return rollout.state in STANDING or rollout.state in BY_PICTURES


def wanted_versions(
    rollout: Rollout, present: Mapping[str, PackageRef | None]
) -> dict[str, PackageRef | None]:  # fmt: skip
    """Return the version that a rollout wants for each unpinned, unheld PID; None where it wants nothing.

    `present` is what each has by its history. A PID that came after the start gets stable first; one that was there and
    had no version gets the target at once, since it has nothing to protect.
    """
    usual = rollout.usual_back if rollout.failed else rollout.usual_stable
    if rollout.state in {"promoted", "completed"}:
        return dict.fromkeys(present, rollout.target)
    if rollout.state == "stopped":
        return {pid: here or usual for pid, here in present.items()}
    back = {**rollout.stable, **(rollout.back if rollout.failed else {})}
    if rollout.failed:
        return {pid: back.get(pid, usual) for pid in present}
    takes, known = frozenset(cohort(rollout.strategy.sequence, rollout.weight)), frozenset(rollout.strategy.sequence)
    stands = bool(rollout.paused_by or rollout.suspended_because)

    def wanted(pid: str) -> PackageRef | None:
        joins = pid in takes and not (stands and present[pid] != rollout.target)
        return rollout.target if joins or (pid in known and pid not in back) else back.get(pid, usual)

    return {pid: wanted(pid) for pid in present}


def _note_obstacles(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Stop or restart the progress deadline as pauses and a degraded host come and go; each PID moved is progress."""
    suspended_because = facts.obstacle or (facts.judged_because if facts.judgement == "suspended" else "")
    if not rollout.under_way:
        return replace(rollout, suspended_because="", progress=rollout.progress.stop(now))
    if suspended_because and rollout.suspended_because:
        suspended_because = (
            rollout.suspended_because
        )  # its numbers change with every call; that it is suspended does not
    moved = len(facts.on(rollout.target))
    progress = _whole(rollout, now) if moved > rollout.moved else rollout.progress
    rollout = replace(rollout, suspended_because=suspended_because, moved=moved)
    if _stands(rollout, facts):
        return replace(rollout, progress=progress.stop(now))
    return replace(rollout, progress=progress if progress.since else progress.run(now))


def _stands(rollout: Rollout, facts: Facts) -> bool:
    """Whether time does not count against it: a pause, pictures, an obstacle, or no PID that could move."""
    waits = can_be_passed(rollout) or rollout.paused_by or rollout.suspended_because
    return bool(waits) or facts.refused or not facts.movable.intersection(rollout.strategy.sequence)


def _step(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    if rollout.state == "reverting":
        rollout = _rerouted(rollout, facts)
        return _move(rollout, "reverted") if _is_back(rollout, facts) else rollout
    if rollout.state in {"reverted", "stopped", "completed"}:
        return rollout
    if why := _why_failed(rollout, facts, now):
        return _fail(rollout, why, facts, now)
    if rollout.state == "promoted":
        over = rollout.timer is None or rollout.timer.over(now)
        return _completed(_move(rollout, "expired")) if over else rollout
    if rollout.paused_by or rollout.suspended_because or not facts.movable.intersection(rollout.strategy.sequence):
        return rollout
    return _go_on(rollout, facts, now)


def _why_failed(rollout: Rollout, facts: Facts, now: Instant) -> str:
    if rollout.aborted:
        return rollout.aborted
    if facts.judgement == "fail":
        return facts.judged_because or "its health fails"
    if rollout.state in {"stepping", "baking"} and not _stands(rollout, facts) and rollout.progress.over(now):
        return f"no progress within {rollout.strategy.progress_deadline:g}s"
    return ""


def _fail(rollout: Rollout, reason: str, facts: Facts, now: Instant) -> Rollout:
    """Return the rollout rolled back, or stopped where that is wanted or there is no way back."""
    victims = facts.on(rollout.target)
    stuck = [pid for pid in victims if pid not in facts.back]
    event: Event = "failed"
    if not (rollout.strategy.auto_revert or rollout.aborted):
        event, reason = "aborted", f"{reason}; autoRevert is false: what runs is kept"
    elif stuck and stuck == victims:
        event, reason = "aborted", f"{reason}; there is no older version to go back to: what runs is kept"
    elif stuck:
        reason = f"{reason}; {_no_way_back(stuck)}"
    back = {pid: ref for pid in sorted(facts.movable) if (ref := _destination(rollout, facts, pid)) is not None}
    return replace(
        _move(rollout, event), reason=reason, back=back, timer=None, progress=rollout.progress.stop(now),
        suspended_because="", emergency=facts.emergency and bool(victims),
    )  # fmt: skip


def _destination(rollout: Rollout, facts: Facts, pid: str) -> PackageRef | None:
    """Where a PID goes when its rollout fails: one that is not on the target stays where it is."""
    here = facts.active.get(pid)
    stays = here not in {None, rollout.target} and here == rollout.stable.get(pid, here)
    return here if stays else facts.back.get(pid) or here


def _no_way_back(pids: Iterable[str]) -> str:
    return f"no older version works on {', '.join(pids)}: what runs there is kept"


def _rerouted(rollout: Rollout, facts: Facts) -> Rollout:
    """Choose anew for PIDs whose way back turned out to be broken: the next older version, or what runs."""
    lost = [
        pid
        for pid, ref in rollout.back.items()
        if ref in facts.unfit and pid in facts.movable and facts.active.get(pid) != ref
    ]
    if not lost:
        return rollout
    anew = {pid: facts.back.get(pid) or facts.active.get(pid) or rollout.back[pid] for pid in lost}
    stuck = [pid for pid in lost if pid not in facts.back]
    reason = f"{rollout.reason}; {_no_way_back(stuck)}" if stuck else rollout.reason
    return replace(rollout, back={**rollout.back, **anew}, reason=reason)


def _is_back(rollout: Rollout, facts: Facts) -> bool:
    return all(facts.active.get(pid) == ref for pid, ref in rollout.back.items() if pid in facts.movable)


def _go_on(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    if rollout.state == "stepping":
        expected = cohort(rollout.strategy.sequence, rollout.weight)
        protected = (pid for pid in expected if pid in facts.movable and pid in rollout.stable)
        if any(facts.active.get(pid) != rollout.target for pid in protected):
            return rollout  # for a PID that had nothing before nobody waits: it is tried again until it works
        bake = Countdown(rollout.strategy.min_healthy_time if expected else 0.0, now)
        return replace(_move(rollout, "moved"), timer=bake, progress=_whole(rollout, now))
    if rollout.full and can_be_passed(rollout):
        return _enter(rollout, rollout.step + 1, now)
    if rollout.state == "waiting" or (rollout.timer is not None and not rollout.timer.over(now)):
        return rollout
    if rollout.state in BY_PICTURES:
        return _leave_pictures(rollout, facts, now)
    return _leave_step(rollout, facts, now)


def _leave_pictures(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Go on after the pictures that were to be shown; where they say too little, that is no pass."""
    if not facts.shown:
        return rollout
    if facts.undecided and rollout.strategy.on_inconclusive == "wait":
        return rollout
    if facts.undecided and rollout.strategy.on_inconclusive == "revert":
        return _fail(rollout, f"inconclusive: {facts.undecided}", facts, now)
    return _leave_step(rollout, facts, now)


def _leave_step(rollout: Rollout, facts: Facts, now: Instant) -> Rollout:
    """Go to the next step. Where a step ends there the canary must have passed; too few samples are no pass."""
    steps, upcoming = rollout.strategy.steps, rollout.step + 1
    ends_step = upcoming == len(steps) or steps[upcoming].kind == "weight"
    judged = facts.movable.intersection(cohort(rollout.strategy.sequence, rollout.weight))
    if facts.judgement == "inconclusive" and ends_step and judged and not rollout.full:
        if rollout.strategy.on_inconclusive == "revert":
            return _fail(rollout, f"inconclusive: {facts.judged_because}", facts, now)
        if rollout.strategy.on_inconclusive == "wait":
            if rollout.state == "sampling":
                return rollout
            return replace(_move(rollout, "short"), timer=None, progress=rollout.progress.stop(now))
    return _enter(rollout, upcoming, now)


def _enter(rollout: Rollout, index: int, now: Instant) -> Rollout:
    """Enter a step, or promotion after the last."""
    if index >= len(rollout.strategy.steps):
        window = Countdown(rollout.strategy.rollback_window, now)
        return replace(_move(rollout, "done"), timer=window, progress=rollout.progress.stop(now))
    step = rollout.strategy.steps[index]
    rollout = replace(rollout, step=index)
    if step.kind == "weight":
        entering = replace(rollout, analysis=rollout.analysis.entering_a_step())
        return replace(_move(entering, "next_weight"), timer=None, progress=_whole(rollout, now))
    if step.pictures is not None:
        entering = replace(rollout, analysis=rollout.analysis.entering_pictures(), progress=rollout.progress.stop(now))
        if step.kind == "replay":
            return replace(_move(entering, "next_replay"), timer=None)
        return replace(_move(entering, "next_shadow"), timer=Countdown(step.pictures.duration, now))
    if step.pause is None:
        return replace(_move(rollout, "next_wait"), timer=None, progress=rollout.progress.stop(now))
    return replace(
        _move(rollout, "next_pause"), timer=Countdown(step.pause, now), progress=rollout.progress.stop(now)
    )  # fmt: skip


def _completed(rollout: Rollout) -> Rollout:
    """Return a completed rollout without what only judging it needed."""
    return replace(rollout, timer=None, analysis=rollout.analysis.completed())


def _move(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, state=following(rollout.state, event))


def _whole(rollout: Rollout, now: Instant) -> Countdown:
    """The progress deadline from the beginning: something went on."""
    return Countdown(rollout.strategy.progress_deadline, now)
