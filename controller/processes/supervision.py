"""Watching one process: signs of life while it is idle, and what it uses. Ends what breaks a limit, starts nothing.

Everything runs on timers of the event loop; only a ping that is under way is a task.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from controller.errors import CallError, Code
from controller.model.units import format_size
from controller.processes.process import AlgorithmProcess
from controller.processes.service import Service
from controller.processes.usage import Consumption, consumption_of

SAMPLE_EVERY = 1.0
"""Seconds between two looks at memory and processor time."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What supervision knows of a process slot.

    `rss_bytes` and `cpu_percent` (of one core, averaged over the service's window) are of the present process with its
    descendants, None before the first sample. The counts are of all processes under the key since the plane's start:
    `crashes` all unexpected exits; of these supervision caused `heartbeat_losses` and `memory_excesses`.
    """

    rss_bytes: int | None = None
    cpu_percent: float | None = None
    crashes: int = 0
    heartbeat_losses: int = 0
    memory_excesses: int = 0


class Watch:
    """Supervises a process from `start` until `stop`, by the limits of `service`, which may be replaced any time."""

    def __init__(self, process: AlgorithmProcess, service: Service) -> None:
        self.process = process
        self.service = service
        self.rss_bytes: int | None = None
        self._samples: deque[tuple[float, float]] = deque()
        self._sampling: asyncio.TimerHandle | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Processes are looked at one by one, not all in one moment, which calls would feel."""
        self._loop = asyncio.get_running_loop()
        self._sampling = self._loop.call_later(random.uniform(0, SAMPLE_EVERY), self._sample)  # noqa: S311 - no secret
        self._beating = self._loop.call_later(self.service.heartbeat_interval, self._beat)

    def stop(self) -> None:
        """End; a ping under way is not waited for."""
        for timer in (self._sampling, self._beating):
            if timer is not None:
                timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    @property
    def cpu_percent(self) -> float | None:
        """Percent of one core since the oldest sample of the window; None before two samples."""
        if len(self._samples) < 2:
            return None
        (began, before), (now, used) = self._samples[0], self._samples[-1]
        return round(100 * max(0.0, used - before) / (now - began), 1)

    def _sample(self) -> None:
        if not self._lives:
            return
        self._note(consumption_of(self.process.record.shim.os_pid))
        self._sampling = self._loop.call_later(SAMPLE_EVERY, self._sample)

    @property
    def _lives(self) -> bool:
        return self.process.state in {"ready", "busy", "draining"}

    def _note(self, used: Consumption) -> None:
        now, limit = self._loop.time(), self.service.memory_max
        self.rss_bytes = used.rss_bytes
        self._samples.append((now, used.cpu_seconds))
        while now - self._samples[0][0] > self.service.cpu_window:
            self._samples.popleft()
        if limit is not None and used.rss_bytes > limit:
            self.process.condemn(
                CallError(
                    Code.heartbeat_lost,
                    f"{self.process.key} used {used.rss_bytes / 2**20:.0f}MiB of memory, more than the "
                    f"{format_size(limit)} that it may",
                    next_step="see spec.health.memory and `pvctl logs`",
                    details={"rss_bytes": used.rss_bytes},
                )
            )

    def _beat(self) -> None:
        """Ping where nothing was heard for an interval. While a call runs its deadline is what counts, not a pong."""
        if not self._lives:
            return
        rest = self.process.heard + self.service.heartbeat_interval - self._loop.time()
        if rest > 0:
            self._beating = self._loop.call_later(rest, self._beat)
        elif self.process.state == "ready":
            self.process.turns.try_take()
            self._ping = self._loop.create_task(self._ask())
        else:
            self._beating = self._loop.call_later(self.service.heartbeat_interval, self._beat)

    async def _ask(self) -> None:
        try:
            await self.process.ping(self.service.silence)
        except CallError:  # it is being ended, and its end is told to whoever restarts it
            return
        finally:
            self.process.give_turn()
        self._beating = self._loop.call_later(self.service.heartbeat_interval, self._beat)
