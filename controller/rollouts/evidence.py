"""What is known of a version's health when it is judged: its calls since the rollout began, its processes, and others.

Here the facts are gathered; `analysis/` judges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from controller.model.analysis import Finding, Metric, Verdict
from controller.model.comparison import Agreement
from controller.model.desired import Deployment
from controller.model.health import Health
from controller.model.observed import Tallies
from controller.model.package import PackageRef
from controller.model.rollout import BY_PICTURES, AnalysisState, Rollout
from controller.model.strategy import Analysis
from controller.model.tally import Tally, pooled
from controller.rollouts.analysis.judge import advance, failing, judge
from controller.rollouts.analysis.observation import Observation, Reading, UnaffectedVersion
from controller.rollouts.analysis.pictures import shadow_calls, shadow_tests
from controller.rollouts.pictures import pictures_from, replayed, shadowed, shown_beside
from controller.rollouts.view import DeploymentView, StationView


def counting(view: DeploymentView, rollout: Rollout) -> Rollout:
    """Return the rollout with the points from which calls and pictures count: its start or the end of
    `initialDelay`, its first shadow step, its present step."""
    rollout = replace(rollout, analysis=_from_start(view, rollout))
    rollout = replace(rollout, analysis=pictures_from(view, rollout))
    if rollout.analysis.step_calls is not None:
        return rollout
    calls = pooled(_canary(view, rollout).values()).calls
    return replace(rollout, analysis=replace(rollout.analysis, step_calls=calls))


def _from_start(view: DeploymentView, rollout: Rollout) -> AnalysisState:
    state = rollout.analysis
    if state.baseline is not None or state.delay is None:
        return state
    if state.delay.left > 0 and state.delay.since is None:
        moved = any(view.observed.active_ref(pid) == rollout.target for pid in rollout.strategy.sequence)
        return replace(state, delay=state.delay.run(view.now)) if moved else state
    if not state.delay.over(view.now):
        return replace(state, delay=state.delay.noted(view.now))
    return replace(
        state,
        delay=None,
        baseline=_tallies(view, dict.fromkeys(rollout.strategy.sequence, rollout.target)),
        stable_baseline=_tallies(view, rollout.stable),
    )


def judged(view: DeploymentView, rollout: Rollout) -> tuple[Rollout, Verdict | None]:
    """Return the rollout with its tests advanced, and the verdict on what the target's calls came to."""
    if not (rollout.under_way or rollout.state == "promoted"):
        return rollout, None
    rollout, verdict = _judged(view, rollout)
    if rollout.analysis.host_degraded and verdict.outcome != "suspended":
        # what came of the degraded host is not blamed on the version: it counts from now
        rollout, verdict = _judged(view, counting(view, replace(rollout, analysis=rollout.analysis.anew())))
    state = replace(rollout.analysis, host_degraded=verdict.outcome == "suspended")
    return replace(rollout, analysis=state), verdict


def _judged(view: DeploymentView, rollout: Rollout) -> tuple[Rollout, Verdict]:
    health, seen = view.deployment.spec.health, _observation(view, rollout)
    seen = replace(seen, tests=advance(health, seen))
    verdict = judge(health, _analysis(view, rollout), seen)
    if verdict.outcome == "fail":  # only then it matters whether others fail too, and only then it is looked up
        others = tuple(_unaffected_versions(view, rollout))
        verdict = judge(health, _analysis(view, rollout), replace(seen, unaffected=others))
    return replace(rollout, analysis=replace(rollout.analysis, tests=seen.tests)), verdict


def _analysis(view: DeploymentView, rollout: Rollout) -> Analysis | None:
    """What judges the present step; None where no step is left or none was asked for."""
    canary = view.deployment.spec.strategy.canary
    if canary is None or not rollout.under_way or (rollout.state in BY_PICTURES and rollout.weight == 0):
        return None
    pinned = rollout.strategy.min_samples
    return canary.analysis if pinned is None else canary.analysis.model_copy(update={"min_samples": pinned})


def already_failing(view: DeploymentView, rollout: Rollout) -> tuple[str, ...]:
    """Return the unaffected versions that fail already: whatever they do later says nothing about the host."""
    return tuple(each.name for each in _unaffected_versions(view, rollout) if failing(each))


def steady_findings(view: DeploymentView) -> tuple[Finding, ...]:
    """Return what the versions that answer now fail of their limits, by their last window alone."""
    return failing(_unaffected_version(view.station, view.deployment, view.name, view.deployment.spec.pids))


def _observation(view: DeploymentView, rollout: Rollout) -> Observation:
    canary = _canary(view, rollout)
    return Observation(
        canary=_with_shadow(canary, shown_beside(view, rollout)),
        stable=_stable(view, rollout),
        readings=tuple(_readings(view.station, view.deployment, rollout.target, rollout)),
        step_calls=max(0, pooled(canary.values()).calls - (rollout.analysis.step_calls or 0)),
        tests=rollout.analysis.tests,
        replayed=replayed(view, rollout),
        shadowed=shadowed(view, rollout),
        picture_tests=shadow_tests(rollout.strategy.shadows),
    )


def _with_shadow(canary: Mapping[str, Tally], beside: Mapping[str, Agreement]) -> dict[str, Tally]:
    """Return the calls of the line with those of a shadow: one test is over both."""
    calls = {pid: shadow_calls(each) for pid, each in beside.items()}
    return {pid: canary.get(pid, Tally()) + calls.get(pid, Tally()) for pid in dict.fromkeys((*canary, *calls))}


def _canary(view: DeploymentView, rollout: Rollout) -> dict[str, Tally]:
    if rollout.analysis.baseline is None:
        return {}
    return _since(_tallies(view, dict.fromkeys(rollout.strategy.sequence, rollout.target)), rollout.analysis.baseline)


def _stable(view: DeploymentView, rollout: Rollout) -> dict[str, Tally]:
    """The calls of all stable versions, also on PIDs that have moved since; none where no PID is left on them."""
    left = any(view.observed.active_ref(pid) == ref for pid, ref in rollout.stable.items())
    if rollout.analysis.baseline is None or not left:
        return {}
    return _since(_tallies(view, rollout.stable), rollout.analysis.stable_baseline)


def _tallies(view: DeploymentView, versions: Mapping[str, PackageRef]) -> dict[str, Tally]:
    return _of_versions(view.observed.tallies, versions)


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

    A failure from before the rollout began is not blamed on it: a retry tries once more. Nor is the first start that
    failed: another one is under way, and a failed restart after a crash counts as the second.
    """
    view = DeploymentView.of(station, deployment)
    failures = {
        key: failure
        for key, failure in view.failures(package)
        if rollout is None or not failure.before(rollout.began, view.now)
    }
    processes = {process.key: process for process in view.processes(package)}
    for key in dict.fromkeys((*processes, *failures)):
        process, failure = processes.get(key), failures.get(key)
        yield Reading(
            str(key),
            memory_bytes=process.rss_bytes if process else None,
            cpu=process.cpu_percent / 100 if process and process.cpu_percent is not None else None,
            breaker_open=failure is not None and failure.breaker,
            never_ready=failure is not None and not (failure.breaker or failure.crashed) and failure.attempts > 1,
            detail=failure.message if failure else process.detail if process else "",
        )


def _unaffected_versions(view: DeploymentView, rollout: Rollout) -> Iterator[UnaffectedVersion]:
    """Yield the versions that the rollout did not touch: other deployments', and this one's stable PIDs."""
    for other in view.station.revision.deployments:
        own = other.name == view.name
        name = f"{other.name} (stable)" if own else other.name
        if name not in rollout.analysis.already_failing:
            pids = _stable_pids(view, rollout) if own else _witnesses(view.station, other, rollout)
            version = _unaffected_version(view.station, other, name, pids)
            if any(version.recent.values()) or version.readings:
                yield version


def _stable_pids(view: DeploymentView, rollout: Rollout) -> Iterable[str]:
    return (pid for pid in view.deployment.spec.pids if view.observed.active_ref(pid) == rollout.stable.get(pid))


def _witnesses(station: StationView, other: Deployment, rollout: Rollout) -> Iterable[str]:
    """The PIDs of another deployment but for those on a version that is itself under suspicion.

    Two bad versions that are rolled out together must not protect each other. One that was promoted before this
    rollout began was well then.
    """
    record = station.observed.records.get(other.name)
    theirs = record.rollout if record else None
    if theirs is None or theirs.state == "completed" or (theirs.state == "promoted" and _earlier(theirs, rollout)):
        return other.spec.pids
    return (pid for pid in other.spec.pids if station.observed.active_ref(pid) != theirs.target)


def _earlier(one: Rollout, other: Rollout) -> bool:
    return one.began.boot == other.began.boot and one.began.seconds < other.began.seconds


def _unaffected_version(
    station: StationView, deployment: Deployment, name: str, pids: Iterable[str]
) -> UnaffectedVersion:
    observed, health = station.observed, deployment.spec.health
    versions = {pid: ref for pid in pids if (ref := observed.active_ref(pid))}
    readings = (reading for ref in dict.fromkeys(versions.values()) for reading in _readings(station, deployment, ref))
    recent = {metric: _of_versions(observed.recent.over(window), versions) for metric, window in _windows(health)}
    return UnaffectedVersion(name, health, recent, tuple(readings))


def _windows(health: Health) -> Iterator[tuple[Metric, float]]:
    """Yield the rates that are judged by their last window, and that window."""
    yield "errorRate", health.error_rate.window
    yield "timeoutRate", health.timeout_rate.window
    if health.latency_p95 is not None:
        yield "latencyP95", health.latency_p95.window
    if health.escapes is not None:
        yield "escapes", health.escapes.window
    if health.overkill is not None:
        yield "overkill", health.overkill.window


def _of_versions(tallies: Tallies, versions: Mapping[str, PackageRef]) -> dict[str, Tally]:
    if not tallies:
        return {}
    return {pid: tallies[pid, ref] for pid, ref in versions.items() if (pid, ref) in tallies}
