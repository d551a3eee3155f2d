"""Restarting a deployment's processes because an operator wants it: one after the other, each successor ready first."""

from __future__ import annotations

from collections.abc import Collection

from controller.model.actions import Preheat
from controller.model.desired import Deployment
from controller.model.objects import ProcessKey
from controller.planning.part import Part, joined
from controller.planning.situation import Situation


def restart_asked_for(situation: Situation, deployment: Deployment, needed: Collection[ProcessKey]) -> Part:
    """Want the next of the processes that are to be restarted; none while one of the deployment is not ready.

    A process answers until its successor is ready, so no call is lost to a restart. One that exited meanwhile, or that
    nothing needs any more, is no part of it.
    """
    asked = situation.progress[deployment.name].record.restart
    if asked is None or not situation.serve:
        return Part()
    own = [each for each in situation.observed.processes.values() if each.key in needed]
    old = [each for each in own if each.serves and (str(each.key), each.started_at) in asked.processes]
    if not old or any(each.key.deployment == deployment.name and not each.serves for each in own):
        return Part()
    key = min(each.key for each in old)
    action = Preheat(key, f"restart asked for by {asked.actor}: {asked.reason}")
    failed = situation.failed(action.object, deployment.name)
    rests = situation.backs_off(action.object, deployment.name)
    return failed if rests else joined(failed, Part(actions=(action,)))
