"""How PIDs get to their versions: install, preheat, switch; and which PIDs each step of a rollout takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controller.errors import Code
from controller.model.actions import Blocked, Install, SaveRollout, StepPreview, Switch, Waiting
from controller.model.desired import Deployment
from controller.model.objects import ObjectRef
from controller.model.package import PackageRef
from controller.model.rollout import Rollout, Step
from controller.planning.part import Part, joined
from controller.planning.reasons import diverges, in_quarantine, not_known, too_late, why_switch
from controller.planning.serving import preheated, ready_after
from controller.planning.situation import Situation
from controller.rollouts.cohorts import cohort
from controller.rollouts.resolution import Resolution, resolve, unsupported_pids, unsupported_reason


def save_rollout(situation: Situation, deployment: Deployment) -> Part:
    """Write down what was decided about a rollout, and say what it waits for."""
    going_on, object_ = situation.progress[deployment.name], ObjectRef("rollout", deployment.name)
    if going_on.unknown:
        return Part(blocked=(not_known(deployment, going_on.unknown),))
    return Part(
        actions=(SaveRollout(deployment.name, going_on.record, going_on.note),) if going_on.note else (),
        waiting=(Waiting(object_, deployment.name, going_on.until, going_on.waits_for),) if going_on.waits_for else (),
        blocked=(too_late(deployment, going_on.degraded),) if going_on.degraded else (),
    )


def move(situation: Situation, deployment: Deployment) -> Part:
    """Bring a deployment's PIDs to their versions."""
    going_on = situation.progress[deployment.name]
    groups: dict[PackageRef, list[str]] = defaultdict(list)
    for pid, wanted in going_on.targets.items():
        goal = _restored(situation, deployment, pid) or wanted
        if goal is not None:
            groups[goal].append(pid)
    if going_on.quarantined is None and not going_on.unknown:
        groups.setdefault(deployment.spec.ref, [])
    return joined(
        Part(
            blocked=(in_quarantine(deployment, going_on.quarantined),) if going_on.quarantined else (),
            steps=tuple(_steps(situation, deployment)),
        ),
        *(_bring_to(situation, deployment, ref, pids) for ref, pids in groups.items()),
    )


def _restored(situation: Situation, deployment: Deployment, pid: str) -> PackageRef | None:
    """The version that a PID with a damaged mapping goes back to first: the last one in its history that is here.

    A pinned or held PID goes to nothing but its pin or hold, and none to what is in quarantine.
    """
    observed = situation.observed
    if pid not in observed.active or observed.active_ref(pid) is not None:
        return None
    if pid in deployment.spec.pinned or pid in observed.holds:
        return None
    record = situation.progress[deployment.name].record
    for entry in reversed(observed.history.get(pid, ())):
        if entry.ref is None:
            return None
        installation = observed.installed.get(entry.ref)
        if installation is not None and not record.quarantined(entry.ref, installation.receipt.digest):
            resolution = resolve(entry.ref, None, observed)
            return entry.ref if situation.station.supports(resolution, pid) else None
    return None


def _bring_to(situation: Situation, deployment: Deployment, ref: PackageRef, pids: list[str]) -> Part:
    """Have a version installed and ready, and the PIDs that it supports switched to it."""
    digest = deployment.spec.package.digest if ref == deployment.spec.ref else None
    resolution = resolve(ref, digest, situation.observed)
    if resolution.problem:
        problem = (resolution.problem, resolution.code, resolution.next_step)
        return Part(blocked=(Blocked(ObjectRef("package", ref), deployment.name, *problem),))
    refused = _unsupported(situation, deployment, resolution, pids)
    unable = {each.object.name for each in refused.blocked}
    supported = [pid for pid in pids if pid not in unable]
    switching = [pid for pid in supported if situation.observed.active_ref(pid) != ref]
    if (pids and not supported) or (resolution.installed and not (switching or situation.serve)):
        return refused
    installation = _installation(situation, deployment, resolution)
    if not supported or not (resolution.installed or installation.actions):
        return joined(refused, installation)
    first = tuple(installation.objects)
    switches = (_switch(situation, deployment, pid, ref, first) for pid in switching)
    return joined(refused, installation, preheated(situation, deployment, ref, first), *switches)


def _unsupported(situation: Situation, deployment: Deployment, resolution: Resolution, pids: list[str]) -> Part:
    allow = situation.revision.policy.allow_undeclared_pids
    refused = unsupported_pids(resolution, pids, allow_undeclared=allow)
    if not refused:
        return Part()
    reason, next_step = unsupported_reason(resolution, refused)
    problem = (deployment.name, reason, Code.activation_conflict, next_step)
    return Part(blocked=tuple(Blocked(ObjectRef("pid", pid), *problem) for pid in refused))


def _installation(situation: Situation, deployment: Deployment, resolution: Resolution) -> Part:
    """Want the installation, if one is needed; no action where it failed and is not to be tried again yet."""
    if resolution.installed:
        return Part()
    reason = f"deployment {deployment.name} wants it"
    action = Install(resolution.package, resolution.zip_name, resolution.digest, reason)
    failure = situation.observed.failures.get(action.object)
    if failure is not None and failure.of(resolution.digest) is None:
        return Part(actions=(action,))  # other artefacts failed, not this one
    failed = situation.failed(action.object, deployment.name)
    if situation.backs_off(action.object, deployment.name):
        return failed
    return joined(failed, Part(actions=(action,)))


def _switch(
    situation: Situation, deployment: Deployment, pid: str, ref: PackageRef, installation: tuple[ObjectRef, ...]
) -> Part:
    """Want a switch, once the version is installed, decided upon and ready; in an emergency not ready."""
    going_on = situation.progress[deployment.name]
    ready = () if _is_emergency(situation, deployment, pid) else ready_after(situation, deployment, ref)
    if ready is None:
        return Part()
    decided = (ObjectRef("rollout", deployment.name),) if going_on.note else ()
    installed = situation.observed.installed.get(ref)
    action = Switch(
        pid,
        deployment.name,
        situation.observed.active_ref(pid),
        ref,
        why_switch(situation.station, deployment, going_on, pid, ref),
        (*installation, *decided, *ready),
        installed.receipt.digest if installed is not None else "",
        diverges(situation.station, going_on, pid, ref),
    )
    failed = situation.failed(action.object, deployment.name)
    return failed if situation.backs_off(action.object, deployment.name) else joined(failed, Part(actions=(action,)))


def _is_emergency(situation: Situation, deployment: Deployment, pid: str) -> bool:
    """Whether a PID's mapping goes first and its calls wait for the process: nothing answers them now anyhow."""
    hold = situation.observed.holds.get(pid)
    return situation.progress[deployment.name].emergency if hold is None else hold.emergency


def _steps(situation: Situation, deployment: Deployment) -> Iterable[StepPreview]:
    """Name the PIDs of every step of the rollout that is under way, or begins as soon as its package is installed."""
    rollout = situation.progress[deployment.name].rollout
    if rollout is None or not rollout.under_way or deployment.spec.strategy.canary is None:
        return ()
    return tuple(_preview(rollout, step) for step in rollout.strategy.steps if step.kind != "pause")


def _preview(rollout: Rollout, step: Step) -> StepPreview:
    """Name the PIDs of a step; those of a replay are all that the rollout is of: their recorded pictures are shown."""
    weight = 100 if step.kind == "replay" else step.weight
    return StepPreview(rollout.deployment, str(step), cohort(rollout.strategy.sequence, weight))
