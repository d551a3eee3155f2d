"""One detection on one process: check, load the images, wait for the turn, call phase by phase, answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from controller.calls.request import (
    Detection,
    DetectionRequest,
    SharedImages,
    call_data,
    check_arguments,
    phases_of,
    status_of,
)
from controller.errors import CallError, Code
from controller.images import npy
from controller.images.formats import ImageRef, ImageSource, Picture, load, needs_decoding
from controller.processes.process import AlgorithmProcess, new_request_id
from controller.wire.messages import Generation, Phase, SharedImage

_SMOKE_SHAPE = (480, 640, 3)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How to speak to the process, and when (monotonic) the caller leaves."""

    generation: Generation
    phases: tuple[Phase, ...]
    leave: float | None


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a request, loaded; `guide` None: the image itself."""

    image: Picture | ImageRef
    guide: Picture | ImageRef | None


async def detect(process: AlgorithmProcess, request: DetectionRequest, queue: float | None = None) -> Detection:
    """Return the answer to a detection.

    The deployment's call timeout runs from dispatch; `queue` seconds (by default as many) may pass before that. The
    request's own timeout covers both and ends the caller's waiting only.

    Raises:
        CallError: 1002, 1003, 1005–1007, 1009–1011, or what the algorithm's `error` frame says.
    """
    check_arguments(request)
    plan = plan_call(process, request, None if request.timeout is None else time.monotonic() + request.timeout)
    images = await load_images(request)
    await _take_turn(process, process.spec.call_timeout if queue is None else queue, plan.leave)
    try:
        return await call(process, request, plan, share(process, images))
    finally:
        process.give_turn()


def plan_call(process: AlgorithmProcess, request: DetectionRequest, leave: float | None) -> CallPlan:
    """Return how a well-formed request is put to a process. Raises CallError 1003, 1004."""
    if process.ready is None:
        raise CallError(Code.not_initialized, f"{process.key} is not ready", next_step="wait until it is")
    generation = process.ready.generation
    return CallPlan(generation, phases_of(request, generation), leave)


async def load_images(request: DetectionRequest) -> Images:
    """Return the pixels of a request's images. Raises CallError 1002."""
    image = await _load(request.image, "the image")
    return Images(image, None if request.guide_image is None else await _load(request.guide_image, "the guide image"))


async def _load(source: ImageSource, what: str) -> Picture | ImageRef:
    if isinstance(source, ImageRef):
        return source
    if needs_decoding(source):  # milliseconds of a codec or a disk, for which nobody else's call shall wait
        return await asyncio.get_running_loop().run_in_executor(None, load, source, what)
    return load(source, what)


def share(process: AlgorithmProcess, images: Images) -> SharedImages:
    """Put images where the process finds them; the turn is the caller's. Raises CallError 1000, 1003, 1007."""
    image = _share(process, images.image, "image")
    guide = image if images.guide is None else _share(process, images.guide, "guide")
    return SharedImages(image, guide, int(time.time() * 1000))


def _share(process: AlgorithmProcess, image: Picture | ImageRef, role: str) -> SharedImage:
    return process.slots.find(image) if isinstance(image, ImageRef) else process.slots.put(image, role)


async def _take_turn(process: AlgorithmProcess, queue: float, leave: float | None) -> None:
    left = float("inf") if leave is None else max(leave - time.monotonic(), 0.0)

    def overdue() -> CallError:
        if left < queue:
            return CallError(
                Code.timeout,
                f"{process.key} stayed busy for as long as the caller waits",
                next_step="raise the request's timeout",
                details={"caller_timeout": True},
            )
        return CallError(
            Code.busy,
            f"{process.key} was busy for {queue:g} s",
            next_step="call again, or raise spec.replicas",
            details={"retry_after": queue},
        )

    await process.take_turn(min(queue, left), overdue)


async def call(process: AlgorithmProcess, request: DetectionRequest, plan: CallPlan, shared: SharedImages) -> Detection:
    """Call the algorithm, phase by phase under one deadline; the turn is the caller's.

    Raises:
        CallError: like `AlgorithmProcess.call`.
    """
    started = time.monotonic()
    request_id = new_request_id()
    for phase in plan.phases:
        now = time.monotonic()
        data = call_data(request, request_id, shared, plan.generation, phase)
        result = await process.call(
            request_id if len(plan.phases) == 1 else f"{request_id}-{phase}",
            data,
            max(started + process.spec.call_timeout - now, 0.0),
            float("inf") if plan.leave is None else max(plan.leave - now, 0.0),
        )
        status, message = status_of(result)
        if status != "OK":
            break
    latency = round((time.monotonic() - started) * 1000, 3)
    key = process.key
    return Detection(request_id, request.pid, key.name, key.version, status, message, result.data, latency)


async def smoke(process: AlgorithmProcess) -> None:
    """Make one call before any traffic. Its verdict does not matter, an ERROR neither: only that it answers.

    Raises:
        CallError: the smoke image cannot be used, or the call hung, crashed or broke the protocol.
    """
    image: ImageSource = process.spec.smoke_image
    if image is None:
        image = npy.write_header(_SMOKE_SHAPE) + b"\x80" * (_SMOKE_SHAPE[0] * _SMOKE_SHAPE[1] * _SMOKE_SHAPE[2])
    await detect(process, DetectionRequest(process.spec.smoke_pid, image))
