"""One detection on one process: load the images, take the call lock, call phase by phase, answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.calls.pictures import Images, PictureRoom
from controller.calls.request import (
    DetectionRequest,
    SharedImages,
    call_data,
    params_of,
    phases_of,
    status_of,
)
from controller.client.answers import Detection
from controller.errors import CallError, Code
from controller.images import npy
from controller.images.formats import ImageRef, ImageSource, Picture
from controller.images.slots import StoredImage
from controller.model.input import PictureInput
from controller.processes.conversation import new_request_id
from controller.processes.process import AlgorithmProcess
from controller.wire.messages import NO_IMAGE, Generation, Phase, Result, SharedImage

_SMOKE_SHAPE = (480, 640, 3)
_SMOKE_ADVICE = "spec.preheat.image names a picture for this call, and spec.preheat.smoke: false leaves it out"


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How to speak to the process, and when (monotonic) the caller leaves."""

    generation: Generation
    phases: tuple[Phase, ...]
    params: Mapping[str, Any]
    leave: float | None

    def left(self, now: float) -> float:
        """Return the seconds that the caller still waits."""
        return float("inf") if self.leave is None else max(self.leave - now, 0.0)


async def detect(process: AlgorithmProcess, request: DetectionRequest) -> Detection:
    """Return the answer of one process that nobody else sends calls to: its smoke call, a call without a controller.

    The call timeout runs from dispatch; as long may the process be busy before that, and not longer than its caller
    waits. Which pictures the algorithm gets is said by the process's own record.

    Raises:
        CallError: 1002, 1003, 1005–1007, 1009–1011, or what the algorithm's `error` frame says.
    """
    timeout = request.arguments.timeout
    plan = plan_call(process, request, None if timeout is None else time.monotonic() + timeout)
    with PictureRoom(str(process.slots.folder)).share() as pictures:
        images = await pictures.load(request, process.spec.input)
        async with process.exclusively(min(process.spec.call_timeout, plan.left(time.monotonic()))):
            return await call(process, request, plan, share(process, images, request, process.spec.input))


def plan_call(process: AlgorithmProcess, request: DetectionRequest, leave: float | None) -> CallPlan:
    """Return how a request is put to a process. Raises CallError 1003, 1004."""
    if process.ready is None:
        raise CallError(Code.not_initialized, f"{process.key} is not ready", next_step="wait until it is")
    generation = process.ready.generation
    return CallPlan(
        generation, phases_of(request, generation), params_of(request, process.spec.steps, generation), leave
    )


def require_guide(request: DetectionRequest, wanted: PictureInput) -> None:
    """Raise CallError 1003 where a deployment compares with a guide image and the request brings none."""
    if wanted.guide == "required" and request.guide_image is None and not request.is_info:
        raise CallError(
            Code.invalid_params,
            f"PID {request.pid} needs a guide image beside the camera picture (spec.input.guide: required)",
            next_step="pass guide_image: the picture that the part is compared with",
        )


def share(process: AlgorithmProcess, images: Images, request: DetectionRequest, wanted: PictureInput) -> SharedImages:
    """Put images where the process finds them; the caller holds the call lock. Raises CallError 1003, 1007."""
    order = request.arguments.channel_order(wanted.color_space)
    image = _share(process, images.image, "image", order)
    guide = _share(process, images.guide, "guide", order)
    if wanted.zero_copy:
        image, guide = _mappable(image), _mappable(guide)
    if guide is NO_IMAGE and wanted.guide == "same":
        guide = image
    return SharedImages(image, guide, int(time.time() * 1000), wanted.swap)


def _share(process: AlgorithmProcess, image: Picture | ImageRef | None, role: str, order: str) -> SharedImage:
    if image is None:
        return NO_IMAGE
    if isinstance(image, ImageRef):
        return process.slots.find(image, order)
    return process.slots.put(image, role, "RGB" if image.decoded else order)


def _mappable(image: SharedImage) -> SharedImage:
    return replace(image, zero_copy=True) if isinstance(image, StoredImage) and image.locked else image


async def call(
    process: AlgorithmProcess, request: DetectionRequest, plan: CallPlan, shared: SharedImages,
    timeout: float | None = None,
) -> Detection:  # fmt: skip
    """Call the algorithm, phase by phase under one deadline; the caller holds the call lock.

    What `pre` answered where `execute` came after it is told beside the answer of `execute`. `timeout` (s): another
    deadline than the process's own.

    Raises:
        CallError: like `AlgorithmProcess.call`; 1007, an image was removed or changed meanwhile.
    """
    started = time.monotonic()
    deadline = started + (process.spec.call_timeout if timeout is None else timeout)
    request_id = new_request_id()
    answers: list[Result] = []
    for phase in plan.phases:
        now = time.monotonic()
        data = call_data(request, request_id, shared, plan.generation, phase, plan.params)
        result = await process.call(
            request_id if len(plan.phases) == 1 else f"{request_id}-{phase}",
            data,
            max(deadline - now, 0.0),
            plan.left(now),
        )
        answers.append(result)
        status, message = status_of(result)
        if status != "OK":
            break
    latency = round((time.monotonic() - started) * 1000, 3)
    for image in (shared.image, shared.guide):
        if isinstance(image, StoredImage):
            image.require_unchanged()
    key = process.key
    before = {"message": answers[0].message, "data": answers[0].data} if len(answers) > 1 else None
    return Detection(request_id, request.pid, key.name, key.version, status, message, result.data, latency, before)


async def smoke(process: AlgorithmProcess) -> str:
    """Make one call before any traffic; return what is doubtful about what it came to, empty where it was an answer.

    OK and NG are answers; ERROR is a doubt. So is an exception on a generated picture, which may be nothing that the
    algorithm can take; on the configured picture it fails the call.

    Raises:
        CallError: the smoke picture cannot be used, or the call hung, crashed, broke the protocol, or raised.
    """
    source, what, given = _smoke_picture(process)
    guide = source if process.spec.input.guide == "required" else None
    try:
        answer = await detect(process, DetectionRequest(process.spec.smoke_pid, source, guide))
    except CallError as error:
        words = f"its smoke call on {what} failed: {error.message}"
        if error.code is Code.execute_exception and process.failure is None and not given:
            return words
        raise CallError(error.code, words, next_step=_SMOKE_ADVICE, details=error.details) from error
    return "" if answer.status == "OK" else f"its smoke call on {what} came to ERROR: {answer.message}"


def _smoke_picture(process: AlgorithmProcess) -> tuple[ImageSource, str, bool]:
    """Return the picture of a smoke call, what to call it, and whether it is one that the algorithm has to take.

    A recorded picture of the PID, once there are any, comes between the two.
    """
    configured, (height, width, channels) = process.spec.smoke_image, _SMOKE_SHAPE
    if configured is not None:
        return configured, configured, True
    return npy.write_header(_SMOKE_SHAPE) + b"\x80" * (height * width * channels), "a generated picture", False
