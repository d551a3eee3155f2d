"""Memory and processor time of what a shim holds: the adapter, its descendants, and those that left it.

Who belongs to it is read from the kernel's own lists, because psutil finds children by a scan of all processes, and
every shim is sampled every second for as long as the station runs; what each uses is psutil's to say.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import psutil

MOST = 1000
"""Members of one family that are counted: what multiplies without end must not cost its neighbours their time."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident memory now; `cpu_percent` is of one core, since the oldest sample of a window, None for the first."""

    rss_bytes: int
    cpu_percent: float | None


@dataclass(frozen=True, slots=True)
class Consumption:
    """Resident memory now, and processor time so far: that of children that were waited for is in it."""

    rss_bytes: int
    cpu_seconds: float


def descendants(os_pid: int) -> Iterator[int]:
    """Yield what is below a process, from the kernel's own lists: cheap, where a scan of /proc costs milliseconds."""
    waiting = [os_pid]
    while waiting:
        for child in _children(waiting.pop()):
            waiting.append(child)
            yield child


def _children(os_pid: int) -> Iterator[int]:
    try:
        threads = os.listdir(f"/proc/{os_pid}/task")  # noqa: PTH208 - once a second for every process, for ever
    except OSError:  # it ended
        return
    for thread in threads:
        yield from map(int, _children_of_thread(os_pid, thread).split())


def _children_of_thread(os_pid: int, thread: str) -> bytes:
    """Return the kernel's list; nothing where its process ended meanwhile."""
    try:
        with open(f"/proc/{os_pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123 - the same, and cheaper
            return file.read()
    except OSError:
        return b""


def consumption_of(shim: int) -> Consumption:
    """Return what everything below a shim uses; nothing where it has ended."""
    rss_bytes, cpu_seconds = 0, 0.0
    for os_pid in islice(descendants(shim), MOST):
        with suppress(psutil.Error):  # it ended meanwhile
            process = psutil.Process(os_pid)
            times = process.cpu_times()
            rss_bytes += process.memory_info().rss
            cpu_seconds += times.user + times.system + times.children_user + times.children_system
    return Consumption(rss_bytes, cpu_seconds)


class UsageWindow:
    """The samples of one process over a window of time."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, used: Consumption, now: float, seconds: float) -> Usage:
        """Take a sample of a monotonic moment; return what the process uses, over the last `seconds`."""
        self._samples.append((now, used.cpu_seconds))
        while now - self._samples[0][0] > seconds:
            self._samples.popleft()
        return Usage(used.rss_bytes, self._cpu_percent())

    def _cpu_percent(self) -> float | None:
        (began, before), (now, spent) = self._samples[0], self._samples[-1]
        return round(100 * max(0.0, spent - before) / (now - began), 1) if now > began else None
