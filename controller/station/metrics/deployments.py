"""Families about deployments, their rollouts, PIDs, processes and packages, from the outcome of the last pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from controller.model.objects import ProcessKey
from controller.model.observed import ObservedProcess
from controller.model.rollout import RolloutRecord
from controller.model.status import DeploymentStatus, Phase, PidStatus, Status
from controller.model.timestamps import parse_timestamp
from controller.reconciler.counts import ActCounts, PassCounts
from controller.station.metrics.family import Family, known

_JUDGED = ("deployment", "package", "version", "metric")
_PROCESS = ("deployment", "package", "version", "replica")
_PHASES: tuple[Phase, ...] = get_args(Phase)
_STATES = ("discovered", "validated", "installed", "invalid")
_MARKS = ("not_ready", "held", "pinned")
ENDS = ("promoted", "rolled_back", "aborted", "stopped")
"""How a rollout ends."""


def deployment_families(status: Status, records: Mapping[str, RolloutRecord]) -> Iterator[Family]:
    """Yield how deployments stand. `records` say which version each of them judges."""
    rows, one = status.deployments, ("deployment",)
    yield Family("stateset", "deployment_phase", "The phase of a deployment: 1 for the one that it is in.", one,
                 (((each.name,), _phase(each)) for each in rows))  # fmt: skip
    yield Family("info", "deployment", "The versions of a deployment: the desired one, and the one known to be good.",
                 one, (((each.name,), _versions(each)) for each in rows))  # fmt: skip
    yield Family("gauge", "deployment_weight_desired_ratio", "The share of its PIDs that are to have the version now.",
                 one, (((each.name,), each.desired_weight / 100) for each in rows))  # fmt: skip
    yield Family("gauge", "deployment_weight_actual_ratio", "The share of its PIDs that have the desired version.",
                 one, (((each.name,), each.actual_weight / 100) for each in rows))  # fmt: skip
    yield Family("gauge", "deployment_quarantined", "Versions of a deployment in quarantine.",
                 one, (((each.name,), len(each.quarantined)) for each in rows))  # fmt: skip
    yield from _evidence(rows, records)
    yield from _pids(status)
    states = Counter(each.state for each in status.packages)
    yield Family("gauge", "packages", "Packages of the store, by state.", ("state",),
                 (((state,), states[state]) for state in _STATES))  # fmt: skip


def _phase(each: DeploymentStatus) -> dict[str, bool]:
    return {phase: each.phase == phase for phase in _PHASES}


def _versions(each: DeploymentStatus) -> dict[str, str]:
    return {"package": each.package, "target_version": each.target_version, "stable_version": each.stable_version or ""}


def _evidence(rows: Iterable[DeploymentStatus], records: Mapping[str, RolloutRecord]) -> Iterator[Family]:
    """What each judged limit says of the version that is judged, or was when it failed."""
    found = []
    for each in rows:
        rollout = records.get(each.name, RolloutRecord()).rollout
        name, version = (
            (rollout.target.name, rollout.target.version) if rollout else (each.package, each.target_version)
        )
        found += [((each.name, name, version, finding.metric), finding) for finding in each.evidence]
    yield Family("gauge", "evidence_progress_ratio",
                 "How far a judged limit is on the way to a rollback: at 1 the version has failed.", _JUDGED,
                 ((labels, finding.progress) for labels, finding in found))  # fmt: skip
    yield Family("gauge", "evidence_value", "What a judged limit looks at, in its own unit (share, seconds, bytes).",
                 _JUDGED, known((labels, finding.value) for labels, finding in found))  # fmt: skip
    yield Family("gauge", "evidence_limit", "The limit, in the same unit.",
                 _JUDGED, known((labels, finding.limit) for labels, finding in found))  # fmt: skip
    yield Family("gauge", "evidence_samples", "Samples of the version that is judged.",
                 _JUDGED, ((labels, finding.samples) for labels, finding in found))  # fmt: skip


def _pids(status: Status) -> Iterator[Family]:
    active = Counter(
        (each.deployment or "", each.active["name"], each.active["version"]) for each in status.pids if each.active
    )
    yield Family("gauge", "pids", "PIDs that a version answers.", ("deployment", "package", "version"),
                 sorted(active.items()))  # fmt: skip
    marks = Counter((each.deployment or "", mark) for each in status.pids for mark in _marks(each))
    names = sorted({each.deployment or "" for each in status.pids})
    yield Family("gauge", "pids_marked", "PIDs that no process can answer, that are held, or that are pinned.",
                 ("deployment", "mark"),
                 (((name, mark), marks[name, mark]) for name in names for mark in _MARKS))  # fmt: skip


def _marks(each: PidStatus) -> Iterator[str]:
    if each.active and not each.ready:
        yield "not_ready"
    if each.held:
        yield "held"
    if each.pinned:
        yield "pinned"


def process_families(processes: Mapping[ProcessKey, ObservedProcess]) -> Iterator[Family]:
    """Yield what each algorithm process uses."""
    rows = [((key.deployment, key.name, key.version, _replica(key)), each)
            for key, each in sorted(processes.items())]  # fmt: skip
    yield Family("gauge", "process_up", "1 where a process takes calls, now or after its present one.", _PROCESS,
                 ((labels, int(each.serves)) for labels, each in rows))  # fmt: skip
    yield Family("counter", "process_restarts", "Restarts of a process after it ended or broke.", _PROCESS,
                 ((labels, each.restarts) for labels, each in rows))  # fmt: skip
    yield Family("gauge", "process_resident_memory_bytes", "Resident memory of a process with its descendants.",
                 _PROCESS, known((labels, each.rss_bytes) for labels, each in rows))  # fmt: skip
    yield Family("gauge", "process_cpu_ratio", "Processor time of a process with its descendants, 1 is one core.",
                 _PROCESS, known((labels, _ratio(each.cpu_percent)) for labels, each in rows))  # fmt: skip
    yield Family("gauge", "process_start_time_seconds", "When a process was started, in seconds since 1970.",
                 _PROCESS, known((labels, epoch_of(each.started_at)) for labels, each in rows))  # fmt: skip


def act_families(acts: ActCounts, passes: PassCounts, deployments: Iterable[str]) -> Iterator[Family]:
    """Yield what was done about deployments since the controller began; those that there are have a row from then."""
    names = sorted(deployments)
    yield Family("counter", "rollouts", "Rollouts that ended, by how.", ("deployment", "end"),
                 (((name, end), passes.rollouts[name, end]) for name in names for end in ENDS))  # fmt: skip
    yield Family("counter", "quarantines", "Versions that were put into quarantine.", ("deployment",),
                 (((name,), passes.quarantined[name]) for name in names))  # fmt: skip
    yield Family("counter", "switches",
                 "PIDs that were switched: to the version that is desired, or another way (back, to a hold, a repair).",
                 ("deployment", "way"),
                 (((name, "other" if diverges else "desired"), acts.switches[name, diverges])
                  for name in names for diverges in (False, True)))  # fmt: skip


def _replica(key: ProcessKey) -> str:
    return f"shadow-{key.replica}" if key.shadow else str(key.replica)


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def epoch_of(timestamp: str) -> float | None:
    """Return an RFC 3339 timestamp as seconds since 1970; None for an empty one."""
    return parse_timestamp(timestamp) if timestamp else None
