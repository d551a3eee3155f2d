"""What is known of a version's health when it is judged: its calls since the rollout began, its processes, bystanders.

Here the facts are gathered; `planning.analysis` judges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from controller.model.desired import Deployment
from controller.model.observed import Failure
from controller.model.package import PackageRef
from controller.model.rollout import Countdown, Rollout
from controller.model.strategy import Analysis
from controller.model.tally import Tally, pooled
from controller.planning.analysis import failing, judge
from controller.planning.scene import Scene, Station
from controller.planning.verdict import Bystander, Finding, Observation, Reading, Trials, Verdict


def counting(scene: Scene, rollout: Rollout) -> Rollout:
    """Return the rollout with the points from which calls count: its start or the end of `initialDelay`, its step."""
    rollout = _from_start(scene, rollout)
    if rollout.step_calls is None:
        return replace(rollout, step_calls=pooled(_canary(scene, rollout).values()).calls)
    return rollout


def _from_start(scene: Scene, rollout: Rollout) -> Rollout:
    delay = rollout.delay
    if rollout.baseline is not None or delay is None:
        return rollout
    if delay.left > 0 and delay.since is None:
        moved = any(scene.station.active(pid) == rollout.target for pid in rollout.terms.sequence)
        return replace(rollout, delay=delay.run(scene.now)) if moved else rollout
    if not delay.over(scene.now):
        return replace(rollout, delay=delay.noted(scene.now))
    return replace(
        rollout,
        delay=None,
        baseline=_tallies(scene, dict.fromkeys(rollout.terms.sequence, rollout.target)),
        stable_baseline=_tallies(scene, rollout.stable),
    )


def judged(scene: Scene, rollout: Rollout) -> tuple[Rollout, Verdict | None]:
    """Return the rollout with its trials advanced, and the verdict on what the target's calls came to."""
    if not (rollout.under_way or rollout.state == "promoted"):
        return rollout, None
    canary_strategy = scene.deployment.spec.strategy.canary
    analysis = canary_strategy.analysis if canary_strategy and rollout.under_way else None
    if analysis is not None and rollout.terms.min_samples is not None:
        analysis = analysis.model_copy(update={"min_samples": rollout.terms.min_samples})
    verdict = _verdict(scene, rollout, analysis)
    if rollout.troubled and verdict.outcome != "hold":
        rollout = _anew(scene, rollout)
        verdict = _verdict(scene, rollout, analysis)
    return replace(rollout, trials=verdict.trials.to_document(), troubled=verdict.outcome == "hold"), verdict


def _verdict(scene: Scene, rollout: Rollout, analysis: Analysis | None) -> Verdict:
    health, seen = scene.deployment.spec.health, _observation(scene, rollout)
    verdict = judge(health, analysis, seen)
    if verdict.outcome != "fail":  # only for a fail it matters whether others fail too, and only then it is looked up
        return verdict
    return judge(health, analysis, replace(seen, bystanders=tuple(_bystanders(scene, rollout))))


def _anew(scene: Scene, rollout: Rollout) -> Rollout:
    """Return the rollout counting from now: what came of the host's trouble is not held against the version."""
    return counting(scene, replace(rollout, baseline=None, delay=Countdown(0.0), trials={}, step_calls=None))


def ailing(scene: Scene, rollout: Rollout) -> tuple[str, ...]:
    """Return the bystanders that fail already: whatever they do later says nothing about the host."""
    return tuple(each.name for each in _bystanders(scene, rollout) if failing(each))


def steady_findings(scene: Scene) -> tuple[Finding, ...]:
    """Return what the versions that answer now fail of their limits, by their last window alone."""
    return failing(_bystander(scene.station, scene.deployment, scene.name, scene.deployment.spec.pids))


def _observation(scene: Scene, rollout: Rollout) -> Observation:
    canary = _canary(scene, rollout)
    return Observation(
        canary=canary,
        stable=_stable(scene, rollout),
        readings=tuple(_readings(scene.station, scene.deployment, rollout.target, rollout)),
        step_calls=max(0, pooled(canary.values()).calls - (rollout.step_calls or 0)),
        trials=Trials.from_document(rollout.trials) if rollout.trials else Trials(),
    )


def _canary(scene: Scene, rollout: Rollout) -> dict[str, Tally]:
    if rollout.baseline is None:
        return {}
    return _since(_tallies(scene, dict.fromkeys(rollout.terms.sequence, rollout.target)), rollout.baseline)


def _stable(scene: Scene, rollout: Rollout) -> dict[str, Tally]:
    """The calls of all stable versions, also on PIDs that have moved since; none where no PID is left on them."""
    left = any(scene.station.active(pid) == ref for pid, ref in rollout.stable.items())
    if rollout.baseline is None or not left:
        return {}
    return _since(_tallies(scene, rollout.stable), rollout.stable_baseline)


def _tallies(scene: Scene, versions: Mapping[str, PackageRef]) -> dict[str, Tally]:
    tallies = scene.observed.tallies
    return {pid: tallies[pid, ref] for pid, ref in versions.items() if (pid, ref) in tallies}


def _since(tallies: Mapping[str, Tally], baseline: Mapping[str, Tally]) -> dict[str, Tally]:
    return {pid: _later(tally, baseline.get(pid)) for pid, tally in tallies.items()}


def _later(tally: Tally, baseline: Tally | None) -> Tally:
    try:
        return tally - baseline if baseline is not None else tally
    except ValueError:  # the counters were lost and began anew: what there is counts from zero
        return tally


def _readings(
    station: Station, deployment: Deployment, package: PackageRef, rollout: Rollout | None = None
) -> Iterator[Reading]:
    """Yield what is known of each process of a version: what it uses, and what went wrong with it.

    Of a failure from before the rollout began nothing is held against it: a retry tries once more.
    """
    scene = Scene.of(station, deployment)
    failures = {
        failure.object.removeprefix("process/"): failure
        for failure in scene.failures(package)
        if rollout is None or not _before(failure, rollout, scene)
    }
    processes = {str(process.key): process for process in scene.processes(package)}
    for name in dict.fromkeys((*processes, *failures)):
        process, failure = processes.get(name), failures.get(name)
        yield Reading(
            name,
            memory_bytes=process.rss_bytes if process else None,
            cpu=process.cpu_percent / 100 if process and process.cpu_percent is not None else None,
            breaker_open=failure is not None and failure.breaker,
            never_ready=failure is not None and not failure.breaker and not failure.crashed,
            detail=failure.message if failure else process.detail if process else "",
        )


def _before(failure: Failure, rollout: Rollout, scene: Scene) -> bool:
    return rollout.began.boot == scene.now.boot and failure.at < rollout.began.seconds


def _bystanders(scene: Scene, rollout: Rollout) -> Iterator[Bystander]:
    """Yield the versions that the rollout did not touch: other deployments', and this one's stable PIDs."""
    for other in scene.station.revision.deployments:
        own = other.name == scene.name
        name = f"{other.name} (stable)" if own else other.name
        if name not in rollout.ailing:
            pids = _stable_pids(scene, rollout) if own else _witnesses(scene.station, other, rollout)
            bystander = _bystander(scene.station, other, name, pids)
            if bystander.tallies or bystander.readings:
                yield bystander


def _stable_pids(scene: Scene, rollout: Rollout) -> Iterable[str]:
    return (pid for pid in scene.deployment.spec.pids if scene.station.active(pid) == rollout.stable.get(pid))


def _witnesses(station: Station, other: Deployment, rollout: Rollout) -> Iterable[str]:
    """The PIDs of another deployment but for those on a version that is itself under suspicion.

    Two bad versions that are rolled out together must not protect each other. One that was promoted before this
    rollout began was well then.
    """
    memory = station.observed.memories.get(other.name)
    theirs = memory.rollout if memory else None
    if theirs is None or theirs.state == "completed" or (theirs.state == "promoted" and _earlier(theirs, rollout)):
        return other.spec.pids
    return (pid for pid in other.spec.pids if station.active(pid) != theirs.target)


def _earlier(one: Rollout, other: Rollout) -> bool:
    return one.began.boot == other.began.boot and one.began.seconds < other.began.seconds


def _bystander(station: Station, deployment: Deployment, name: str, pids: Iterable[str]) -> Bystander:
    recent, versions = station.observed.recent, {pid: ref for pid in pids if (ref := station.active(pid))}
    return Bystander(
        name,
        deployment.spec.health,
        {pid: recent[pid, ref] for pid, ref in versions.items() if (pid, ref) in recent},
        tuple(reading for ref in dict.fromkeys(versions.values()) for reading in _readings(station, deployment, ref)),
    )
