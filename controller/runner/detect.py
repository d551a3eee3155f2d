"""One detection on one process: check, load the images, wait for the turn, call phase by phase, answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from controller.errors import CallError, Code
from controller.runner import npy
from controller.runner.calls import Detection, DetectionRequest, SharedImages, call_data, check, status_of
from controller.runner.images import ImageRef, ImageSource, Picture, load, needs_decoding
from controller.runner.process import AlgorithmProcess, new_request_id
from controller.wire.messages import Generation, Phase, SharedImage

_SMOKE_SHAPE = (480, 640, 3)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to speak to the process, and when (monotonic) the caller leaves."""

    generation: Generation
    phases: tuple[Phase, ...]
    leave: float | None


async def detect(process: AlgorithmProcess, request: DetectionRequest, queue: float | None = None) -> Detection:
    """Return the answer to a detection.

    The deployment's call timeout runs from dispatch; `queue` seconds (by default as many) may pass before that. The
    request's own timeout covers both and ends the caller's waiting only.

    Raises:
        CallError: 1002, 1003, 1005–1007, 1009–1011, or what the algorithm's `error` frame says.
    """
    if process.ready is None:
        raise CallError(Code.not_initialized, f"{process.key} is not ready", next_step="wait until it is")
    generation = process.ready.generation
    phases = check(request, generation)
    leave = None if request.timeout is None else time.monotonic() + request.timeout
    image = await _load(request.image, "the image")
    guide = None if request.guide_image is None else await _load(request.guide_image, "the guide image")
    await _take_turn(process, process.spec.call_timeout if queue is None else queue, leave)
    try:
        shared = SharedImages(
            current := _share(process, image, "image"),
            current if guide is None else _share(process, guide, "guide"),
            int(time.time() * 1000),
        )
        return await _call(process, request, _Plan(generation, phases, leave), shared)
    finally:
        process.give_turn()


async def _load(source: ImageSource, what: str) -> Picture | ImageRef:
    if isinstance(source, ImageRef):
        return source
    if needs_decoding(source):  # milliseconds of a codec or a disk, for which nobody else's call shall wait
        return await asyncio.get_running_loop().run_in_executor(None, load, source, what)
    return load(source, what)


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


async def _call(process: AlgorithmProcess, request: DetectionRequest, plan: _Plan, shared: SharedImages) -> Detection:
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
