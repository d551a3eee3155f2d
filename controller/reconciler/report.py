"""Report: the status document of a pass, from what was desired, observed and planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from controller.model.actions import Blocked, Plan
from controller.model.desired import Deployment, Revision
from controller.model.observed import ActiveMapping, Observed, ObservedProcess
from controller.model.package import PackageRecord
from controller.model.status import (
    Condition,
    DeploymentStatus,
    PackageStatus,
    Phase,
    PidStatus,
    ProcessStatus,
    RevisionStatus,
    Status,
    WaitingStatus,
)
from controller.model.timestamps import format_timestamp
from controller.planning.catalogue import catalogue
from controller.planning.plan import desired_targets

_PER_CENT = 100


def report(
    revision: Revision,
    problems: Sequence[str],
    observed: Observed,
    plan: Plan,
    previous: Mapping[str, Any] | None,
    now: str,
) -> Status:
    """Return the status. `problems` are the errors of a newer revision that was refused, if one was."""
    blocked = {name: [each for each in plan.blocked if each.deployment == name] for name in revision.by_name}
    return Status(
        revision=RevisionStatus(revision.id, revision.source, not problems, tuple(problems), revision.loaded_at),
        converged=plan.empty and not plan.blocked and not plan.waiting and not problems,
        deployments=tuple(
            _deployment(each, observed, plan, blocked[each.name], _conditions(previous, each.name), now)
            for each in revision.deployments
        ),
        pids=_pids(revision, observed),
        processes=tuple(_process(each) for _, each in sorted(observed.processes.items())),
        packages=tuple(_package(each) for each in catalogue(observed.zips, observed.installed, observed.failures)),
        waiting=tuple(WaitingStatus(each.object, format_timestamp(each.until), each.reason) for each in plan.waiting),
        unmanaged=observed.unmanaged,
    )


def _deployment(
    deployment: Deployment,
    observed: Observed,
    plan: Plan,
    blocked: list[Blocked],
    before: Mapping[str, Mapping[str, Any]],
    now: str,
) -> DeploymentStatus:
    spec = deployment.spec
    targets = desired_targets(deployment)
    moving = [pid for pid in spec.pids if pid not in spec.pinned]
    moved = [pid for pid in moving if _ref(observed, pid) == targets[pid]]
    phase, message = _phase(deployment, observed, plan, blocked)
    stable = {mapping.version for pid in moving if (mapping := _active(observed, pid))}
    return DeploymentStatus(
        name=deployment.name,
        phase=phase,
        observed_generation=deployment.generation,
        package=spec.package.name,
        target_version=spec.package.version,
        stable_version=stable.pop() if len(stable) == 1 else None,
        actual_weight=_PER_CENT * len(moved) // len(moving) if moving else _PER_CENT,
        message=message,
        conditions=(
            _condition("Available", _available(deployment, observed), phase, message, before, now),
            _condition("Degraded", phase == "Degraded", phase, message, before, now),
        ),
    )  # fmt: skip


def _phase(deployment: Deployment, observed: Observed, plan: Plan, blocked: list[Blocked]) -> tuple[Phase, str]:
    if deployment.spec.suspend:
        return "Suspended", "suspend is true: nothing is changed"
    if blocked:
        next_step = f"; {blocked[0].next_step}" if blocked[0].next_step else ""
        code = f" ({blocked[0].code})" if blocked[0].code else ""
        more = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
        return "Degraded", f"{blocked[0].reason}{code}{next_step}{more}"
    pending = sum(_concerns(action.object, deployment) for action in plan.actions)
    if pending:
        return "Progressing", f"{pending} action{'s' if pending > 1 else ''} to do"
    return "Healthy", f"{deployment.spec.ref} serves its PIDs"


def _concerns(object_: str, deployment: Deployment) -> bool:
    kind, _, name = object_.partition("/")
    if kind == "pid":
        return name in deployment.spec.pids
    return name == str(deployment.spec.ref) if kind == "package" else name.startswith(f"{deployment.name}/")


def _available(deployment: Deployment, observed: Observed) -> bool:
    return all(_ready(observed, pid, deployment.name) for pid in deployment.spec.pids)


def _condition(
    kind: str, status: bool, reason: str, message: str, before: Mapping[str, Mapping[str, Any]], now: str
) -> Condition:
    known = before.get(kind)
    since = known["last_transition_time"] if known and known["status"] == status else now
    return Condition(kind, status, reason, message, since)


def _conditions(previous: Mapping[str, Any] | None, deployment: str) -> dict[str, Mapping[str, Any]]:
    """Return the conditions that the last status told of a deployment, so that their times of change are kept."""
    for each in (previous or {}).get("deployments", ()):
        if each.get("name") == deployment:
            return {condition["type"]: condition for condition in each.get("conditions", ())}
    return {}


def _pids(revision: Revision, observed: Observed) -> tuple[PidStatus, ...]:
    targets = {pid: ref for each in revision.deployments for pid, ref in desired_targets(each).items()}
    return tuple(_pid(pid, revision, observed, targets.get(pid)) for pid in sorted({*targets, *observed.active}))


def _pid(pid: str, revision: Revision, observed: Observed, target: Any) -> PidStatus:
    deployment = revision.by_pid.get(pid)
    mapping = _active(observed, pid)
    return PidStatus(
        pid=pid,
        deployment=deployment.name if deployment else None,
        active=asdict(mapping) if mapping else None,
        target_version=target.version if target else None,
        pinned=bool(deployment and pid in deployment.spec.pinned),
        held=False,
        ready=_ready(observed, pid, deployment.name if deployment else None),
    )


def _ready(observed: Observed, pid: str, deployment: str | None) -> bool:
    ref = _ref(observed, pid)
    return any(
        process.serves and key.ref == ref and deployment in {None, key.deployment}
        for key, process in observed.processes.items()
    )


def _active(observed: Observed, pid: str) -> ActiveMapping | None:
    mapping = observed.active.get(pid)
    return mapping if isinstance(mapping, ActiveMapping) else None


def _ref(observed: Observed, pid: str) -> Any:
    mapping = _active(observed, pid)
    return mapping.ref if mapping else None


def _process(process: ObservedProcess) -> ProcessStatus:
    key = process.key
    return ProcessStatus(
        key.deployment, key.name, key.version, key.replica, process.os_pid, process.state, process.sdk_version,
        process.rss_bytes, process.cpu_percent, process.restarts, process.started_at,
    )  # fmt: skip


def _package(record: PackageRecord) -> PackageStatus:
    return PackageStatus(
        record.name, record.version, record.digest, record.state, record.error_code, record.reason,
        record.supported_pids,
    )  # fmt: skip
