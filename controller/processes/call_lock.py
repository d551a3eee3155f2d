"""Whose turn it is at a process: one caller at a time, in the order they came, each waiting within its own bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from controller.errors import CallError

Overdue = Callable[[], CallError]
"""Makes the error for a wait that took too long; most waits do not."""


class CallLock:
    """A lock whose shim may leave before the work is over, and which fails everybody when the process breaks.

    `on_free` is called whenever the turn is over and nobody here waits for the next.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken = False
        self.on_free: Callable[[], None] = lambda: None

    @property
    def load(self) -> int:
        """Callers that have or await the turn."""
        return self.taken + len(self._waiting)

    def try_take(self) -> bool:
        """Take the turn where it is free; return whether it was."""
        if self.taken:
            return False
        self.taken = True
        return True

    async def take(self, patience: float, overdue: Overdue) -> None:
        """Wait for the turn; raise what `overdue` makes after `patience` seconds, or what `fail` is called with."""
        if not self.taken:
            self.taken = True
            return
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self._waiting.append(place)
        timer = loop.call_later(patience, self._give_up, place, overdue)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # the turn came at the moment of the cancellation
                self.give()
            raise
        finally:
            timer.cancel()
            if place in self._waiting:
                self._waiting.remove(place)

    def _give_up(self, place: asyncio.Future[None], overdue: Overdue) -> None:
        if not place.done():
            self._waiting.remove(place)
            place.set_exception(overdue())

    def give(self) -> None:
        """Hand the turn to whoever waits longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.taken = False
        self.on_free()

    def fail(self, error: CallError) -> None:
        """Send everybody away who waits."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)
