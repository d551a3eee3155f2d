"""What goes away: mappings and rollouts that nothing names any more, processes that nothing needs, surplus packages."""

from __future__ import annotations

from collections.abc import Collection

from controller.model.actions import Deactivate, Retire, SaveRollout
from controller.model.objects import ObjectRef, ProcessKey
from controller.planning.part import Part, joined
from controller.planning.retention import surplus
from controller.planning.situation import Situation


def deactivate_removed(situation: Situation) -> Part:
    """Remove the mappings of PIDs that a deployment once managed and none names any more."""
    observed = situation.observed
    removed = (pid for pid in observed.active if pid not in situation.revision.by_pid and observed.managed(pid))
    why = "no deployment names this PID any more"
    return Part(actions=tuple(Deactivate(pid, observed.active_ref(pid), why) for pid in removed))


def end_orphaned_rollouts(situation: Situation) -> Part:
    """End the rollouts of deployments that are gone; what is in quarantine stays there."""
    orphans = (
        (name, record)
        for name, record in situation.observed.records.items()
        if name not in situation.revision.by_name and record.rollout is not None
    )
    why = "no deployment has this name any more"
    return Part(actions=tuple(SaveRollout(name, record.with_rollout(None), why) for name, record in orphans))


def retire_unneeded(situation: Situation, needed: Collection[ProcessKey]) -> Part:
    """End the processes that neither a deployment wants, nor a PID is still answered by, nor a way back needs.

    What answers goes on until a wanted process of its version is ready, also where its files are damaged or gone.
    """
    observed = situation.observed
    active = {observed.mapped_ref(pid) for pid in observed.active} if situation.serve else set()
    answered = {
        key.ref for key in needed if not key.shadow and key in observed.processes and observed.processes[key].serves
    }
    unneeded = (
        key
        for key, process in observed.processes.items()
        if key not in needed
        and key not in observed.kept
        and not situation.adopting(key)
        and not (key.ref in active and key.ref not in answered and process.serves and not key.shadow)
        and not (situation.serve and (_warm(situation, key) or _suspended(situation, key)))
    )
    return Part(actions=tuple(Retire(key, "no PID needs it any more") for key in unneeded))


def _warm(situation: Situation, key: ProcessKey) -> bool:
    """Whether a process is kept for a way back."""
    going_on = situation.progress.get(key.deployment)
    return going_on is not None and key.ref in going_on.warm and not key.shadow


def _suspended(situation: Situation, key: ProcessKey) -> bool:
    """Whether a process belongs to a deployment of which nothing is changed."""
    deployment = situation.revision.by_name.get(key.deployment)
    return deployment is not None and (deployment.spec.suspend or bool(situation.progress[deployment.name].unknown))


def remove_surplus(situation: Situation, planned: Collection[ObjectRef]) -> Part:
    """Remove the packages and zips that retention does not keep, but for those that something is done about."""
    removals = [each for each in surplus(situation.revision, situation.observed) if each.object not in planned]
    return joined(
        *(situation.failed(each.object, "") for each in removals),
        Part(actions=tuple(each for each in removals if not situation.backs_off(each.object, ""))),
    )
