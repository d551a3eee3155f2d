"""How one deployment's rollout goes on in a pass, and which version each of its PIDs is to have now. Pure.

Here facts are gathered for the state machine: where PIDs are, what the canary's calls came to, which way back there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from controller.model.desired import Deployment, Revision
from controller.model.observed import ActiveMapping, Observed, ObservedProcess
from controller.model.package import PackageRef
from controller.model.rollout import Countdown, DeploymentMemory, Instant, Quarantine, Rollout
from controller.model.tally import Tally, pooled
from controller.model.timestamps import format_timestamp
from controller.planning.analysis import judge
from controller.planning.rollout import Facts, advance, begin, wanted_version
from controller.planning.verdict import Bystander, Observation, Reading, Trials, Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """A deployment's memory after the pass, what its PIDs are to have (None: leave as is), and what stays warm."""

    memory: DeploymentMemory
    targets: Mapping[str, PackageRef | None]
    warm: frozenset[PackageRef] = frozenset()
    note: str = ""
    emergency: bool = False
    quarantined: Quarantine | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """One deployment in one pass. `digest` is that of its package where it can be had, else None."""

    deployment: Deployment
    digest: str | None
    installed: bool
    revision: Revision
    observed: Observed
    now: Instant

    @property
    def memory(self) -> DeploymentMemory:
        return self.observed.memories.get(self.deployment.name, DeploymentMemory())

    @property
    def target(self) -> PackageRef:
        return self.deployment.spec.ref

    @property
    def movable(self) -> tuple[str, ...]:
        """The PIDs that neither a pin nor a hold keeps where they are."""
        spec = self.deployment.spec
        return tuple(pid for pid in spec.pids if pid not in spec.pinned and pid not in self.observed.holds)

    def active(self, pid: str) -> PackageRef | None:
        mapping = self.observed.active.get(pid)
        if isinstance(mapping, ActiveMapping) and mapping.ref in self.observed.installed:
            return mapping.ref
        return None

    def recorded(self, pid: str) -> PackageRef | None:
        """The version that a PID has by its history; a mapping that was edited by hand is drift, no version change."""
        history = self.observed.history.get(pid, ())
        if history and history[-1].ref in self.observed.installed:
            return history[-1].ref
        return self.active(pid)

    def processes(self, package: PackageRef) -> Iterable[ObservedProcess]:
        for key, process in self.observed.processes.items():
            if key.deployment == self.deployment.name and key.ref == package:
                yield process


def progress(scene: Scene) -> Progress:
    """Return how the deployment's rollout goes on and what its PIDs are to have."""
    memory, quarantine = scene.memory, scene.memory.quarantined(scene.target, scene.digest)
    rollout = memory.rollout
    if scene.deployment.spec.suspend:
        return _settle(scene, memory, quarantine)
    if quarantine is None and (rollout is None or rollout.target != scene.target):
        rollout = _start(scene, rollout)
    if rollout is None or (rollout.target != scene.target and quarantine is not None):
        return _settle(scene, memory.with_rollout(rollout), quarantine)
    before = rollout
    rollout, verdict = _judged(_counting(scene, rollout), scene)
    rollout = _entered(advance(rollout, _facts(scene, rollout, verdict), scene.now), before, scene)
    memory = _remembered(memory, before, rollout, scene)
    return _settle(scene, memory, memory.quarantined(scene.target, scene.digest))


def _start(scene: Scene, former: Rollout | None) -> Rollout | None:
    """Return a new rollout from stable, or None where nothing is to be protected or nothing has to move.

    A target that changes under way starts from the stable versions again, not from the abandoned canary.
    """
    abandoned = former is not None and (former.under_way or former.state == "reverting")
    stable: dict[str, PackageRef] = {}
    for pid in scene.movable:
        ref = former.stable.get(pid) if former is not None and abandoned else None
        if (ref := ref or scene.recorded(pid)) is not None:
            stable[pid] = ref
    if not stable or all(ref == scene.target for ref in stable.values()):
        return None
    if not scene.installed or scene.digest is None:
        return former  # it begins when the package is there; until then nothing moves
    rollout = begin(scene.deployment, scene.digest, stable, scene.now, format_timestamp(scene.now.epoch))
    return replace(rollout, delay=Countdown(rollout.terms.initial_delay))


def _settle(scene: Scene, memory: DeploymentMemory, quarantine: Quarantine | None) -> Progress:
    """Return what every PID is to have, by hold, pin, rollout or the plain spec, in this order."""
    rollout, spec = memory.rollout, scene.deployment.spec
    current = rollout is not None and (rollout.target == scene.target or rollout.under_way)
    targets: dict[str, PackageRef | None] = {}
    for pid in spec.pids:
        if (hold := scene.observed.holds.get(pid)) is not None:
            targets[pid] = hold.package
        elif (pinned := spec.pinned_ref(pid)) is not None:
            targets[pid] = pinned
        elif rollout is not None and current:
            targets[pid] = wanted_version(rollout, pid, _newcomer(rollout))
        else:
            targets[pid] = None if quarantine is not None else spec.ref
    former = scene.memory.rollout
    return Progress(
        memory,
        targets,
        warm=frozenset(rollout.stable.values()) if rollout is not None and _needs_way_back(rollout) else frozenset(),
        note=_note(former, rollout),
        emergency=rollout is not None and rollout.state == "reverting" and rollout.emergency,
        quarantined=quarantine,
    )


def _needs_way_back(rollout: Rollout) -> bool:
    return rollout.under_way or rollout.state in {"promoted", "reverting"}


def _newcomer(rollout: Rollout) -> PackageRef | None:
    """What a PID gets that came after the start: the version that most PIDs had then."""
    versions = list(rollout.stable.values())
    return max(versions, key=versions.count) if versions else None


def _counting(scene: Scene, rollout: Rollout) -> Rollout:
    """Set the point from which calls count: the start, or the end of `initialDelay`."""
    if rollout.baseline is not None:
        return rollout
    moved = any(scene.active(pid) == rollout.target for pid in rollout.terms.sequence)
    delay = rollout.delay or Countdown(0.0)
    if delay.left > 0 and delay.since is None and not moved:
        return rollout
    if delay.left > 0 and delay.since is None:
        return replace(rollout, delay=delay.run(scene.now))
    if not delay.over(scene.now):
        return rollout
    return replace(
        rollout,
        delay=None,
        baseline=_tallies(scene, rollout.terms.sequence, lambda _: rollout.target),
        stable_baseline=_tallies(scene, rollout.stable, rollout.stable.get),
    )


def _tallies(scene: Scene, pids: Iterable[str], version: object) -> dict[str, Tally]:
    found = {}
    for pid in pids:
        ref = version(pid)  # type: ignore[operator]
        if ref is not None and (tally := scene.observed.tallies.get((pid, ref))) is not None:
            found[pid] = tally
    return found


def _since(tally: Tally, baseline: Tally | None) -> Tally:
    try:
        return tally - baseline if baseline is not None else tally
    except ValueError:  # the counters were lost and began anew: what there is counts from zero
        return tally


def _judged(rollout: Rollout, scene: Scene) -> tuple[Rollout, Verdict | None]:
    """Return the rollout with its trials advanced, and the verdict on what the target's calls came to."""
    if not (rollout.under_way or rollout.state == "promoted"):
        return rollout, None
    spec, counting = scene.deployment.spec, rollout.baseline is not None
    canary = _tallies(scene, rollout.terms.sequence, lambda _: rollout.target) if counting else {}
    canary = {pid: _since(tally, (rollout.baseline or {}).get(pid)) for pid, tally in canary.items()}
    staying = [pid for pid in rollout.stable if scene.active(pid) == rollout.stable[pid]]
    stable = _tallies(scene, staying, rollout.stable.get) if counting else {}
    stable = {pid: _since(tally, rollout.stable_baseline.get(pid)) for pid, tally in stable.items()}
    seen = Observation(
        canary=canary,
        stable=stable,
        readings=tuple(_reading(scene, process) for process in scene.processes(rollout.target)) + _never_ready(scene),
        bystanders=tuple(_bystanders(scene, rollout)),
        step_calls=max(0, pooled(canary.values()).calls - rollout.step_calls),
        trials=Trials.from_document(rollout.trials) if rollout.trials else Trials(),
    )
    canary_strategy = spec.strategy.canary
    analysis = canary_strategy.analysis if canary_strategy and rollout.under_way else None
    verdict = judge(spec.health, analysis, seen)
    return replace(rollout, trials=verdict.trials.to_document()), verdict


def _reading(scene: Scene, process: ObservedProcess) -> Reading:
    failure = scene.observed.failures.get(f"process/{process.key}")
    return Reading(
        str(process.key),
        memory_bytes=process.rss_bytes,
        cpu=None if process.cpu_percent is None else process.cpu_percent / 100,
        breaker_open=failure is not None and failure.breaker,
        detail=failure.message if failure is not None else process.detail,
    )


def _never_ready(scene: Scene) -> tuple[Reading, ...]:
    """Processes of the target that could not be started at all."""
    found = []
    for name, failure in scene.observed.failures.items():
        prefix = f"process/{scene.deployment.name}/{scene.target}-"
        if name.startswith(prefix) and not failure.breaker and not failure.crashed:
            found.append(Reading(name.removeprefix("process/"), never_ready=True, detail=failure.message))
    return tuple(found)


def _bystanders(scene: Scene, rollout: Rollout) -> Iterable[Bystander]:
    """The versions that the rollout did not touch: other deployments, and this one's stable PIDs."""
    recent = scene.observed.recent
    for other in scene.revision.deployments:
        own = other.name == scene.deployment.name
        pids = [pid for pid in other.spec.pids if not own or scene.active(pid) == rollout.stable.get(pid)]
        tallies = {pid: recent[pid, ref] for pid in pids if (ref := scene.active(pid)) and (pid, ref) in recent}
        if tallies:
            yield Bystander(f"{other.name} (stable)" if own else other.name, other.spec.health, tallies)


def _facts(scene: Scene, rollout: Rollout, verdict: Verdict | None) -> Facts:
    movable = frozenset(scene.movable)
    breaker = verdict is not None and any(
        finding.metric in {"restarts", "ready"} and finding.outcome == "fail" for finding in verdict.findings
    )
    return Facts(
        active={pid: scene.active(pid) for pid in scene.deployment.spec.pids},
        movable=movable,
        judgement=verdict.outcome if verdict is not None else "pass",
        judged_because=verdict.reason if verdict is not None else "",
        emergency=breaker,
        back={pid: ref for pid in movable if (ref := _way_back(scene, rollout, pid)) is not None},
    )


def _way_back(scene: Scene, rollout: Rollout, pid: str) -> PackageRef | None:
    """The version that a PID can go back to: its stable one, else the next older one that was healthy there."""
    older = (entry.ref for entry in reversed(scene.observed.history.get(pid, ())))
    for ref in dict.fromkeys((rollout.stable.get(pid), *older)):
        if ref is not None and ref != rollout.target and _can_serve(scene, ref):
            return ref
    return None


def _can_serve(scene: Scene, ref: PackageRef) -> bool:
    installation = scene.observed.installed.get(ref)
    if installation is None or scene.memory.quarantined(ref, installation.receipt.digest) is not None:
        return False
    return f"process/{scene.deployment.name}/{ref}-0" not in scene.observed.failures


def _entered(rollout: Rollout, before: Rollout, scene: Scene) -> Rollout:
    """Count a step's calls from where its weight was entered; find another way back where the chosen one is broken."""
    if rollout.stage != before.stage and rollout.terms.stages[rollout.stage].kind == "weight":
        counted = _tallies(scene, rollout.terms.sequence, lambda _: rollout.target)
        since = (_since(tally, (rollout.baseline or {}).get(pid)) for pid, tally in counted.items())
        rollout = replace(rollout, step_calls=pooled(since).calls)
    if rollout.state == "reverting":
        back = {pid: ref for pid in rollout.back if (ref := _way_back(scene, rollout, pid)) is not None}
        stuck = sorted(rollout.back.keys() - back.keys())
        reason = f"; no older version works on {', '.join(stuck)}: what runs there is kept"
        if stuck and reason not in rollout.reason:
            rollout = replace(rollout, reason=rollout.reason + reason)
        kept = {pid: ref for pid in stuck if (ref := scene.active(pid)) is not None}
        rollout = replace(rollout, back={**back, **kept})
    return rollout


def _remembered(memory: DeploymentMemory, before: Rollout, after: Rollout, scene: Scene) -> DeploymentMemory:
    """Return the memory with the rollout, its artefact quarantined at the moment it failed."""
    quarantine = memory.quarantine
    if after.failed and not before.failed:
        entry = Quarantine(after.target, after.digest, format_timestamp(scene.now.epoch), after.reason)
        quarantine = (*quarantine, entry)
    return DeploymentMemory(after, quarantine)


def _note(before: Rollout | None, after: Rollout | None) -> str:
    """Return what to say of a change that matters; empty where only counters moved."""
    if after is None:
        return "" if before is None else f"the rollout of {before.target} is over: it is not wanted any more"
    if before is None or before.target != after.target or before.started_at != after.started_at:
        return f"rollout of {after.target} begins: {after.terms.stages[0]}"
    if (before.state, before.stage, before.back) == (after.state, after.stage, after.back):
        return ""
    stage = after.terms.stages[after.stage]
    words = {
        "stepping": f"{stage}",
        "baking": f"{stage}: its PIDs have moved",
        "paused": f"{stage}",
        "waiting": "waiting for `pvctl promote`",
        "promoted": "promoted on all PIDs",
        "completed": "the rollback window is over",
        "reverting": f"taken back: {after.reason}",
        "reverted": "every PID is back",
        "stopped": f"stopped: {after.reason}",
    }
    return f"rollout of {after.target}: {words[after.state]}"
