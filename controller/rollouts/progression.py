"""How one deployment's rollout goes on in a pass, and which version each of its PIDs is to have now. Pure.

Which rollout it is, is decided here: the one that is remembered, a new one, or none. How it goes on is the machine's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.model.analysis import Verdict
from controller.model.package import PackageRef
from controller.model.rollout import BY_PICTURES, HOLDS, Proven, Quarantine, Rollout, RolloutRecord
from controller.model.timestamps import format_timestamp
from controller.rollouts.analysis.pictures import undecided_replay, undecided_shadow
from controller.rollouts.evidence import already_failing, counting, judged, steady_findings
from controller.rollouts.machine import Facts, advance, begin, halt, wanted_versions
from controller.rollouts.pictures import replayed, shadowed
from controller.rollouts.view import DeploymentView
from controller.rollouts.ways_back import choose, earlier_versions


@dataclass(frozen=True, slots=True)
class Progress:
    """A deployment's record after the pass and what its PIDs are to have (None: leave as is).

    `rollout` is the one that says so: the remembered one, or one that begins as soon as its package is installed.
    `warm` are versions whose processes are kept for the way back, `note` says what was decided, `quarantined` why the
    target is not tried, `degraded` what is wrong with versions that nobody judges any more. While it waits, `waits_for`
    says what for and `until` when that ends (seconds of the boot-time clock; infinite where no clock tells). `verdict`
    is what was thought of the version that is judged, or was when it failed, and `back` where most PIDs would go if it
    failed now; None where nothing is rolled back by itself. `unknown` says why nothing is known of the rollout: then it
    stands still.
    """

    record: RolloutRecord
    targets: Mapping[str, PackageRef | None]
    rollout: Rollout | None = None
    warm: frozenset[PackageRef] = frozenset()
    note: str = ""
    emergency: bool = False
    quarantined: Quarantine | None = None
    degraded: str = ""
    waits_for: str = ""
    until: float = field(default=math.inf)
    verdict: Verdict | None = None
    back: PackageRef | None = None
    unknown: str = ""


def progress(view: DeploymentView) -> Progress:
    """Return how the deployment's rollout goes on and what its PIDs are to have."""
    if view.observed.unknown(view.name):
        return _standing_still(view)
    going_on = _progress(view)
    return replace(going_on, record=_with_proven(view, going_on.record))


def _with_proven(view: DeploymentView, record: RolloutRecord) -> RolloutRecord:
    """Return the record with the versions of the deployment's package that have answered a call, while they are here.

    Counts are forgotten once nothing asks for them; that a version works is not.
    """
    installed, name = view.observed.installed, view.target.name
    known = sorted(ref for ref in view.observed.proven_versions if ref.name == name)
    return replace(record, proven=tuple(Proven(ref, installed[ref].receipt.digest) for ref in known))


def _progress(view: DeploymentView) -> Progress:
    record, former = view.record, view.record.rollout
    quarantine = record.quarantined(view.target, view.digest)
    if view.deployment.spec.suspend:
        return _progress_of(view, record.with_rollout(halt(former, view.now) if former else None), former)
    if former is not None and _still_wanted(former, view) and (quarantine is not None or not former.failed):
        missing = "" if view.resolution.installed else f"{view.target} is not installed"
        return _going_on(view, former, missing)
    if quarantine is not None:
        return _superseded(view, former, None, f"{view.target} is wanted instead, but in quarantine")
    fresh = _fresh(view, former) if view.rolled_back is None else None
    if fresh is None:
        moved = all(here in {None, view.target} for here in view.recorded.values())
        return _progress_of(view, record.with_rollout(None) if moved else record, None)
    if not view.resolution.installed:
        coming = None if view.resolution.problem else fresh
        return _superseded(view, former, coming, f"{view.target} is wanted instead, but not installed yet")
    return _going_on(view, fresh, "")


def _standing_still(view: DeploymentView) -> Progress:
    """Leave every free PID where it is; pins and holds are followed, unless it is not known who is held."""
    spec, observed = view.deployment.spec, view.observed
    targets = {pid: observed.holds[pid].package if pid in observed.holds else spec.pinned_ref(pid) for pid in spec.pids}
    if HOLDS in observed.lost:
        targets = dict.fromkeys(spec.pids)
    return Progress(RolloutRecord(), targets, unknown=observed.unknown(view.name))


def _still_wanted(rollout: Rollout, view: DeploymentView) -> bool:
    """Whether a rollout is of the artefact that is wanted, and there is a PID left in it."""
    spec = view.deployment.spec
    left = any(pid in spec.pids and pid not in spec.pinned for pid in rollout.strategy.sequence)
    return rollout.target == view.target and view.digest in {None, rollout.digest} and (left or not rollout.under_way)


def _fresh(view: DeploymentView, former: Rollout | None) -> Rollout | None:
    """Return a rollout of the target from stable; None where nothing is to be protected or nothing has to move.

    A target that changes before the last one was promoted starts from the stable versions, not from the canary. PIDs
    that come to a deployment which has its version already get it in place: that is no new version there.
    """
    before = {} if former is None or former.state in {"promoted", "completed"} else {**former.stable, **former.back}
    known = {pid: before.get(pid) or here for pid, here in view.deployed.items()}
    stable = {pid: ref for pid, ref in known.items() if ref is not None}
    own = [ref for pid, ref in stable.items() if pid in before or not view.joined(pid)] or list(stable.values())
    if all(ref == view.target for ref in own):
        return None
    now = view.now
    fresh = begin(
        view.deployment, view.resolution.digest, stable, now, format_timestamp(now.epoch), view.observed.holds
    )  # fmt: skip
    return replace(fresh, analysis=replace(fresh.analysis, already_failing=already_failing(view, fresh)))


def _superseded(view: DeploymentView, former: Rollout | None, coming: Rollout | None, why: str) -> Progress:
    """Another artefact is wanted that cannot be rolled out now: what is under way stands still, but stays watched."""
    if former is not None and (former.under_way or former.state in {"promoted", "reverting"}):
        return _going_on(view, former, why)
    return _progress_of(view, view.record, coming)


def _going_on(view: DeploymentView, before: Rollout, obstacle: str) -> Progress:
    """Let a rollout go on as far as the facts allow."""
    if before.state in {"completed", "reverted", "stopped"}:
        return replace(_progress_of(view, view.record, before), verdict=before.analysis.verdict)
    counted, verdict = judged(view, counting(view, before))
    facts = _facts(view, counted, verdict, obstacle)
    rollout = counting(view, advance(counted, facts, view.now))
    if rollout.failed:  # only then ways back matter, and only then they are looked up
        back = {pid: ref for pid in facts.movable if (ref := _way_back(view, counted, pid)) is not None}
        rollout = advance(counted, replace(facts, back=back), view.now)
    record, known = view.record, view.record.rollout
    if rollout.failed and not before.failed:
        rollout = replace(rollout, analysis=replace(rollout.analysis, verdict=verdict))
        entry = Quarantine(rollout.target, rollout.digest, format_timestamp(view.now.epoch), rollout.reason)
        record = record.with_quarantine(entry)
    if known is not None and not _worth_writing(known, rollout):
        rollout = known
    waits_for, until = _waiting(view, rollout, verdict)
    going, seen = _progress_of(view, record.with_rollout(rollout), rollout), verdict or rollout.analysis.verdict
    going = replace(going, note=going.note + _passed(before, rollout, verdict) if going.note else "")
    return replace(going, waits_for=waits_for, until=until, verdict=seen, back=_usual_way_back(view, rollout))


def _progress_of(view: DeploymentView, record: RolloutRecord, rollout: Rollout | None) -> Progress:
    """Return what every PID is to have, by hold, pin, rollout or the plain spec, in this order."""
    spec, holds = view.deployment.spec, view.observed.holds
    quarantine = record.quarantined(view.target, view.digest)
    free = _in_place(view, quarantine) if rollout is None else _wanted(view, rollout)
    targets = {
        pid: holds[pid].package if pid in holds else free[pid] if pid in free else spec.pinned_ref(pid)
        for pid in spec.pids
    }
    returns = rollout is not None and (rollout.under_way or rollout.state in {"promoted", "reverting"})
    return Progress(
        record,
        targets,
        rollout,
        warm=frozenset((*rollout.stable.values(), *rollout.back.values())) if rollout and returns else frozenset(),
        note=_note(view.record.rollout, record.rollout),
        emergency=rollout is not None and rollout.state == "reverting" and rollout.emergency,
        quarantined=quarantine,
        degraded=_degraded(view, rollout),
    )


def _wanted(view: DeploymentView, rollout: Rollout) -> dict[str, PackageRef | None]:
    """What a rollout wants; once it is promoted, whatever the PIDs have had."""
    everywhere = rollout.state in {"promoted", "completed"}
    return wanted_versions(rollout, dict.fromkeys(view.free) if everywhere else view.recorded)


def _in_place(view: DeploymentView, quarantine: Quarantine | None) -> dict[str, PackageRef | None]:
    """Without a rollout: the target, unless it is in quarantine or there is no way to get it; then what was there.

    Nor where an operator has rolled back the deployment: a PID that came later gets what the others were put on.
    """
    if view.rolled_back is not None:
        return {pid: here or view.rolled_back for pid, here in view.recorded.items()}
    stays = quarantine is not None or (view.resolution.problem and not view.resolution.installed)
    return {pid: here if stays and here else None if quarantine else view.target for pid, here in view.recorded.items()}


def _degraded(view: DeploymentView, rollout: Rollout | None) -> str:
    """Return what fails where no rollout judges it: too late to be rolled back, but not to be shown."""
    if rollout is not None and rollout.state != "completed":
        return ""
    if not view.observed.recent and not view.observed.processes:
        return ""
    rates = (each for each in steady_findings(view) if each.metric not in {"restarts", "ready"})
    return "; ".join(each.sentence for each in rates)


def _facts(view: DeploymentView, rollout: Rollout, verdict: Verdict | None, obstacle: str) -> Facts:
    resolution = view.resolution_of(rollout.target)
    beside = {str(each.key) for each in view.processes(rollout.target) if each.key.shadow}
    beside |= {str(key) for key, _ in view.failures(rollout.target) if key.shadow}
    broken = verdict is not None and any(
        finding.metric in {"restarts", "ready"} and finding.outcome == "fail" and not beside.issuperset(finding.where)
        for finding in verdict.findings
    )
    movable = frozenset(pid for pid in view.free if view.station.supports(resolution, pid))
    shown, undecided = _by_pictures(view, rollout)
    chosen = frozenset((*rollout.stable.values(), *rollout.back.values()))
    return Facts(
        active={pid: view.observed.active_ref(pid) for pid in view.free},
        movable=movable,
        judgement=verdict.outcome if verdict is not None else "pass",
        judged_because=verdict.reason if verdict is not None else "",
        obstacle=obstacle,
        refused=view.refused_by_host(rollout.target),
        emergency=broken,
        unfit=frozenset(ref for ref in chosen if not view.fit(ref)),
        shown=shown,
        undecided=undecided,
    )


def _by_pictures(view: DeploymentView, rollout: Rollout) -> tuple[bool, str]:
    """Return whether every picture of the present step was shown, and why they are too few; empty where enough."""
    if (replay := replayed(view, rollout)) is not None:
        return replay.done, undecided_replay(replay)
    shadow = shadowed(view, rollout)
    return True, undecided_shadow(shadow) if shadow is not None else ""


def _way_back(view: DeploymentView, rollout: Rollout, pid: str) -> PackageRef | None:
    """The version that a PID can go back to: its stable one, else the next older one there, else the deployment's.

    Of these, one that has answered a call is preferred.
    """
    older = earlier_versions(view.observed.history.get(pid, ()))

    def usable(ref: PackageRef) -> bool:
        return ref != rollout.target and view.fit(ref) and view.station.supports(view.resolution_of(ref), pid)

    return choose((rollout.stable.get(pid), *older, rollout.usual_stable), usable, view.observed.proven)


def _usual_way_back(view: DeploymentView, rollout: Rollout) -> PackageRef | None:
    """Where most PIDs of a promoted version would go if it failed now; None where nothing is rolled back by itself."""
    if rollout.state != "promoted" or not rollout.strategy.auto_revert:
        return None
    on_target = (pid for pid in view.free if view.observed.active_ref(pid) == rollout.target)
    back = Counter(ref for pid in on_target if (ref := _way_back(view, rollout, pid)) is not None).most_common(1)
    return back[0][0] if back else None


def _worth_writing(before: Rollout, after: Rollout) -> bool:
    """Whether a rollout differs by more than a few calls, which the tallies know anyway."""
    calls, more = before.analysis.tests.calls, after.analysis.tests.calls
    known = replace(after, analysis=replace(after.analysis, tests=before.analysis.tests))
    return known != before or not calls <= more <= calls * 1.1


def _waiting(view: DeploymentView, rollout: Rollout, verdict: Verdict | None) -> tuple[str, float]:
    """Return what a rollout waits for, and until when."""
    step = f"{rollout.target}: {rollout.strategy.steps[rollout.step]}"
    if not rollout.under_way:
        return "", math.inf
    if rollout.paused_by:
        return f"{step}; paused by {rollout.paused_by} until `pvctl resume {rollout.deployment}`", math.inf
    if rollout.suspended_because:
        return f"{step}; {rollout.suspended_because}", math.inf
    if not any(pid in rollout.strategy.sequence for pid in view.free):
        return f"{step}; every PID of it is held or pinned", math.inf
    timer = rollout.progress if rollout.state == "stepping" else rollout.timer
    if timer is not None and timer.over(view.now):
        timer = None  # its time is over, and something else is waited for
    words = {
        "stepping": "its PIDs are moving",
        "baking": f"must stay healthy for {rollout.strategy.min_healthy_time:g}s",
        "sampling": verdict.reason if verdict else "too few calls",
        **dict.fromkeys(BY_PICTURES, _pictures_waited_for(view, rollout)),
    }
    message = words.get(rollout.state, f"`pvctl promote {rollout.deployment}` goes on at once")
    until = math.inf if timer is None or timer.since is None else timer.since.seconds + timer.left
    return f"{step}; {message}", until


def _pictures_waited_for(view: DeploymentView, rollout: Rollout) -> str:
    """Return how far a replay or a shadow has come, and what it lacks; empty where the step is neither."""
    passes = f"`pvctl promote {rollout.deployment}` passes the step"
    if (replay := replayed(view, rollout)) is not None:
        if replay.report is None:
            return f"the replay is about to begin; {passes}"
        if replay.report.problem:
            return f"the replay cannot go on: {replay.report.problem}; {passes}"
        if few := undecided_replay(replay):
            return f"{few}; `pvctl retry {rollout.deployment}` shows what is recorded by now, {passes}"
        return f"{replay.report.shown:,} of {replay.report.wanted:,} recorded pictures shown; {passes}"
    if rollout.state == "shadowing" and (shadow := shadowed(view, rollout)) is not None:
        few = undecided_shadow(shadow) or f"{shadow.compared or 0:,} shadowed pictures compared"
        return f"{few}; {passes}"
    return ""


def _note(before: Rollout | None, after: Rollout | None) -> str:
    """Return what to say of a change that matters; empty where only counters moved."""
    if after is None:
        return "" if before is None else f"the rollout of {before.target} is over: it is not wanted any more"
    if before is None or before.began != after.began:
        return f"rollout of {after.target} begins: {after.strategy.steps[0]}{_unprotected(after)}"
    if bool(after.suspended_because) != bool(before.suspended_because):
        return f"rollout of {after.target}: {after.suspended_because or 'nothing stands in its way any more'}"
    if (before.state, before.step, before.back) == (after.state, after.step, after.back):
        return ""
    words = {
        "stepping": f"{after.strategy.steps[after.step]}",
        "baking": f"{after.strategy.steps[after.step]}: its PIDs have moved",
        "paused": f"{after.strategy.steps[after.step]}",
        "waiting": "waiting for `pvctl promote`",
        "sampling": "waiting for more calls",
        "replaying": f"{after.strategy.steps[after.step]} begins",
        "shadowing": f"{after.strategy.steps[after.step]} begins",
        "promoted": "promoted on all PIDs",
        "completed": "the rollback window is over",
        "reverting": f"rolled back: {after.reason}",
        "reverted": "every PID is back",
        "stopped": f"stopped: {after.reason}",
    }
    return f"rollout of {after.target}: {words[after.state]}"


def _passed(before: Rollout, after: Rollout, verdict: Verdict | None) -> str:
    """Return by which pictures a step was passed, as the end of a note; empty where none was."""
    if verdict is None or before.state not in BY_PICTURES or after.step == before.step or after.failed:
        return ""
    said = "; ".join(each.sentence for each in verdict.findings if each.metric in {"newlyOK", "newlyNG"})
    return f"; {before.strategy.steps[before.step]} is passed: {said}"


def _unprotected(rollout: Rollout) -> str:
    new = [pid for pid in rollout.strategy.sequence if pid not in rollout.stable]
    return f"; first version of {', '.join(new)}, so at once" if new else ""
