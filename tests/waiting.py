"""Waiting for what another process, thread or task does: until it is so, or a deadline is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")
PATIENCE = 30.0
"""Seconds after which something that is waited for counts as never happening."""


def eventually(look: Callable[[], Seen], what: str = "it", seconds: float = PATIENCE) -> Seen:
    """Return the first true result of `look`; fail where there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s; last seen: {seen!r}"
        time.sleep(0.01)
    return seen


async def until(look: Callable[[], Seen], what: str = "it", seconds: float = PATIENCE) -> Seen:
    """Return the first true result of `look`, as `eventually` does; the event loop goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s; last seen: {seen!r}"
        await asyncio.sleep(0.005)
    return seen
