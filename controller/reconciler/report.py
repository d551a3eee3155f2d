"""Report: the status document of a pass, from what was desired, observed and planned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.model.actions import Blocked, Plan
from controller.model.analysis import Verdict
from controller.model.desired import Deployment, Revision
from controller.model.health import Health
from controller.model.objects import ObjectRef
from controller.model.observed import ActiveMapping, Observed, ObservedProcess
from controller.model.package import PackageRecord, PackageRef
from controller.model.rollout import STANDING, Instant, Rollout, RolloutRecord
from controller.model.status import (
    Condition,
    DeploymentStatus,
    EvidenceStatus,
    PackageStatus,
    Phase,
    PidHealth,
    PidStatus,
    ProcessStatus,
    RevisionStatus,
    Status,
    WaitingStatus,
)
from controller.model.tally import Tally
from controller.model.timestamps import format_timestamp
from controller.planning.registry_rows import registry_rows
from controller.reconciler.patch import patch_for
from controller.reconciler.revisions import Desired

_PER_CENT = 100


def report(
    desired: Desired,
    observed: Observed,
    plan: Plan,
    previous: Mapping[str, Any] | None,
    now: Instant,
) -> Status:
    """Return the status."""
    revision, problems = desired.revision, desired.problems
    blocked = {name: [each for each in plan.blocked if each.deployment == name] for name in revision.by_name}
    facts, before = _Facts(observed, plan, format_timestamp(now.epoch)), _conditions(previous)
    return Status(
        revision=RevisionStatus(
            revision.id, revision.source, not problems, tuple(problems), revision.loaded_at, desired.fingerprint
        ),
        converged=not (plan.actions or plan.blocked or plan.waiting or plan.under_way or problems),
        deployments=tuple(
            _deployment(each, facts, blocked[each.name], before.get(each.name, {})) for each in revision.deployments
        ),
        pids=_pids(revision, facts),
        processes=process_rows(observed),
        packages=tuple(_package(each) for each in registry_rows(observed.zips, observed.installed, observed.failures)),
        waiting=tuple(WaitingStatus(str(each.object), _moment(each.until, now), each.reason) for each in plan.waiting),
        unmanaged=observed.unmanaged,
    )


def _moment(until: float, now: Instant) -> str | None:
    """Return a moment of the boot-time clock as a timestamp; None where no clock tells when it comes."""
    return None if math.isinf(until) else format_timestamp(now.epoch + until - now.seconds)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What every part of a status is made from. `now` is RFC 3339."""

    observed: Observed
    plan: Plan
    now: str


def _deployment(
    deployment: Deployment, facts: _Facts, blocked: list[Blocked], before: Mapping[str, Mapping[str, Any]]
) -> DeploymentStatus:
    spec, observed, plan, now = deployment.spec, facts.observed, facts.plan, facts.now
    record = plan.records.get(deployment.name, RolloutRecord())
    rollout = record.rollout
    moving = [pid for pid in spec.pids if pid not in spec.pinned and pid not in observed.holds]
    words, serving = observed.last_words.get(deployment.name, ()), _serving(deployment, observed)
    moved = [pid for pid in moving if observed.mapped_ref(pid) == spec.ref]
    phase, message = _phase(deployment, observed, plan, blocked)
    rollback_to, rollback_until = _rollback(rollout, plan.ways_back.get(deployment.name))
    return DeploymentStatus(
        name=deployment.name,
        phase=phase,
        observed_generation=deployment.generation,
        package=spec.package.name,
        target_version=spec.package.version,
        stable_version=_stable_version(rollout, [ref for pid in moving if (ref := observed.mapped_ref(pid))]),
        current_step_index=rollout.step if rollout and rollout.under_way else None,
        desired_weight=_desired_weight(rollout),
        actual_weight=_PER_CENT * len(moved) // len(moving) if moving else _PER_CENT,
        quarantined=tuple(str(each.package) for each in record.quarantine),
        message=message,
        conditions=(
            _condition("Available", _available(deployment, facts), phase, message, before, now),
            _condition("Degraded", phase == "Degraded", phase, message, before, now),
        ),
        evidence=_evidence(plan.verdicts.get(deployment.name)),
        patch=_patch(deployment, rollout, observed),
        rollback_to=rollback_to,
        rollback_until=rollback_until,
        proven=bool(serving) and not _unproven(serving, observed),
        last_words=words,
        last_words_of=str(rollout.target) if rollout is not None and words else None,
    )  # fmt: skip


def _stable_version(rollout: Rollout | None, present: Sequence[PackageRef]) -> str | None:
    """Return the version that is known to be good: the promoted one; in a rollout, what most PIDs had before it."""
    if rollout is not None and rollout.state in {"promoted", "completed"}:
        return rollout.target.version
    stable = Counter(rollout.stable.values() if rollout is not None else present).most_common(1)
    return stable[0][0].version if stable else None


def _serving(deployment: Deployment, observed: Observed) -> tuple[PackageRef, ...]:
    """Return the versions that answer a deployment's PIDs."""
    return tuple(sorted({ref for pid in deployment.spec.pids if (ref := observed.mapped_ref(pid)) is not None}))


def _unproven(serving: Iterable[PackageRef], observed: Observed) -> str:
    """Name those of the versions that have never answered a call."""
    return ", ".join(str(ref) for ref in serving if not observed.proven(ref))


def _evidence(verdict: Verdict | None) -> tuple[EvidenceStatus, ...]:
    """Return what each metric says of the version that is judged, or was when it failed."""
    return tuple(
        EvidenceStatus(
            each.metric, each.observed, each.limit, each.samples,
            1.0 if each.outcome == "fail" else round(each.progress, 3), each.sentence, each.needed, each.odds,
            each.pictures,
        )
        for each in (verdict.findings if verdict is not None else ())
    )  # fmt: skip


def _rollback(rollout: Rollout | None, back: PackageRef | None) -> tuple[str | None, str | None]:
    """Return where a failure of the promoted version goes back to, and until when it does so automatically."""
    window = rollout.timer if rollout is not None else None
    if back is None or window is None or window.since is None:
        return None, None
    return back.version, format_timestamp(round(window.since.epoch + window.left))


def _patch(deployment: Deployment, rollout: Rollout | None, observed: Observed) -> str:
    """What git would have to say where the controller went another way than the spec."""
    if rollout is None or not rollout.failed or rollout.target != deployment.spec.ref:
        return ""
    serving = [ref for pid in deployment.spec.pids if (ref := observed.mapped_ref(pid)) and ref != rollout.target]
    return patch_for(deployment.name, max(serving, key=serving.count).version, rollout.reason) if serving else ""


def _desired_weight(rollout: Rollout | None) -> int:
    if rollout is None or not (rollout.under_way or rollout.failed):
        return _PER_CENT
    return 0 if rollout.state in {"reverting", "reverted"} else rollout.weight


def _phase(deployment: Deployment, observed: Observed, plan: Plan, blocked: list[Blocked]) -> tuple[Phase, str]:
    if deployment.spec.suspend:
        return "Suspended", "suspend is true: nothing is changed"
    if blocked:
        next_step = f"; {blocked[0].next_step}" if blocked[0].next_step else ""
        code = f" ({blocked[0].code})" if blocked[0].code else ""
        more = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
        return "Degraded", f"{blocked[0].reason}{code}{next_step}{more}"
    rollout = plan.records.get(deployment.name, RolloutRecord()).rollout
    if rollout is not None and rollout.under_way:
        phase, message = _rollout_phase(rollout, plan)
        return phase, message + _smoke_doubts(deployment, rollout.target, observed)
    pending = sum(_concerns(action.object, deployment) for action in plan.actions)
    if pending:
        return "Progressing", f"{pending} action{'s' if pending > 1 else ''} to do"
    held = {pid: hold for pid, hold in observed.holds.items() if pid in deployment.spec.pids}
    if held:
        where = ", ".join(f"{pid} on {hold.package.version} by {hold.actor}" for pid, hold in sorted(held.items()))
        return "Healthy", f"held: {where}; `pvctl resume {deployment.name}` follows git again"
    return "Healthy", f"{deployment.spec.ref} serves its PIDs{_doubts(deployment, observed)}"


def _doubts(deployment: Deployment, observed: Observed) -> str:
    """Say which versions that serve have never answered a call, and what their smoke calls came to."""
    unproven = _unproven(_serving(deployment, observed), observed)
    if not unproven:
        return ""
    doubts = _smoke_doubts(deployment, deployment.spec.ref, observed)
    return f"; unproven: {unproven} has not answered a call yet{doubts}"


def _smoke_doubts(deployment: Deployment, version: PackageRef, observed: Observed) -> str:
    """Say what the smoke calls of a version came to where they were no answer, as the end of a sentence."""
    running = observed.processes_of(deployment.name, version)
    return "".join(dict.fromkeys(f"; {each.doubt}" for each in running if each.doubt))


def _rollout_phase(rollout: Rollout, plan: Plan) -> tuple[Phase, str]:
    """Return how a rollout that is under way stands."""
    waits = [each.reason for each in plan.waiting if each.object == ObjectRef("rollout", rollout.deployment)]
    message = f"step {rollout.step + 1} of {len(rollout.strategy.steps)}: {'; '.join(waits) or rollout.state}"
    stands = rollout.paused_by or rollout.suspended_because or rollout.state in STANDING
    return ("Paused" if stands else "Progressing"), message


def _concerns(object_: ObjectRef, deployment: Deployment) -> bool:
    if object_.kind == "pid":
        return object_.name in deployment.spec.pids
    return object_.name == deployment.spec.ref or object_.belongs_to(deployment.name)


def _available(deployment: Deployment, facts: _Facts) -> bool:
    return all(_answered(facts.observed, pid, deployment.name) for pid in deployment.spec.pids)


def _answered(observed: Observed, pid: str, deployment: str | None) -> bool:
    """Whether calls of a PID can be given to a process: of its deployment, or of any where none names it."""
    ref = observed.mapped_ref(pid)
    return ref is not None and observed.answers(ref, deployment)


def _condition(
    kind: str, status: bool, reason: str, message: str, before: Mapping[str, Mapping[str, Any]], now: str
) -> Condition:
    known = before.get(kind)
    since = known["last_transition_time"] if known and known["status"] == status else now
    return Condition(kind, status, reason, message, since)


def _conditions(previous: Mapping[str, Any] | None) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the conditions that the last status told, by deployment, so that their times of change are kept."""
    return {
        each["name"]: {condition["type"]: condition for condition in each.get("conditions", ())}
        for each in (previous or {}).get("deployments", ())
    }


def _pids(revision: Revision, facts: _Facts) -> tuple[PidStatus, ...]:
    wanted = {pid: ref for each in revision.deployments for pid, ref in each.spec.wanted.items()}
    targets = wanted | facts.plan.targets
    return tuple(_pid(pid, revision, facts, targets.get(pid)) for pid in sorted({*targets, *facts.observed.active}))


def _pid(pid: str, revision: Revision, facts: _Facts, target: Any) -> PidStatus:
    deployment, observed = revision.by_pid.get(pid), facts.observed
    mapping = observed.active.get(pid)
    good = mapping if isinstance(mapping, ActiveMapping) else None
    return PidStatus(
        pid=pid,
        deployment=deployment.name if deployment else None,
        active={"name": good.name, "version": good.version, "activated_at": good.activated_at} if good else None,
        target_version=target.version if target else None,
        pinned=bool(deployment and pid in deployment.spec.pinned),
        held=pid in observed.holds,
        ready=_answered(observed, pid, deployment.name if deployment else None),
        health=_health(observed, pid, deployment.spec.health if deployment else revision.policy.defaults.health),
    )


def _health(observed: Observed, pid: str, limits: Health) -> PidHealth:
    """What the PID's calls on its active version came to: each rate over the window of its own limit."""
    errors, timeouts = (_recent(observed, pid, each.window) for each in (limits.error_rate, limits.timeout_rate))
    timed = _recent(observed, pid, limits.latency_p95.window) if limits.latency_p95 else errors
    ref = observed.mapped_ref(pid)
    told = observed.tallies.get((pid, ref), Tally()) if ref is not None else Tally()  # however long ago
    return PidHealth(
        samples=errors.calls,
        error_rate=_share(errors.errors, errors.calls),
        timeout_rate=_share(timeouts.timeouts, timeouts.calls),
        latency_p50_ms=_milliseconds(timed.latency.quantile(0.5)),
        latency_p95_ms=_milliseconds(timed.latency.quantile(0.95)),
        ng_rate=_share(errors.verdicts_ng, errors.verdicts),
        reviewed=told.reviewed,
        escapes=told.escapes,
        overkill=told.overkill,
        excused=errors.excused,
    )


def _recent(observed: Observed, pid: str, window: float) -> Tally:
    ref = observed.mapped_ref(pid)
    return observed.recent.over(window).get((pid, ref), Tally()) if ref is not None else Tally()


def _share(count: int, calls: int) -> float | None:
    return count / calls if calls else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def process_rows(observed: Observed) -> tuple[ProcessStatus, ...]:
    """Return the status of every process, in order."""
    return tuple(_process(each) for _, each in sorted(observed.processes.items(), key=lambda item: item[0]))


def _process(process: ObservedProcess) -> ProcessStatus:
    key = process.key
    return ProcessStatus(
        key.deployment, key.name, key.version, key.replica, process.os_pid, process.state, process.sdk_version,
        process.rss_bytes, process.cpu_percent, process.restarts, process.started_at, key.shadow,
    )  # fmt: skip


def _package(record: PackageRecord) -> PackageStatus:
    return PackageStatus(
        record.name, record.version, record.digest, record.state, record.error_code, record.reason,
        record.supported_pids,
    )  # fmt: skip
