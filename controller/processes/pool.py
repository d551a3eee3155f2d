"""The processes of one store, as a controller uses them. A pool starts and ends what it is told to.

Processes outlive it: `close` gives them back, and the next pool's `open` adopts them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from controller.errors import CallError, StoreError
from controller.images import shared_folder
from controller.model.health import Timeouts
from controller.model.input import PictureInput
from controller.model.observed import ObservedProcess, ProcessKey
from controller.processes import census, records
from controller.processes.attach import ShimBusy, ShimGone
from controller.processes.launch import Launcher, Smoke, adopt
from controller.processes.process import AlgorithmProcess
from controller.processes.records import ProcessRecord
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)

_BUSY_RETRY = 0.05
_RECORDING = 1.0
"""Seconds that shims may take to write down what was configured, before the pool is closed."""


class PoolObserver(Protocol):
    """Hears what becomes of the processes of a pool."""

    def process_ready(self, process: AlgorithmProcess) -> None:
        """A process was started or adopted, perhaps in the place of another, which is stopped next."""

    def process_exited(self, process: AlgorithmProcess) -> None:
        """A process exited unexpectedly."""

    async def process_stopping(self, process: AlgorithmProcess, patience: float) -> None:
        """A process is about to be stopped: it goes on answering until this returns, within `patience` seconds."""


class ProcessPool:
    """All processes of a store. One pool at a time: the controller's lock is the caller's matter.

    `python` is the interpreter for shims, `smoke` makes the call before traffic, `now` gives the time as RFC 3339 UTC.
    """

    def __init__(
        self, layout: StoreLayout, *, smoke: Smoke, now: Callable[[], str], python: str = sys.executable
    ) -> None:
        self._layout = layout
        self._launcher = Launcher(layout, python, smoke)
        self._now = now
        self._processes: dict[ProcessKey, AlgorithmProcess] = {}
        self._restarts: dict[ProcessKey, int] = defaultdict(int)
        self._changing: dict[ProcessKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._observers: tuple[PoolObserver, ...] = ()
        self._timeouts: Mapping[str, Timeouts] = {}
        self._inputs: Mapping[str, PictureInput] = {}
        self._marking: dict[ProcessKey, asyncio.Task[None]] = {}
        self._adopting: dict[ProcessKey, ProcessRecord] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self.on_adoption: Callable[[], None] = lambda: None

    def subscribe(self, observer: PoolObserver) -> None:
        """Tell an observer of what becomes of the processes from now on, and of those that are there already."""
        self._observers = (*self._observers, observer)
        for process in self._processes.values():
            observer.process_ready(process)

    def unsubscribe(self, observer: PoolObserver) -> None:
        """Tell an observer no more."""
        self._observers = tuple(each for each in self._observers if each is not observer)

    def make_folder(self) -> bool:
        """Make `run` and the way to the images where they are not there; return whether they were not.

        Raises:
            StoreError: the store's `run` folder cannot be used.
        """
        run, images = self._layout.run, self._layout.images
        if run.is_dir() and images.is_dir():
            return False
        try:
            run.mkdir(parents=True, exist_ok=True)
            shared_folder.open_folder(images)
        except OSError as error:
            raise _unusable(run, error) from error
        return True

    async def open(self, patience: float | None = None) -> None:
        """Adopt what runs and answers; end and sweep away the rest of what this store ever started.

        Each process has a deadline of its own and holds up no other: after `patience` seconds (None: when all is done)
        this returns, and the rest goes on beside it. `on_adoption` is called at the end of each.

        Raises:
            StoreError: the store's `run` folder cannot be used.
        """
        self.make_folder()
        loop = asyncio.get_running_loop()
        try:
            candidates = _newest(records.scan(self._layout.run))
            known = {record.token for record in candidates}
            strays = await loop.run_in_executor(None, census.strays, self._layout, known)
        except OSError as error:
            raise _unusable(self._layout.run, error) from error
        for record in candidates:
            self._adopting[record.spec.key] = record
            self._begin(self._adopt(record))
        self._begin(self._sweep(strays))
        await asyncio.wait(set(self._opening), timeout=patience)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _sweep(self, strays: census.Strays) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, census.end_strays, strays)
        except OSError as error:  # what stays behind disturbs nobody, and the next start tries again
            log.warning("cannot sweep %s: %s", self._layout.run, error.strerror)

    async def _adopt(self, record: ProcessRecord) -> None:
        """Take a process in as soon as it answers; one that does not is ended."""
        key = record.spec.key
        async with self._changing[key]:
            try:
                process = await self._attach(record)
                log.info("%s: adopted as process %s", key, process.os_pid, extra=_about(key))
                self._take_in(process)
            except (ShimBusy, ShimGone, CallError) as error:
                _tell_not_adopted(record, error.message)
                await self._end_token(record.token)
            finally:
                del self._adopting[key]
        self.on_adoption()

    async def _attach(self, record: ProcessRecord) -> AlgorithmProcess:
        """Attach to a process and prove it. A command that just calls it is waited for, as long as it may take."""
        until = time.monotonic() + record.spec.call_timeout + record.spec.start_timeout
        while True:
            try:
                return await adopt(self._layout, record)
            except ShimBusy:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_BUSY_RETRY)

    async def _end_token(self, token: str, *, pictures: bool = True) -> None:
        end = partial(census.end_token, self._layout, token, pictures=pictures)
        with suppress(OSError):  # the next sweep removes what is left; what ran has ended
            await asyncio.get_running_loop().run_in_executor(None, end)

    def _take_in(self, process: AlgorithmProcess) -> None:
        self._processes[process.key] = process
        process.on_exit = self._heard_of_exit
        for observer in self._observers:
            observer.process_ready(process)

    def _heard_of_exit(self, process: AlgorithmProcess) -> None:
        if self._processes.get(process.key) is process and not process.draining:
            for observer in self._observers:
                observer.process_exited(process)

    async def observe(self) -> Mapping[ProcessKey, ObservedProcess]:
        """Return every process, as `look` does: the reconciler's port waits for it."""
        return self.look()

    def look(self) -> Mapping[ProcessKey, ObservedProcess]:
        """Return every process that was started or adopted and not stopped since, also those that have ended.

        What is still being adopted is among them.
        """
        adopting = {key: _observe_adoption(record) for key, record in self._adopting.items()}
        return adopting | {key: self._observe(process) for key, process in self._processes.items()}

    def _observe(self, process: AlgorithmProcess) -> ObservedProcess:
        usage = process.usage
        return ObservedProcess(
            key=process.key,
            digest=process.spec.digest,
            os_pid=None if process.state == "exited" else process.os_pid,
            state=process.state,
            sdk_version=process.ready.sdk_version if process.ready else "",
            started_at=process.record.started_at,
            restarts=self._restarts[process.key],
            rss_bytes=usage.rss_bytes if usage else None,
            cpu_percent=usage.cpu_percent if usage else None,
            detail=process.detail,
            doubt=process.ready.doubt if process.ready else "",
        )

    def processes(self) -> tuple[AlgorithmProcess, ...]:
        """Return the processes themselves, for who calls and watches them."""
        return tuple(self._processes.values())

    @property
    def images(self) -> Path:
        """The folder through which processes are given pictures."""
        return self._layout.images

    def configure(self, timeouts: Mapping[str, Timeouts], inputs: Mapping[str, PictureInput] | None = None) -> None:
        """Take the timeouts and pictures of the deployments from now on, by their names: they apply in place, and soon.

        Where `inputs` does not name a deployment, its processes go on with what they have.
        """
        self._timeouts = dict(timeouts)
        self._inputs = dict(inputs or {})
        for key, process in self._processes.items():
            if key not in self._marking and self._outdated(process) is not None:
                self._marking[key] = asyncio.get_running_loop().create_task(self._mark(process))

    def _outdated(self, process: AlgorithmProcess) -> ProcessSpec | None:
        """Return the spec that a process should have; None where it has it, or takes no calls any more."""
        timeouts, spec = self._timeouts.get(process.key.deployment), process.spec
        if timeouts is None or process.state not in {"ready", "busy"}:
            return None
        pictures = self._inputs.get(process.key.deployment, spec.input)
        wanted = replace(spec, call_timeout=timeouts.call, start_timeout=timeouts.start, input=pictures)
        return None if wanted == spec else wanted

    async def _mark(self, process: AlgorithmProcess) -> None:
        """Have a process's record, and with it its calls' deadline, say what holds now."""
        try:
            while (wanted := self._outdated(process)) is not None:
                await process.mark(wanted)
        except ShimGone:  # it is ending, and its successor is started with what holds by then
            pass
        finally:
            del self._marking[process.key]

    async def start(self, spec: ProcessSpec) -> ObservedProcess:
        """Start a process and prove it ready; only then whatever was there under its key is stopped.

        Raises:
            StartFailed: nothing of it is left, and what was there before goes on.
            StoreError: the same; also HostError, where the machine did not let it start.
        """
        async with self._changing[spec.key]:
            self.make_folder()
            process = await self._launcher.start(spec, self._now())
            former = self._processes.get(spec.key)
            self._take_in(process)
            if former is not None:
                self._restarts[spec.key] += former.state in {"exited", "broken"}
                await self._end(former, self._timeouts.get(spec.key.deployment, Timeouts()).drain)
            return self._observe(process)

    async def stop(self, key: ProcessKey, *, drain: float) -> None:
        """Take a process out of service, let it finish its call for up to `drain` seconds, and end it."""
        async with self._changing[key]:
            process = self._processes.get(key)
            if process is None:
                return
            try:
                until = time.monotonic() + drain
                for observer in self._observers:
                    await observer.process_stopping(process, max(0.0, until - time.monotonic()))
                await self._end(process, max(0.0, until - time.monotonic()))
            finally:
                if process.exited.done():
                    del self._processes[key]
                    self._restarts.pop(key, None)

    async def _end(self, process: AlgorithmProcess, drain: float) -> None:
        await process.stop(drain)
        process.detach()
        process.slots.remove()
        if process.record.exit is None:  # its shim did not end it in order, so others may be left of it
            await self._end_token(process.record.token, pictures=False)
        with suppress(OSError):  # the next sweep removes it; the process has ended, which is what was asked for
            records.remove(self._layout.run, process.record.token)

    async def close(self) -> None:
        """Give all pipes back. The processes go on, each with the call that it may be working on."""
        if self._marking:  # what was configured is to be on record for whoever comes next
            await asyncio.wait(list(self._marking.values()), timeout=_RECORDING)
        for task in self._marking.values():
            task.cancel()
        for task in (opening := tuple(self._opening)):
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for process in self._processes.values():
            process.detach()
        self._processes.clear()


def _tell_not_adopted(record: ProcessRecord, why: str) -> None:
    key = record.spec.key
    words = ("%s: process %s is not adopted, and ended: %s", key, record.adapter.os_pid, why)
    log.warning(*words, extra=_about(key))


def _about(key: ProcessKey) -> dict[str, str]:
    return {"package": str(key.ref)}


def _newest(found: Iterable[ProcessRecord]) -> list[ProcessRecord]:
    """Return the records worth adopting: alive, proven, and the newest of their key."""
    chosen: dict[ProcessKey, ProcessRecord] = {}
    for record in found:
        other = chosen.get(record.spec.key)
        newer = other is None or record.adapter.start_ticks > other.adapter.start_ticks
        if record.ready and newer and record.alive:
            chosen[record.spec.key] = record
    return list(chosen.values())


def _observe_adoption(record: ProcessRecord) -> ObservedProcess:
    return replace(census.observe_record(record), state="adopting", detail="it has not answered this controller yet")


def _unusable(run: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot use {run}: {error.strerror}", next_step="check --store and its permissions")
