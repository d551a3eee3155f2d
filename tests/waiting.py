"""Waiting for what another process, thread or task does: until it is so, or a deadline is over.

A deadline is there for what never happens, and must not come before what happens late. So it is a number of known
steps, not of seconds: on a busy machine, where a step takes longer, so does the deadline.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")
PATIENCE = 30.0
"""Seconds after which something that is waited for counts as never happening, on a machine that has time."""
HANGS = 300.0
"""Seconds after which one blocking call counts as hanging: more than any deadline that `eventually` may come to."""
_STEP = 0.05
"""Seconds that a step takes at most on a machine that has time."""
_MOST = HANGS / PATIENCE


def _step() -> float:
    """Return the seconds that a known step takes here and now: the start of a process, and a durable write."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    return time.monotonic() - started


class Deadline:
    """Over after `seconds` of a machine that has time; how busy this one is, is looked at when it comes to that."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started = time.monotonic()
        self._until = self._started + seconds

    def over(self) -> bool:
        """Return whether nothing is to be waited for any longer."""
        if time.monotonic() < self._until:
            return False
        slower = min(max(_step() / _STEP, 1.0), _MOST)
        self._until = max(self._until, self._started + self._seconds * slower)
        return time.monotonic() >= self._until

    def __str__(self) -> str:
        return f"{self._until - self._started:.0f} s"


def eventually(look: Callable[[], Seen], what: str = "it", seconds: float = PATIENCE) -> Seen:
    """Return the first true result of `look`; fail where there is none within `seconds` (see `Deadline`)."""
    deadline, began = Deadline(seconds), time.monotonic()
    while True:
        looked = time.monotonic()
        if seen := look():
            return seen
        assert not deadline.over(), f"{what} did not happen within {deadline}; last seen: {seen!r}"
        time.sleep(_rest(looked - began, time.monotonic() - looked))


def _rest(waited: float, look: float) -> float:
    """Return how long (s) to leave the machine to what is waited for: it looks as seldom as hardly delays its caller.

    A look costs a daemon a request, or is a process of its own.
    """
    return max(min(0.01 + waited / 20, 0.05), min(look, 0.5))


async def until(look: Callable[[], Seen], what: str = "it", seconds: float = PATIENCE) -> Seen:
    """Return the first true result of `look`, as `eventually` does; the event loop goes on meanwhile."""
    deadline = Deadline(seconds)
    while not (seen := look()):
        assert not deadline.over(), f"{what} did not happen within {deadline}; last seen: {seen!r}"
        await asyncio.sleep(0.005)
    return seen
