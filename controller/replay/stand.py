"""A test stand: one process of a version beside the line, which is shown one picture after the other.

A process that broke is replaced, a bounded number of times: beyond it the version has failed. What the machine did to
it (too little processor time, an end by the kernel) is never held against the version.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from controller.calls import detection
from controller.calls.answers import answer_of
from controller.calls.own_time import PATIENCE, OwnTime, was_starved
from controller.calls.request import DetectionRequest, SharedImages
from controller.client.answers import Detection
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code, ControllerError, StartFailed
from controller.host.priority import give_way_a_little
from controller.images.formats import ImageRef
from controller.model.comparison import Answer
from controller.model.input import PictureInput
from controller.model.last_part import LONGEST_WORDS
from controller.model.recording import RecordedCall
from controller.processes import census
from controller.processes.launch import Launcher
from controller.processes.process import AlgorithmProcess
from controller.processes.spec import ProcessSpec
from controller.processes.supervision import too_much_memory
from controller.processes.usage import consumption_of, descendants
from controller.recordings.source import Pictures
from controller.store.layout import StoreLayout
from controller.wire.messages import NO_IMAGE


@dataclass(frozen=True, slots=True)
class Refused:
    """The version does not take the recorded arguments: nothing can be compared. `why` in its words."""

    why: str


MOST_BROKEN = 10
"""How often a process may be replaced in one replay, because it ended or gave no answer in time."""
MOST_STARVED = 3
"""Pictures in sequence for which the machine had too little time: then it is tried later."""
_SAMPLE_EVERY = 0.2


class VersionFailed(ControllerError):
    """The version is of no use, otherwise than on a picture: no process of it becomes ready, or it breaks too often."""


class Stand:
    """One process, begun with the first picture. `now` is an RFC 3339 clock; `memory_max` (bytes) None: no limit.
    `gives_way`: it runs only where the line leaves time; else it has a small share beside others.

    `memory_bytes` is the most that it has used with all its descendants.
    """

    def __init__(
        self, layout: StoreLayout, launcher: Launcher, spec: ProcessSpec, now: Callable[[], str],
        memory_max: int | None = None, *, gives_way: bool = False,
    ) -> None:  # fmt: skip
        self._layout = layout
        self._launcher = launcher
        self._spec = replace(spec, smoke=False, start_timeout=spec.start_timeout * PATIENCE)
        self._gives_way = gives_way
        self._now = now
        self._memory_max = memory_max
        self._process: AlgorithmProcess | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._broken = self._starved = 0
        self.memory_bytes: int | None = None

    async def show(self, call: RecordedCall, pictures: Pictures) -> Answer | Refused | None:
        """Return what the version says of a picture; None where that cannot be told, for reasons of the machine.

        Raises:
            VersionFailed: it failed otherwise. ControllerError: this machine cannot go on with it now.
        """
        process = await self._ready()
        try:
            answer = answer_of(
                await _call(process, call, pictures, _swapped(process.spec.input, call, self._gives_way))
            )
        except CallError as error:
            return await self._failed(process, error)
        self._starved = 0
        return answer

    async def _failed(self, process: AlgorithmProcess, error: CallError) -> Answer | Refused | None:
        if process.failure is None:
            if error.details.get("fault") != "host":
                return _said(error)
            self._starve(error.message)
            return None
        await self.close()
        if "rss_bytes" in error.details:
            raise VersionFailed(error.message)
        ended = process.record.exit
        killed = process.cause == "itself" and error.code is Code.heartbeat_lost and ended is not None
        if killed and ended is not None and ended.signal == signal.SIGKILL:
            self._starve("the system ended its process, as it does where memory is short")
            return None
        if was_starved(error):
            self._starve("its process has too little processor time")
            return None
        self._starved, self._broken = 0, self._broken + 1
        if self._broken > MOST_BROKEN:
            raise VersionFailed(f"its process had to be replaced {self._broken} times; the last time: {error.message}")
        return _said(error)

    def _starve(self, why: str) -> None:
        """Note a picture that could not be judged. Raises ControllerError where that has become the rule."""
        self._starved += 1
        if self._starved >= MOST_STARVED:
            raise ControllerError(
                f"this machine has no room for a replay now: {why}, {self._starved} times in sequence",
                next_step="nothing: it is tried again later",
            )

    async def _ready(self) -> AlgorithmProcess:
        """Return the process, started where there is none. Raises VersionFailed, HostError."""
        if self._process is not None and self._process.failure is not None:
            await self.close()  # it broke between two pictures
        if self._process is None:
            try:
                self._process = await self._start()
            except StartFailed:  # a second start tells a bad version from a bad moment
                try:
                    self._process = await self._start()
                except StartFailed as error:
                    raise VersionFailed(str(error)) from error
            self._sampling = asyncio.create_task(self._sample(self._process))
        return self._process

    async def _start(self) -> AlgorithmProcess:
        process = await self._launcher.start(self._spec, self._now(), lasting=False, gives_way=self._gives_way)
        for os_pid in () if self._gives_way else descendants(process.record.shim.os_pid):  # a session of its own
            give_way_a_little(os_pid)
        return process

    async def _sample(self, process: AlgorithmProcess) -> None:
        while process.failure is None:
            used = consumption_of(process.record.shim.os_pid).rss_bytes
            self.memory_bytes = max(self.memory_bytes or 0, used)
            if self._memory_max is not None and used > self._memory_max:
                process.condemn(too_much_memory(process.key, used, self._memory_max))
            await asyncio.sleep(_SAMPLE_EVERY)

    async def close(self) -> None:
        """End the process, and remove what it leaves."""
        process, self._process = self._process, None
        if self._sampling is not None:
            self._sampling.cancel()
        if process is None:
            return
        if process.failure is None:
            await process.end(0)
        await process.wait_ended()
        process.detach()
        with suppress(OSError):  # what is left is swept by the next start
            await asyncio.to_thread(census.end_token, self._layout, process.record.token)


def _swapped(wanted: PictureInput, call: RecordedCall, beside_the_line: bool) -> bool:
    """Return whether a picture and its guide change places: as the line would hand them over, which has its spec.

    Without a station there is none, and what was recorded says it, where it does.
    """
    return wanted.swap if beside_the_line or call.swapped is None else call.swapped


async def _call(
    process: AlgorithmProcess, call: RecordedCall, pictures: Pictures, swapped: bool
) -> Detection:  # fmt: skip
    """Repeat a recorded call on a process: its arguments and its pictures are those that were recorded."""
    given = {name: value for name, value in call.arguments.items() if name in CallArguments.__slots__}
    arguments = CallArguments(**{"timestamp_ms": round(call.epoch * 1000), **given, "phase": None, "timeout": None})
    request = DetectionRequest(call.pid, ImageRef(call.id), arguments=arguments)
    plan = detection.plan_call(process, request, None)
    async with process.exclusively(process.spec.call_timeout):
        image = process.slots.put(pictures.image, "image", call.image.color_space)
        guide = image if call.guide_is_image else NO_IMAGE
        if pictures.guide is not None:
            guide = process.slots.put(pictures.guide, "guide", call.guide.color_space if call.guide else "RGB")
        shared = SharedImages(image, guide, round(call.epoch * 1000), swapped)
        deadline = OwnTime(process)
        try:
            return await detection.call(process, request, plan, shared, PATIENCE * process.spec.call_timeout)
        finally:
            deadline.cancel()


def _said(error: CallError) -> Answer | Refused:
    """Return that a version failed at a picture; a call that it does not take is none, as for a shadow."""
    return answer_of(error) or Refused(error.message[:LONGEST_WORDS])
