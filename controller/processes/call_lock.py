"""The call lock of one process: who holds it may call, because the adapter is serial.

It is a lock and no queue. Callers wait in the queues of their dispatcher, which takes the lock where it is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class CallLock:
    """Held by one at a time. `on_free` is called whenever it has become free."""

    def __init__(self) -> None:
        self.held = False
        self.on_free: Callable[[], None] = lambda: None
        self._next: asyncio.Future[None] | None = None

    def try_acquire(self) -> bool:
        """Take the lock where it is free; return whether it was."""
        if self.held:
            return False
        self.held = True
        return True

    async def acquire(self, patience: float) -> bool:
        """Take the lock as the next, before anybody who is queued; return whether it came in `patience` seconds.

        For what concerns the process itself (its first call, its end). Only one can be the next: others do not wait.
        """
        if self.try_acquire():
            return True
        if patience <= 0 or self._next is not None:
            return False
        mine = self._next = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([mine], timeout=patience)
        except asyncio.CancelledError:
            if mine.done():  # it came at the moment of the cancellation
                self.release()
            raise
        finally:
            if self._next is mine:
                self._next = None
        return mine.done()

    def release(self) -> None:
        """Give the lock back."""
        following, self._next = self._next, None
        if following is not None:
            following.set_result(None)
        else:
            self.held = False
            self.on_free()
