"""One call of a shadow process, with the picture and the arguments of a call that the line has answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.calls.aftermath import Ended
from controller.calls.answers import answer_of
from controller.calls.detection import CallPlan, call, plan_call
from controller.calls.request import DetectionRequest, SharedImages
from controller.calls.shadow_counts import Dropped
from controller.client.answers import Detection
from controller.errors import CallError, Code
from controller.host.priority import waits_for_processor
from controller.images.slots import Lease
from controller.model.comparison import Answer
from controller.processes.process import AlgorithmProcess
from controller.wire.messages import NO_IMAGE

_PATIENCE = 4
"""How many times its deadline a call of a shadow may take in all: see `_Deadline`."""
_BEGIN = 0.1
"""Share of the deadline after which is looked for the first time: most calls are answered by then."""
_OWN = 0.9
"""Share of the deadline that a process must have had for itself, so that being late is its own doing."""
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
    wanted = process.spec.input
    other = image.image if wanted.guide == "same" else NO_IMAGE
    guide = other if ended.guide is None else ended.guide.image
    return SharedImages(image.image, guide, int(ended.epoch * 1000), wanted.swap)


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

    While it waits for a processor, its own time does not run: it gives way to the line, and must not be blamed for
    that. In all it has a few times as long.
    """

    def __init__(self, process: AlgorithmProcess) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._allowed = process.spec.call_timeout
        self._began = self._loop.time()
        self._before: dict[str, float] = {}
        self._timer = self._loop.call_later(_BEGIN * self._allowed, self._begin)

    def cancel(self) -> None:
        """The call has ended."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._before = waits_for_processor(self._process.os_pid)
        self._timer = self._loop.call_later((1 - _BEGIN) * self._allowed, self._look)

    def _look(self) -> None:
        waits = waits_for_processor(self._process.os_pid)
        waited = max((wait - self._before.get(thread, 0.0) for thread, wait in waits.items()), default=0.0)
        own = self._loop.time() - self._began - waited
        if own < _OWN * self._allowed:
            self._timer = self._loop.call_later(self._allowed - own, self._look)
            return
        late = f"{self._process.key} did not answer within {self._allowed:g} s"
        self._process.condemn(CallError(Code.timeout, late, details={_LATE: round(own, 3)}))
