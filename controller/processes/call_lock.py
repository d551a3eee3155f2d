"""The call lock of one process: who holds it may call, because the adapter is serial.

It is a lock and no queue. Callers wait in the queues of their dispatcher, which takes the lock where it is free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class CallLock:
    """Held by one at a time. `on_free` is called whenever it has become free."""

    def __init__(self) -> None:
        self.held = False
        self.on_free: Callable[[], None] = lambda: None
        self._next: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take the lock where it is free; return whether it was."""
        if self.held:
            return False
        self.held = True
        return True

    async def acquire(self, patience: float) -> bool:
        """Take the lock as the next, before anybody who is queued; return whether it came in `patience` seconds.

        For what concerns the process itself (its first call, a trial, its end), in the order in which it came: an end
        that did not wait for its turn would cut off the call that is under way.
        """
        if self.try_acquire():
            return True
        if patience <= 0:
            return False
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append(mine)
        try:
            await asyncio.wait([mine], timeout=patience)
        except asyncio.CancelledError:
            if mine.done():  # it came at the moment of the cancellation
                self.release()
            raise
        finally:
            with suppress(ValueError):
                self._next.remove(mine)
        return mine.done()

    def release(self) -> None:
        """Give the lock back."""
        if self._next:
            self._next.popleft().set_result(None)
        else:
            self.held = False
            self.on_free()
