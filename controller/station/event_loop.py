"""An event loop for one piece of work, for who has none."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import uvloop

_Result = TypeVar("_Result")


def run(work: Coroutine[object, object, _Result]) -> _Result:
    """Run a coroutine to its end on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
