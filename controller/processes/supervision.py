"""Watching the processes of a pool: signs of life while they are idle, and what they use.

Ends what breaks a limit, starts nothing, and tells of every process that exited unexpectedly. Everything runs on
timers of the event loop; only a ping that is under way is a task.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.errors import CallError, Code
from controller.model.desired import Deployment
from controller.model.observed import ObservedProcess, ProcessKey
from controller.model.units import format_size
from controller.processes.launch import last_lines
from controller.processes.pool import PoolObserver, ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.processes.spec import ProcessSpec
from controller.processes.usage import UsageWindow, consumption_of

SAMPLE_EVERY = 1.0
"""Seconds between two looks at memory and processor time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionLimits:
    """What a deployment's processes must keep to. Times in seconds, sizes in bytes.

    `memory_max` holds for a process with all its descendants. `cpu_window` is what processor time is averaged over.
    """

    heartbeat_interval: float = 5.0
    heartbeat_grace: float = 2.0
    heartbeat_max_missed: int = 2
    memory_max: int | None = None
    cpu_window: float = 60.0

    @property
    def silence(self) -> float:
        """Seconds without a pong, from a ping on, that make a lost heartbeat.

        The adapter reads one message after the other, so that further pings would only queue up behind the first.
        """
        return (self.heartbeat_max_missed - 1) * self.heartbeat_interval + self.heartbeat_grace

    @classmethod
    def of_deployment(cls, deployment: Deployment) -> SupervisionLimits:
        """Return what a deployment's document says."""
        health, usual = deployment.spec.health, cls()
        return cls(
            heartbeat_interval=health.heartbeat.interval,
            heartbeat_grace=health.heartbeat.grace,
            heartbeat_max_missed=health.heartbeat.max_missed,
            memory_max=health.memory.max if health.memory else None,
            cpu_window=health.cpu.window if health.cpu else usual.cpu_window,
        )

    @classmethod
    def of_process(cls, spec: ProcessSpec) -> SupervisionLimits:
        """Return what an adopted process's own record says, for the time before the first pass."""
        return cls(heartbeat_interval=spec.heartbeat_interval_ms / 1000, heartbeat_grace=spec.grace_ms / 1000)


class Supervisor(PoolObserver):
    """Watches all processes of a pool, each by the limits of its deployment.

    `on_exited` is called once for every process that exited unexpectedly, with the reason in its own words where it
    had any: what to start instead is decided there.
    """

    def __init__(self, pool: ProcessPool, *, on_exited: Callable[[ProcessKey, str], None]) -> None:
        self._pool = pool
        self._on_exited = on_exited
        self._limits: Mapping[str, SupervisionLimits] = {}
        self._watches: dict[AlgorithmProcess, Watch] = {}
        self._watching = False
        pool.subscribe(self)

    def start(self) -> None:
        """Begin to ping and to measure."""
        self._watching = True
        for watch in self._watches.values():
            watch.start()

    def stop(self) -> None:
        """Supervise no more, and tell of no more exits. The processes go on."""
        self._pool.unsubscribe(self)
        self._watching = False
        for watch in self._watches.values():
            watch.stop()

    def configure(self, limits: Mapping[str, SupervisionLimits]) -> None:
        """Take what holds for the deployments from now on, by their names. Nothing is restarted for it."""
        self._limits = dict(limits)
        for process, watch in self._watches.items():
            watch.adjust(self._limits.get(process.key.deployment, watch.limits))

    def process_ready(self, process: AlgorithmProcess) -> None:
        limits = self._limits.get(process.key.deployment) or SupervisionLimits.of_process(process.spec)
        watch = self._watches[process] = Watch(process, limits)
        process.exited.add_done_callback(lambda _: self._forget(process))
        if self._watching:
            watch.start()

    def _forget(self, process: AlgorithmProcess) -> None:
        self._watches.pop(process).stop()

    def process_exited(self, process: AlgorithmProcess) -> None:
        lost = "heartbeat lost: " if process.cause == "heartbeat" else ""
        self._on_exited(process.key, f"{lost}{process.detail}{last_lines(Path(process.spec.log_path))}")

    async def process_stopping(self, process: AlgorithmProcess, patience: float) -> None:
        """What finishes its last calls is watched on until it has ended."""


class Watch:
    """Supervises one process from `start` until `stop`, by its limits."""

    def __init__(self, process: AlgorithmProcess, limits: SupervisionLimits) -> None:
        self.limits = limits
        self._process = process
        self._used = UsageWindow()
        self._sampling: asyncio.TimerHandle | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Processes are looked at one by one, not all in one moment, which calls would feel."""
        self._loop = asyncio.get_running_loop()
        self._sampling = self._loop.call_later(random.uniform(0, SAMPLE_EVERY), self._sample)  # noqa: S311 - no secret
        self._beating = self._loop.call_later(self.limits.heartbeat_interval, self._beat)

    def adjust(self, limits: SupervisionLimits) -> None:
        """Go by other limits from now on; a shorter interval does not wait for the end of a longer one."""
        sooner = limits.heartbeat_interval < self.limits.heartbeat_interval
        self.limits = limits
        pinging = self._ping is not None and not self._ping.done()  # its end sets the timer for the next
        if sooner and self._beating is not None and not pinging:
            self._beating.cancel()
            self._beat()

    def stop(self) -> None:
        """End; a ping under way is not waited for."""
        for timer in (self._sampling, self._beating):
            if timer is not None:
                timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    @property
    def _lives(self) -> bool:
        return self._process.state in {"ready", "busy", "draining"}

    def _sample(self) -> None:
        """Measure the process: here, and nowhere else while a supervisor runs."""
        if not self._lives:
            return
        consumption = consumption_of(self._process.record.shim.os_pid)
        self._process.usage = self._used.add(consumption, self._loop.time(), self.limits.cpu_window)
        self._sampling = self._loop.call_later(SAMPLE_EVERY, self._sample)
        if self.limits.memory_max is not None and consumption.rss_bytes > self.limits.memory_max:
            self._process.condemn(too_much_memory(self._process.key, consumption.rss_bytes, self.limits.memory_max))

    def _beat(self) -> None:
        """Ping where nothing was heard for an interval. While a call runs its deadline is what counts, not a pong."""
        if not self._lives:
            return
        rest = self._process.heard + self.limits.heartbeat_interval - self._loop.time()
        if rest > 0:
            self._beating = self._loop.call_later(rest, self._beat)
        elif self._process.state == "ready":
            self._ping = self._loop.create_task(self._ask())
        else:
            self._beating = self._loop.call_later(self.limits.heartbeat_interval, self._beat)

    async def _ask(self) -> None:
        with suppress(CallError):  # a call was quicker; or it is being ended, which is told to whoever restarts it
            await self._process.ping(self.limits.silence)
        self._beating = self._loop.call_later(self.limits.heartbeat_interval, self._beat)


def too_much_memory(key: ProcessKey, rss_bytes: int, limit: int) -> CallError:
    """Return why a process is ended that uses more memory (bytes) than it may."""
    return CallError(
        Code.heartbeat_lost,
        f"{key} used {rss_bytes / 2**20:.0f}MiB of memory, more than the {format_size(limit)} that it may",
        next_step="see spec.health.memory and `pvctl logs`",
        details={"rss_bytes": rss_bytes},
    )


class UsageMeter:
    """Measures the processes of a pool whenever they are observed: for a pool that nobody supervises."""

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool
        self._used: dict[AlgorithmProcess, UsageWindow] = {}

    async def observe(self) -> Mapping[ProcessKey, ObservedProcess]:
        """Measure, and return what the pool then says."""
        now, window = asyncio.get_running_loop().time(), SupervisionLimits().cpu_window
        for process in self._pool.processes():
            if process.state != "exited":
                used = self._used.setdefault(process, UsageWindow())
                process.usage = used.add(consumption_of(process.record.shim.os_pid), now, window)
        return await self._pool.observe()
