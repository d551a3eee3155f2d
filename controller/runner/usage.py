"""Memory and processor time of what a holder holds: the adapter, its descendants, and those that left it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_percent` is of one core, since the sample before; None for the first."""

    rss_bytes: int
    cpu_percent: float | None


def descendants(os_pid: int) -> Iterator[int]:
    """Yield what is below a process, from the kernel's own lists: cheap, where a scan of /proc costs milliseconds."""
    for path in Path(f"/proc/{os_pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:  # it ended meanwhile
            continue
        for child in map(int, children):
            yield child
            yield from descendants(child)


@dataclass
class UsageMeter:
    """Samples by holder, and remembers the last sample of each. `now` comes from a monotonic clock."""

    _last: dict[int, tuple[float, float]] = field(default_factory=dict)

    def sample(self, holder: int, now: float) -> Usage:
        """Return the usage of everything below a holder; nothing where it has ended."""
        rss, seconds = 0, 0.0
        for os_pid in descendants(holder):
            try:
                member = psutil.Process(os_pid)
                with member.oneshot():
                    rss += member.memory_info().rss
                    times = member.cpu_times()
                    seconds += times.user + times.system
            except psutil.Error:
                continue  # it ended between being listed and being looked at
        before = self._last.get(holder)
        self._last[holder] = (now, seconds)
        if before is None or now <= before[0]:
            return Usage(rss, None)
        return Usage(rss, round(100 * max(0.0, seconds - before[1]) / (now - before[0]), 1))

    def forget(self, holder: int) -> None:
        """Drop what is remembered of a holder that has ended."""
        self._last.pop(holder, None)
