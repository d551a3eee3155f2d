"""What is shown to a version beside the line: the recorded pictures of a replay step, those of the line of a shadow."""

from __future__ import annotations

from controller.model.actions import Replay
from controller.model.desired import Deployment
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import Rollout
from controller.planning.part import Part, joined
from controller.planning.serving import kept_ready
from controller.planning.situation import Situation
from controller.rollouts.pictures import replay_key


def show_pictures(situation: Situation, deployment: Deployment) -> Part:
    """Want what the present step of a rollout shows to its target, where it is a replay or a shadow."""
    rollout = situation.progress[deployment.name].record.rollout
    if rollout is None or rollout.target not in situation.observed.installed:
        return Part()
    if rollout.state == "replaying":
        return _replay(situation, rollout)
    if rollout.state == "shadowing" and situation.serve:
        return kept_ready(situation, deployment, shadow_key(deployment, rollout.target), _decided(situation, rollout))
    return Part()


def shadow_key(deployment: Deployment, ref: PackageRef) -> ProcessKey:
    """Return the process of a version that gets pictures of the line, and answers no call of it."""
    return ProcessKey(deployment.name, ref.name, ref.version, shadow=True)


def _replay(situation: Situation, rollout: Rollout) -> Part:
    """Want the replay until it is done; one that is paused, or that something stands in the way of, is ended."""
    key, step, name = replay_key(rollout), rollout.present_step, rollout.deployment
    if key is None or step is None or step.pictures is None or rollout.paused_by or rollout.suspended_because:
        return Part()
    report = situation.observed.replays.get(name)
    if report is not None and report.key == key and report.done:
        return Part()
    why = f"rollout of {rollout.target}: {step}"
    action = Replay(
        key, rollout.strategy.sequence, step.pictures.last, step.pictures.iou, why, _decided(situation, rollout),
        answered_by=_replaced(rollout),
        quarantined=tuple({each.package for each in situation.progress[name].record.quarantine}),
    )  # fmt: skip
    failed = situation.failed(action.object, name)
    return failed if situation.backs_off(action.object, name) else joined(failed, Part(actions=(action,)))


def _replaced(rollout: Rollout) -> tuple[tuple[str, PackageRef], ...]:
    """Return the version of each PID that the target is to replace; empty where there is none.

    What others said is no measure: a canary that was rolled back for overkill has left false NGs.
    """
    if (usual := rollout.usual_stable) is None:
        return ()
    stable = {pid: rollout.stable.get(pid, usual) for pid in rollout.strategy.sequence}
    return tuple((pid, usual if ref == rollout.target else ref) for pid, ref in stable.items())


def _decided(situation: Situation, rollout: Rollout) -> tuple[ObjectRef, ...]:
    """What must be written down before anything is shown."""
    return (ObjectRef("rollout", rollout.deployment),) if situation.progress[rollout.deployment].note else ()
