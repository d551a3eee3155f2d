"""One call of a shadow process, with the picture and the arguments of a call that the line has answered."""

from __future__ import annotations

from dataclasses import replace

from controller.calls.aftermath import Ended
from controller.calls.answers import answer_of
from controller.calls.detection import CallPlan, call, plan_call
from controller.calls.own_time import PATIENCE, OwnTime, was_starved
from controller.calls.request import DetectionRequest, SharedImages
from controller.calls.shadow_counts import Dropped
from controller.client.answers import Detection
from controller.errors import CallError, Code
from controller.images.slots import Lease
from controller.model.comparison import Answer
from controller.processes.process import AlgorithmProcess
from controller.wire.messages import NO_IMAGE


async def ask(process: AlgorithmProcess, ended: Ended) -> Answer | Dropped:
    """Return what a shadow says of the picture of a call that has ended, or why that says nothing about its version."""
    request, image = _request_of(ended), ended.image
    if image is None:
        return "no_room"
    try:
        plan, shared = plan_call(process, request, None), _shared(process, ended, image)
    except CallError:  # its manifest declares other parameters
        return "refused"
    try:
        async with process.exclusively(process.spec.call_timeout):
            outcome = await _call(process, request, plan, shared)
    except CallError:  # it broke before it was asked
        return "no_process"
    return _understood(process, outcome)


def _request_of(ended: Ended) -> DetectionRequest:
    """Return the request as the shadow gets it: all phases together, and no caller who leaves."""
    arguments = ended.request.arguments
    if arguments.phase is None and arguments.timeout is None:
        return ended.request
    return replace(ended.request, arguments=replace(arguments, phase=None, timeout=None))


def _shared(process: AlgorithmProcess, ended: Ended, image: Lease) -> SharedImages:
    """Return the pictures where they are; the process reads the very files that the line's was given."""
    other = image.image if ended.guide_is_image else NO_IMAGE
    guide = other if ended.guide is None else ended.guide.image
    return SharedImages(image.image, guide, int(ended.epoch * 1000), process.spec.input.swap)


async def _call(
    process: AlgorithmProcess, request: DetectionRequest, plan: CallPlan, shared: SharedImages
) -> Detection | CallError:
    deadline = OwnTime(process)
    try:
        return await call(process, request, plan, shared, PATIENCE * process.spec.call_timeout)
    except CallError as error:
        return error
    finally:
        deadline.cancel()


def _understood(process: AlgorithmProcess, outcome: Detection | CallError) -> Answer | Dropped:
    if isinstance(outcome, CallError):
        if outcome.code is Code.shared_memory_not_found:
            return "changed"
        if was_starved(outcome):
            return "starved"
        if process.draining:
            return "ended"
    return answer_of(outcome) or "refused"
