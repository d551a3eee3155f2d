"""The processes of one store, as a controller uses them. A pool starts and ends what it is told to.

Processes outlive it: `close` gives them back, and the next pool's `open` adopts them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from controller.errors import CallError, StoreError
from controller.images import slots
from controller.model.observed import ObservedProcess, ProcessKey
from controller.processes import census, records
from controller.processes.attach import ShimBusy, ShimGone
from controller.processes.launch import Launcher, Smoke, adopt
from controller.processes.process import AlgorithmProcess
from controller.processes.records import ProcessRecord
from controller.processes.spec import ProcessSpec
from controller.processes.usage import UsageMeter
from controller.store.layout import StoreLayout

_BUSY_RETRY = 0.05
_REPLACED_DRAIN = 30.0
"""Seconds that a process which is replaced under its own key may take to finish its call."""


class ProcessPool:
    """All processes of a store. One pool at a time: the controller's lock is the caller's matter.

    `python` is the interpreter for shims, `smoke` makes the call before traffic, `now` gives the time as RFC 3339 UTC.
    `on_exit`, where set, hears of every
    process that ends without having been told to, `on_ready` of every one that was started or adopted. `before_stop`
    may take a part of the drain time of a process to be stopped, which goes on answering so long.
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
        self._meter = UsageMeter()
        self.on_exit: Callable[[ProcessKey], None] = lambda _: None
        self.on_ready: Callable[[AlgorithmProcess], None] = lambda _: None
        self.before_stop: Callable[[AlgorithmProcess, float], Awaitable[None]] = _at_once

    async def open(self) -> None:
        """Adopt what runs and answers; end and sweep away the rest of what this store ever started.

        Raises:
            StoreError: the store's `run` folder cannot be used.
        """
        try:
            self._layout.run.mkdir(parents=True, exist_ok=True)
            slots.open_folder(self._layout.images)
            candidates = _newest(records.scan(self._layout.run))
            await asyncio.gather(*(self._adopt(record) for record in candidates))
            living = {process.record.token for process in self._processes.values()}
            await asyncio.get_running_loop().run_in_executor(None, census.sweep, self._layout, living)
        except OSError as error:
            raise StoreError(
                f"cannot use {self._layout.run}: {error.strerror}", next_step="check --store and its permissions"
            ) from error

    async def _adopt(self, record: ProcessRecord) -> None:
        """Take a process in as soon as it answers, where it does. A command that just calls it is waited for."""
        until = time.monotonic() + record.spec.call_timeout + record.spec.start_timeout
        while True:
            try:
                process = await adopt(self._layout, record)
            except ShimBusy:
                if time.monotonic() > until:
                    return
                await asyncio.sleep(_BUSY_RETRY)
            except (ShimGone, CallError):
                return
            else:
                self._take_in(process)
                return

    def _take_in(self, process: AlgorithmProcess) -> None:
        self._processes[process.key] = process
        process.on_exit = self._heard_of_exit
        self.on_ready(process)

    def _heard_of_exit(self, process: AlgorithmProcess) -> None:
        self._meter.forget(process.record.shim.os_pid)
        if self._processes.get(process.key) is process and not process.draining:
            self.on_exit(process.key)

    async def observe(self) -> Mapping[ProcessKey, ObservedProcess]:
        """Return every process that was started or adopted and not stopped since, also those that have ended."""
        return {key: self._observe(process) for key, process in self._processes.items()}

    def _observe(self, process: AlgorithmProcess) -> ObservedProcess:
        alive = process.state != "exited"
        usage = self._meter.sample(process.record.shim.os_pid, time.monotonic()) if alive else None
        return ObservedProcess(
            key=process.key,
            digest=process.spec.digest,
            os_pid=process.os_pid if alive else None,
            state=process.state,
            sdk_version=process.ready.sdk_version if process.ready else "",
            started_at=process.record.started_at,
            restarts=self._restarts[process.key],
            rss_bytes=usage.rss_bytes if usage else None,
            cpu_percent=usage.cpu_percent if usage else None,
            detail=process.detail,
        )

    def processes(self) -> tuple[AlgorithmProcess, ...]:
        """Return the processes themselves, for who calls and watches them."""
        return tuple(self._processes.values())

    def spec_of(self, key: ProcessKey) -> ProcessSpec | None:
        """Return the spec that a process runs with; None where there is none."""
        process = self._processes.get(key)
        return process.spec if process else None

    async def configure(self, spec: ProcessSpec) -> None:
        """Give a running process new timeouts; what it was started with stays. Raises ShimGone."""
        process = self._processes.get(spec.key)
        if process is not None and process.spec != spec:
            await process.mark(spec)

    async def start(self, spec: ProcessSpec) -> ObservedProcess:
        """Start a process and prove it ready; only then whatever was there under its key is stopped.

        Raises:
            StartFailed: nothing of it is left, and what was there before goes on.
        """
        async with self._changing[spec.key]:
            process = await self._launcher.start(spec, self._now())
            former = self._processes.get(spec.key)
            self._take_in(process)
            if former is not None:
                self._restarts[spec.key] += former.state in {"exited", "broken"}
                await self._end(former, _REPLACED_DRAIN)
            return self._observe(process)

    async def stop(self, key: ProcessKey, *, drain: float) -> None:
        """Take a process out of service, let it finish its call for up to `drain` seconds, and end it."""
        async with self._changing[key]:
            process = self._processes.get(key)
            if process is None:
                return
            try:
                until = time.monotonic() + drain
                await self.before_stop(process, drain)
                await self._end(process, max(0.0, until - time.monotonic()))
            finally:
                if process.exited.done():
                    del self._processes[key]
                    self._restarts.pop(key, None)

    async def _end(self, process: AlgorithmProcess, drain: float) -> None:
        await process.stop(drain)
        process.release()
        process.slots.remove()
        with suppress(OSError):  # the next sweep removes it; the process has ended, which is what was asked for
            records.remove(self._layout.run, process.record.token)

    async def close(self) -> None:
        """Give all pipes back. The processes go on, each with the call that it may be working on."""
        for process in self._processes.values():
            process.release()
        self._processes.clear()


async def _at_once(_process: AlgorithmProcess, _drain: float) -> None:
    """Let a process be stopped without waiting for anything."""


def _newest(found: Iterable[ProcessRecord]) -> list[ProcessRecord]:
    """Return the records worth adopting: alive, proven, and the newest of their key."""
    chosen: dict[ProcessKey, ProcessRecord] = {}
    for record in found:
        other = chosen.get(record.spec.key)
        newer = other is None or record.adapter.start_ticks > other.adapter.start_ticks
        if record.ready and newer and record.alive:
            chosen[record.spec.key] = record
    return list(chosen.values())
