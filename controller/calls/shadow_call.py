"""One call of a shadow process, with the picture and the arguments of a call that the line has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from controller.calls.aftermath import Ended
from controller.calls.answers import answer_of
from controller.calls.detection import CallPlan, call, plan_call
from controller.calls.request import DetectionRequest, SharedImages
from controller.calls.shadow_counts import Dropped
from controller.client.answers import Detection
from controller.errors import CallError, Code
from controller.host.priority import Thread, threads_of
from controller.images.slots import Lease
from controller.model.comparison import Answer
from controller.processes.process import AlgorithmProcess
from controller.wire.messages import NO_IMAGE

_PATIENCE = 4
"""How many times its deadline a call of a shadow may take in all: see `_Deadline`."""
_STEP = 0.1
"""Share of the deadline between two looks; most calls are answered before the first."""
_LATE = "own_seconds"


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
    deadline = _Deadline(process)
    try:
        return await call(process, request, plan, shared, _PATIENCE * process.spec.call_timeout)
    except CallError as error:
        return error
    finally:
        deadline.cancel()


def _understood(process: AlgorithmProcess, outcome: Detection | CallError) -> Answer | Dropped:
    if isinstance(outcome, CallError):
        if outcome.code is Code.shared_memory_not_found:
            return "changed"
        if outcome.code is Code.timeout and _LATE not in outcome.details:
            return "starved"
        if process.draining:
            return "ended"
    return answer_of(outcome) or "refused"


class _Deadline:
    """Ends a process whose call takes longer than its deadline.

    While one of its threads wants a processor and has none, its own time does not run: it gives way to the line, and
    must not be blamed for that. In all it has a few times as long.
    """

    def __init__(self, process: AlgorithmProcess) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._allowed = process.spec.call_timeout
        self._looked = self._loop.time()
        self._own = 0.0
        self._threads: dict[str, Thread] = {}
        self._timer = self._loop.call_later(_STEP * self._allowed, self._look)

    def cancel(self) -> None:
        """The call has ended."""
        self._timer.cancel()

    def _look(self) -> None:
        now, threads = self._loop.time(), threads_of(self._process.os_pid)
        passed, self._looked = now - self._looked, now
        if any(thread.stands for thread in threads.values()):
            passed = min(passed, self._most_run(threads))
        self._threads = threads
        self._own += passed
        left = self._allowed - self._own
        if left > 0:
            self._timer = self._loop.call_later(min(left, _STEP * self._allowed), self._look)
            return
        late = f"{self._process.key} did not answer within {self._allowed:g} s"
        self._process.condemn(CallError(Code.timeout, late, details={_LATE: round(self._own, 3)}))

    def _most_run(self, threads: Mapping[str, Thread]) -> float:
        """Return the processor time (s) of the thread that had most of it since the last look."""
        before = self._threads
        return max((each.ran - before[number].ran for number, each in threads.items() if number in before), default=0.0)
