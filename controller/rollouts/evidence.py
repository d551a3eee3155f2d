"""What is known of a version's health when it is judged: its calls since the rollout began, its processes, unaffected.

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
from controller.rollouts.analysis.judge import failing, judge
from controller.rollouts.analysis.verdict import (
    AnalysisState,
    Finding,
    Observation,
    Reading,
    UnaffectedVersion,
    Verdict,
)
from controller.rollouts.view import DeploymentView, StationView


def counting(view: DeploymentView, rollout: Rollout) -> Rollout:
    """Return the rollout with the points from which calls count: its start or the end of `initialDelay`, its step."""
    rollout = _from_start(view, rollout)
    if rollout.step_calls is None:
        return replace(rollout, step_calls=pooled(_canary(view, rollout).values()).calls)
    return rollout


def _from_start(view: DeploymentView, rollout: Rollout) -> Rollout:
    delay = rollout.delay
    if rollout.baseline is not None or delay is None:
        return rollout
    if delay.left > 0 and delay.since is None:
        moved = any(view.station.active(pid) == rollout.target for pid in rollout.strategy.sequence)
        return replace(rollout, delay=delay.run(view.now)) if moved else rollout
    if not delay.over(view.now):
        return replace(rollout, delay=delay.noted(view.now))
    return replace(
        rollout,
        delay=None,
        baseline=_tallies(view, dict.fromkeys(rollout.strategy.sequence, rollout.target)),
        stable_baseline=_tallies(view, rollout.stable),
    )


def judged(view: DeploymentView, rollout: Rollout) -> tuple[Rollout, Verdict | None]:
    """Return the rollout with its analysis_state advanced, and the verdict on what the target's calls came to."""
    if not (rollout.under_way or rollout.state == "promoted"):
        return rollout, None
    canary_strategy = view.deployment.spec.strategy.canary
    analysis = canary_strategy.analysis if canary_strategy and rollout.under_way else None
    if analysis is not None and rollout.strategy.min_samples is not None:
        analysis = analysis.model_copy(update={"min_samples": rollout.strategy.min_samples})
    verdict = _verdict(view, rollout, analysis)
    if rollout.host_degraded and verdict.outcome != "suspended":
        rollout = _anew(view, rollout)
        verdict = _verdict(view, rollout, analysis)
    return replace(
        rollout, analysis_state=verdict.analysis_state.to_document(), host_degraded=verdict.outcome == "suspended"
    ), verdict


def _verdict(view: DeploymentView, rollout: Rollout, analysis: Analysis | None) -> Verdict:
    health, seen = view.deployment.spec.health, _observation(view, rollout)
    verdict = judge(health, analysis, seen)
    if verdict.outcome != "fail":  # only for a fail it matters whether others fail too, and only then it is looked up
        return verdict
    return judge(health, analysis, replace(seen, unaffected=tuple(_unaffected_versions(view, rollout))))


def _anew(view: DeploymentView, rollout: Rollout) -> Rollout:
    """Return the rollout counting from now: what came of the host's trouble is not held against the version."""
    return counting(view, replace(rollout, baseline=None, delay=Countdown(0.0), analysis_state={}, step_calls=None))


def already_failing(view: DeploymentView, rollout: Rollout) -> tuple[str, ...]:
    """Return the unaffected that fail already: whatever they do later says nothing about the host."""
    return tuple(each.name for each in _unaffected_versions(view, rollout) if failing(each))


def steady_findings(view: DeploymentView) -> tuple[Finding, ...]:
    """Return what the versions that answer now fail of their limits, by their last window alone."""
    return failing(_unaffected_version(view.station, view.deployment, view.name, view.deployment.spec.pids))


def _observation(view: DeploymentView, rollout: Rollout) -> Observation:
    canary = _canary(view, rollout)
    return Observation(
        canary=canary,
        stable=_stable(view, rollout),
        readings=tuple(_readings(view.station, view.deployment, rollout.target, rollout)),
        step_calls=max(0, pooled(canary.values()).calls - (rollout.step_calls or 0)),
        analysis_state=AnalysisState.from_document(rollout.analysis_state)
        if rollout.analysis_state
        else AnalysisState(),
    )


def _canary(view: DeploymentView, rollout: Rollout) -> dict[str, Tally]:
    if rollout.baseline is None:
        return {}
    return _since(_tallies(view, dict.fromkeys(rollout.strategy.sequence, rollout.target)), rollout.baseline)


def _stable(view: DeploymentView, rollout: Rollout) -> dict[str, Tally]:
    """The calls of all stable versions, also on PIDs that have moved since; none where no PID is left on them."""
    left = any(view.station.active(pid) == ref for pid, ref in rollout.stable.items())
    if rollout.baseline is None or not left:
        return {}
    return _since(_tallies(view, rollout.stable), rollout.stable_baseline)


def _tallies(view: DeploymentView, versions: Mapping[str, PackageRef]) -> dict[str, Tally]:
    tallies = view.observed.tallies
    return {pid: tallies[pid, ref] for pid, ref in versions.items() if (pid, ref) in tallies}


def _since(tallies: Mapping[str, Tally], baseline: Mapping[str, Tally]) -> dict[str, Tally]:
    return {pid: _later(tally, baseline.get(pid)) for pid, tally in tallies.items()}


def _later(tally: Tally, baseline: Tally | None) -> Tally:
    try:
        return tally - baseline if baseline is not None else tally
    except ValueError:  # the counters were lost and began anew: what there is counts from zero
        return tally


def _readings(
    station: StationView, deployment: Deployment, package: PackageRef, rollout: Rollout | None = None
) -> Iterator[Reading]:
    """Yield what is known of each process of a version: what it uses, and what went wrong with it.

    Of a failure from before the rollout began nothing is held against it: a retry tries once more.
    """
    view = DeploymentView.of(station, deployment)
    failures = {
        failure.object.removeprefix("process/"): failure
        for failure in view.failures(package)
        if rollout is None or not _before(failure, rollout, view)
    }
    processes = {str(process.key): process for process in view.processes(package)}
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


def _before(failure: Failure, rollout: Rollout, view: DeploymentView) -> bool:
    return rollout.began.boot == view.now.boot and failure.at < rollout.began.seconds


def _unaffected_versions(view: DeploymentView, rollout: Rollout) -> Iterator[UnaffectedVersion]:
    """Yield the versions that the rollout did not touch: other deployments', and this one's stable PIDs."""
    for other in view.station.revision.deployments:
        own = other.name == view.name
        name = f"{other.name} (stable)" if own else other.name
        if name not in rollout.already_failing:
            pids = _stable_pids(view, rollout) if own else _witnesses(view.station, other, rollout)
            version = _unaffected_version(view.station, other, name, pids)
            if version.tallies or version.readings:
                yield version


def _stable_pids(view: DeploymentView, rollout: Rollout) -> Iterable[str]:
    return (pid for pid in view.deployment.spec.pids if view.station.active(pid) == rollout.stable.get(pid))


def _witnesses(station: StationView, other: Deployment, rollout: Rollout) -> Iterable[str]:
    """The PIDs of another deployment but for those on a version that is itself under suspicion.

    Two bad versions that are rolled out together must not protect each other. One that was promoted before this
    rollout began was well then.
    """
    record = station.observed.records.get(other.name)
    theirs = record.rollout if record else None
    if theirs is None or theirs.state == "completed" or (theirs.state == "promoted" and _earlier(theirs, rollout)):
        return other.spec.pids
    return (pid for pid in other.spec.pids if station.active(pid) != theirs.target)


def _earlier(one: Rollout, other: Rollout) -> bool:
    return one.began.boot == other.began.boot and one.began.seconds < other.began.seconds


def _unaffected_version(
    station: StationView, deployment: Deployment, name: str, pids: Iterable[str]
) -> UnaffectedVersion:
    recent, versions = station.observed.recent, {pid: ref for pid in pids if (ref := station.active(pid))}
    return UnaffectedVersion(
        name,
        deployment.spec.health,
        {pid: recent[pid, ref] for pid, ref in versions.items() if (pid, ref) in recent},
        tuple(reading for ref in dict.fromkeys(versions.values()) for reading in _readings(station, deployment, ref)),
    )
