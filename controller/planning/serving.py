"""Which processes are needed: to go on answering what is active, and to have a version ready before its switch."""

from __future__ import annotations

import math

from controller.model.actions import Preheat, Waiting
from controller.model.desired import Deployment
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import PackageRef
from controller.planning.part import Part, joined
from controller.planning.reasons import why_preheat
from controller.planning.situation import Situation


def keep_serving(situation: Situation, deployment: Deployment) -> Part:
    """Make what is active ready again before anything else: a killed process must not wait for an install."""
    if not situation.serve:
        return Part()
    answering = dict.fromkeys(_answering(situation, deployment, pid) for pid in deployment.spec.pids)
    return joined(*(preheated(situation, deployment, ref, ()) for ref in answering if ref is not None))


def preheated(situation: Situation, deployment: Deployment, ref: PackageRef, depends_on: tuple[ObjectRef, ...]) -> Part:
    """Want every process of a version that is missing or wrong; each depends on those objects."""
    return joined(*(kept_ready(situation, deployment, key, depends_on) for key in replicas(deployment, ref)))


def ready_after(situation: Situation, deployment: Deployment, ref: PackageRef) -> tuple[ObjectRef, ...] | None:
    """Return the processes that have to be started before a version is ready; None where one cannot be had now."""
    missing = [key for key in replicas(deployment, ref) if why_preheat(situation.station, key)]
    if any(situation.adopting(key) for key in missing):
        return None
    objects = tuple(ObjectRef("process", key) for key in missing)
    return None if any(situation.backs_off(each, deployment.name) for each in objects) else objects


def replicas(deployment: Deployment, ref: PackageRef) -> tuple[ProcessKey, ...]:
    """Return the processes that a deployment has of a version."""
    return tuple(
        ProcessKey(deployment.name, ref.name, ref.version, number) for number in range(deployment.spec.replicas)
    )


def kept_ready(
    situation: Situation, deployment: Deployment, key: ProcessKey, depends_on: tuple[ObjectRef, ...]
) -> Part:  # fmt: skip
    """Want one process, which is needed; started where it is missing or wrong, once those objects are done."""
    needed, reason = Part(needed=frozenset({key})), why_preheat(situation.station, key)
    if not reason:
        return needed
    if situation.adopting(key):  # it answers in a moment, or is ended and then missing
        waiting = Waiting(ObjectRef("process", key), key.deployment, math.inf, reason)
        return joined(needed, Part(waiting=(waiting,)))
    smoke = deployment.spec.preheat.smoke and _is_new(situation, deployment, key.ref)
    action = Preheat(key, reason, depends_on, smoke)
    failed = situation.failed(action.object, key.deployment)
    if situation.backs_off(action.object, key.deployment):
        return joined(needed, failed)
    return joined(needed, failed, Part(actions=(action,)))


def _is_new(situation: Situation, deployment: Deployment, ref: PackageRef) -> bool:
    """Whether no PID of a deployment has or ever had a version: neither a restart nor a way back waits for a call.

    A PID has what its history says last: a mapping that was edited by hand proves no version.
    """
    observed = situation.observed

    def had(pid: str) -> bool:
        history = observed.history.get(pid, ())
        return any(entry.ref == ref for entry in history) or (not history and observed.mapped_ref(pid) == ref)

    return not any(had(pid) for pid in deployment.spec.pids)


def _answering(situation: Situation, deployment: Deployment, pid: str) -> PackageRef | None:
    """The version that this deployment must keep ready for a PID until it moves; None where it need not.

    It need not where the PID's target is ready already (it moves in this very pass), nor where the PID comes from
    another deployment whose process still answers.
    """
    observed = situation.observed
    ref, target = observed.active_ref(pid), situation.progress[deployment.name].targets[pid]
    if ref is None or target is None or ref == target:
        return ref
    if observed.answers(target, deployment.name) and not deployment.spec.suspend:
        return None
    return ref if observed.answers(ref, deployment.name) or not observed.answers(ref) else None
