"""The plan of one pass: state and `now` go in, typed actions with reasons come out. Pure."""

from __future__ import annotations

from controller.model.actions import Plan, RebuildRegistry
from controller.model.desired import Deployment, Revision
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.planning.moving import move, save_rollout
from controller.planning.part import Part, joined
from controller.planning.retiring import deactivate_removed, end_orphaned_rollouts, remove_surplus, retire_unneeded
from controller.planning.serving import keep_serving
from controller.planning.situation import Situation


def plan(revision: Revision, observed: Observed, now: Instant, *, serve: bool = True) -> Plan:
    """Return what a pass does now to make the station match the revision.

    With `serve` false, processes are wanted only to prove a version before its switch, not to stay up.
    """
    situation = Situation.of(revision, observed, now, serve=serve)
    wanted = joined(
        *(keep_serving(situation, each) for each in revision.deployments),
        _rebuild_registry(situation),
        deactivate_removed(situation),
        end_orphaned_rollouts(situation),
        *(_follow(situation, each) for each in revision.deployments),
    )
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


def _follow(situation: Situation, deployment: Deployment) -> Part:
    """Follow a deployment: note how its rollout goes on and, unless suspended, bring its PIDs to their versions."""
    noted = save_rollout(situation, deployment)
    return noted if deployment.spec.suspend else joined(noted, move(situation, deployment))
