"""The plan of one pass: state and `now` go in, typed actions with reasons come out. Pure."""

from __future__ import annotations

from controller.model.actions import Plan, RebuildRegistry, RestoreMemory
from controller.model.desired import Deployment, Revision
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.model.rollout import HOLDS, Instant
from controller.planning.beside import show_pictures
from controller.planning.moving import move, save_rollout
from controller.planning.part import Part, joined
from controller.planning.reasons import no_history
from controller.planning.restarting import restart_asked_for
from controller.planning.retiring import deactivate_removed, end_orphaned_rollouts, remove_surplus, retire_unneeded
from controller.planning.serving import keep_serving
from controller.planning.situation import Situation
from controller.planning.unmanaged import keep_unmanaged


def plan(revision: Revision, observed: Observed, now: Instant, *, serve: bool = True) -> Plan:
    """Return what a pass does now to make the station match the revision.

    With `serve` false, processes are wanted only to prove a version before its switch, not to stay up.
    """
    situation = Situation.of(revision, observed, now, serve=serve)
    wanted = joined(
        *(keep_serving(situation, each) for each in revision.deployments),
        keep_unmanaged(situation),
        _rebuild_registry(situation),
        _restore_memory(situation),
        *(_tell_lost_history(situation, each) for each in revision.deployments),
        deactivate_removed(situation),
        end_orphaned_rollouts(situation),
        *(_follow(situation, each) for each in revision.deployments),
    )
    restarts = (restart_asked_for(situation, each, wanted.needed) for each in revision.deployments)
    wanted = joined(wanted, *restarts)
    whole = joined(wanted, retire_unneeded(situation, wanted.needed), remove_surplus(situation, wanted.objects))
    return Plan(
        whole.actions,
        whole.blocked,
        whole.waiting,
        whole.steps,
        _targets(situation),
        {name: going_on.record for name, going_on in situation.progress.items()},
        {name: going_on.verdict for name, going_on in situation.progress.items() if going_on.verdict is not None},
        {name: going_on.back for name, going_on in situation.progress.items() if going_on.back is not None},
    )


def _targets(situation: Situation) -> dict[str, PackageRef]:
    """The version that each PID is to have, where a deployment that is not suspended wants one."""
    following = (each for each in situation.revision.deployments if not each.spec.suspend)
    targets = (target for each in following for target in situation.progress[each.name].targets.items())
    return {pid: ref for pid, ref in targets if ref is not None}


def _rebuild_registry(situation: Situation) -> Part:
    lost = situation.observed.registry_lost
    return Part(actions=(RebuildRegistry("registry.json is lost or damaged"),) if lost else ())


def _restore_memory(situation: Situation) -> Part:
    """Restore what could be read from its copy only; what is decided about it waits for that."""
    actions = (
        RestoreMemory(name, f"{why}; restored from its copy") for name, why in situation.observed.restored.items()
    )
    return joined(Part(), *(_again(situation, action) for action in actions))


def _again(situation: Situation, action: RestoreMemory) -> Part:
    deployment = "" if action.name == HOLDS else action.name
    failed = situation.failed(action.object, deployment)
    return failed if situation.backs_off(action.object, deployment) else joined(failed, Part(actions=(action,)))


def _tell_lost_history(situation: Situation, deployment: Deployment) -> Part:
    lost = situation.observed.lost_history
    return Part(
        blocked=tuple(no_history(pid, deployment.name, lost[pid]) for pid in deployment.spec.pids if pid in lost)
    )


def _follow(situation: Situation, deployment: Deployment) -> Part:
    """Follow a deployment: note how its rollout goes on and, unless suspended, bring its PIDs to their versions."""
    noted = save_rollout(situation, deployment)
    if deployment.spec.suspend:
        return noted
    return joined(noted, move(situation, deployment), show_pictures(situation, deployment))
