"""How one deployment's rollout goes on in a pass, and which version each of its PIDs is to have now. Pure.

Which rollout it is, is decided here: the one that is remembered, a new one, or none. How it goes on is the machine's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.model.package import PackageRef
from controller.model.rollout import DeploymentMemory, Quarantine, Rollout
from controller.model.timestamps import format_timestamp
from controller.planning.evidence import ailing, counting, judged, steady_findings
from controller.planning.rollout import Facts, advance, begin, halt, usual_version, wanted_versions
from controller.planning.scene import Scene
from controller.planning.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """A deployment's memory after the pass and what its PIDs are to have (None: leave as is).

    `rollout` is the one that says so: the remembered one, or one that begins as soon as its package is installed.
    `warm` are versions whose processes are kept for the way back, `note` says what was decided, `quarantined` why the
    target is not tried, `degraded` what is wrong with versions that nobody judges any more. While it waits, `waits_for`
    says what for and `until` when that ends (seconds of the boot-time clock; infinite where no clock tells).
    """

    memory: DeploymentMemory
    targets: Mapping[str, PackageRef | None]
    rollout: Rollout | None = None
    warm: frozenset[PackageRef] = frozenset()
    note: str = ""
    emergency: bool = False
    quarantined: Quarantine | None = None
    degraded: str = ""
    waits_for: str = ""
    until: float = field(default=math.inf)


def progress(scene: Scene) -> Progress:
    """Return how the deployment's rollout goes on and what its PIDs are to have."""
    memory, former = scene.memory, scene.memory.rollout
    quarantine = memory.quarantined(scene.target, scene.digest)
    if scene.deployment.spec.suspend:
        return _settled(scene, memory.with_rollout(halt(former, scene.now) if former else None), former)
    if former is not None and _still_wanted(former, scene) and (quarantine is not None or not former.failed):
        missing = "" if scene.supply.installed else f"{scene.target} is not installed"
        return _going_on(scene, former, missing)
    if quarantine is not None:
        return _superseded(scene, former, None, f"{scene.target} is wanted instead, but in quarantine")
    fresh = _fresh(scene, former)
    if fresh is None:
        moved = all(here in {None, scene.target} for here in scene.recorded.values())
        return _settled(scene, memory.with_rollout(None) if moved else memory, None)
    if not scene.supply.installed:
        coming = None if scene.supply.problem else fresh
        return _superseded(scene, former, coming, f"{scene.target} is wanted instead, but not installed yet")
    return _going_on(scene, fresh, "")


def _still_wanted(rollout: Rollout, scene: Scene) -> bool:
    """Whether a rollout is of the artefact that is wanted, and there is a PID left in it."""
    spec = scene.deployment.spec
    left = any(pid in spec.pids and pid not in spec.pinned for pid in rollout.terms.sequence)
    return rollout.target == scene.target and scene.digest in {None, rollout.digest} and (left or not rollout.under_way)


def _fresh(scene: Scene, former: Rollout | None) -> Rollout | None:
    """Return a rollout of the target from stable; None where nothing is to be protected or nothing has to move.

    A target that changes before the last one was promoted starts from the stable versions, not from the canary. PIDs
    that come to a deployment which has its version already get it in place: that is no new version there.
    """
    before = {} if former is None or former.state in {"promoted", "completed"} else {**former.stable, **former.back}
    known = {pid: before.get(pid) or here for pid, here in scene.recorded.items()}
    stable = {pid: ref for pid, ref in known.items() if ref is not None}
    own = [ref for pid, ref in stable.items() if pid in before or not scene.joined(pid)] or list(stable.values())
    if all(ref == scene.target for ref in own):
        return None
    now = scene.now
    fresh = begin(
        scene.deployment, scene.supply.digest, stable, now, format_timestamp(now.epoch), scene.observed.holds
    )  # fmt: skip
    return replace(fresh, ailing=ailing(scene, fresh))


def _superseded(scene: Scene, former: Rollout | None, coming: Rollout | None, why: str) -> Progress:
    """Another artefact is wanted that cannot be rolled out now: what is under way stands still, but stays watched."""
    if former is not None and (former.under_way or former.state in {"promoted", "reverting"}):
        return _going_on(scene, former, why)
    return _settled(scene, scene.memory, coming)


def _going_on(scene: Scene, before: Rollout, obstacle: str) -> Progress:
    """Let a rollout go on as far as the facts allow."""
    if before.state in {"completed", "reverted", "stopped"}:
        return _settled(scene, scene.memory, before)
    counted, verdict = judged(scene, counting(scene, before))
    facts = _facts(scene, counted, verdict, obstacle)
    rollout = counting(scene, advance(counted, facts, scene.now))
    if rollout.failed:  # only then ways back matter, and only then they are looked up
        back = {pid: ref for pid in facts.movable if (ref := _way_back(scene, counted, pid)) is not None}
        rollout = advance(counted, replace(facts, back=back), scene.now)
    memory, known = scene.memory, scene.memory.rollout
    if rollout.failed and not before.failed:
        rollout = replace(rollout, verdict=verdict.to_document() if verdict else {})
        entry = Quarantine(rollout.target, rollout.digest, format_timestamp(scene.now.epoch), rollout.reason)
        memory = replace(memory, quarantine=(*memory.quarantine, entry))
    if known is not None and not _worth_writing(known, rollout):
        rollout = known
    waits_for, until = _waiting(scene, rollout, verdict)
    settled = _settled(scene, memory.with_rollout(rollout), rollout)
    return replace(settled, waits_for=waits_for, until=until)


def _settled(scene: Scene, memory: DeploymentMemory, rollout: Rollout | None) -> Progress:
    """Return what every PID is to have, by hold, pin, rollout or the plain spec, in this order."""
    spec, holds = scene.deployment.spec, scene.observed.holds
    quarantine = memory.quarantined(scene.target, scene.digest)
    free = _in_place(scene, quarantine) if rollout is None else _wanted(scene, rollout)
    targets = {
        pid: holds[pid].package if pid in holds else free[pid] if pid in free else spec.pinned_ref(pid)
        for pid in spec.pids
    }
    returns = rollout is not None and (rollout.under_way or rollout.state in {"promoted", "reverting"})
    return Progress(
        memory,
        targets,
        rollout,
        warm=frozenset((*rollout.stable.values(), *rollout.back.values())) if rollout and returns else frozenset(),
        note=_note(scene.memory.rollout, memory.rollout),
        emergency=rollout is not None and rollout.state == "reverting" and rollout.emergency,
        quarantined=quarantine,
        degraded=_degraded(scene, rollout),
    )


def _wanted(scene: Scene, rollout: Rollout) -> dict[str, PackageRef | None]:
    """What a rollout wants; once it is promoted, whatever the PIDs have had."""
    everywhere = rollout.state in {"promoted", "completed"}
    return wanted_versions(rollout, dict.fromkeys(scene.free) if everywhere else scene.recorded)


def _in_place(scene: Scene, quarantine: Quarantine | None) -> dict[str, PackageRef | None]:
    """Without a rollout: the target, unless it is in quarantine or there is no way to get it; then what was there."""
    stays = quarantine is not None or (scene.supply.problem and not scene.supply.installed)
    return {
        pid: here if stays and here else None if quarantine else scene.target for pid, here in scene.recorded.items()
    }


def _degraded(scene: Scene, rollout: Rollout | None) -> str:
    """Return what fails where no rollout judges it: too late to be taken back, but not to be told."""
    if rollout is not None and rollout.state != "completed":
        return ""
    if not scene.observed.recent and not scene.observed.processes:
        return ""
    rates = (each for each in steady_findings(scene) if each.metric not in {"restarts", "ready"})
    return "; ".join(each.sentence for each in rates)


def _facts(scene: Scene, rollout: Rollout, verdict: Verdict | None, obstacle: str) -> Facts:
    supply = scene.supply_of(rollout.target)
    broken = verdict is not None and any(
        finding.metric in {"restarts", "ready"} and finding.outcome == "fail" for finding in verdict.findings
    )
    movable = frozenset(pid for pid in scene.free if scene.station.supports(supply, pid))
    chosen = frozenset((*rollout.stable.values(), *rollout.back.values()))
    return Facts(
        active={pid: scene.station.active(pid) for pid in scene.free},
        movable=movable,
        judgement=verdict.outcome if verdict is not None else "pass",
        judged_because=verdict.reason if verdict is not None else "",
        obstacle=obstacle,
        emergency=broken,
        unfit=frozenset(ref for ref in chosen if not scene.fit(ref)),
    )


def _way_back(scene: Scene, rollout: Rollout, pid: str) -> PackageRef | None:
    """The version that a PID can go back to: its stable one, else the next older one there, else the deployment's."""
    older = (entry.ref for entry in reversed(scene.observed.history.get(pid, ())))
    for ref in dict.fromkeys((rollout.stable.get(pid), *older, usual_version(rollout))):
        usable = ref is not None and ref != rollout.target and scene.fit(ref)
        if ref is not None and usable and scene.station.supports(scene.supply_of(ref), pid):
            return ref
    return None


def _worth_writing(before: Rollout, after: Rollout) -> bool:
    """Whether a rollout differs by more than a few calls, which the tallies know anyway."""
    calls, more = (_judged_calls(each) for each in (before, after))
    return replace(after, trials=before.trials) != before or not calls <= more <= calls * 1.1


def _judged_calls(rollout: Rollout) -> int:
    test = rollout.trials.get("rates", {}).get("errorRate")
    return int(test["calls"]) if test else 0


def _waiting(scene: Scene, rollout: Rollout, verdict: Verdict | None) -> tuple[str, float]:
    """Return what a rollout waits for, and until when."""
    stage = f"{rollout.target}: {rollout.terms.stages[rollout.stage]}"
    if not rollout.under_way:
        return "", math.inf
    if rollout.paused_by:
        return f"{stage}; paused by {rollout.paused_by} until `pvctl resume {rollout.deployment}`", math.inf
    if rollout.held_for:
        return f"{stage}; {rollout.held_for}", math.inf
    if not any(pid in rollout.terms.sequence for pid in scene.free):
        return f"{stage}; every PID of it is held or pinned", math.inf
    timer = rollout.progress if rollout.state == "stepping" else rollout.timer
    words = {
        "stepping": "its PIDs are moving",
        "baking": f"must stay healthy for {rollout.terms.min_healthy_time:g}s",
        "sampling": verdict.reason if verdict else "too few calls",
    }
    said = words.get(rollout.state, f"`pvctl promote {rollout.deployment}` goes on at once")
    until = math.inf if timer is None or timer.since is None else timer.since.seconds + timer.left
    return f"{stage}; {said}", until


def _note(before: Rollout | None, after: Rollout | None) -> str:
    """Return what to say of a change that matters; empty where only counters moved."""
    if after is None:
        return "" if before is None else f"the rollout of {before.target} is over: it is not wanted any more"
    if before is None or before.began != after.began:
        return f"rollout of {after.target} begins: {after.terms.stages[0]}{_unprotected(after)}"
    if bool(after.held_for) != bool(before.held_for):
        return f"rollout of {after.target}: {after.held_for or 'nothing stands in its way any more'}"
    if (before.state, before.stage, before.back) == (after.state, after.stage, after.back):
        return ""
    words = {
        "stepping": f"{after.terms.stages[after.stage]}",
        "baking": f"{after.terms.stages[after.stage]}: its PIDs have moved",
        "paused": f"{after.terms.stages[after.stage]}",
        "waiting": "waiting for `pvctl promote`",
        "sampling": "waiting for more calls",
        "promoted": "promoted on all PIDs",
        "completed": "the rollback window is over",
        "reverting": f"taken back: {after.reason}",
        "reverted": "every PID is back",
        "stopped": f"stopped: {after.reason}",
    }
    return f"rollout of {after.target}: {words[after.state]}"


def _unprotected(rollout: Rollout) -> str:
    new = [pid for pid in rollout.terms.sequence if pid not in rollout.stable]
    return f"; {', '.join(new)}: no older version, so at once and with no way back" if new else ""
