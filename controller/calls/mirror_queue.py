"""Calls of the line that wait to be shown to a shadowed version: few, and bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import deque

from controller.calls.aftermath import Ended
from controller.images.slots import Lease
from controller.model.comparison import Answer

MOST_CALLS = 4
"""Calls of one deployment that wait. A shadow that is behind does not catch up by waiting; and with more, every slot of
a process or a client would be leased, and new files be made in the way of calls."""
MOST_BYTES = 256 * 2**20
"""Bytes of the pictures that wait, for one deployment; they are in memory."""


class Shown:
    """A call of the line with its pictures, which it holds until `release`; `before` is what the line said."""

    __slots__ = ("before", "call", "size")

    def __init__(self, call: Ended, before: Answer) -> None:
        self.call = call
        self.before = before
        self.size = size_of(call)
        for lease in _leases(call):
            lease.hold()

    def release(self) -> None:
        """Give the pictures back: exactly once."""
        for lease in _leases(self.call):
            lease.release()


def size_of(call: Ended) -> int:
    """Return how many bytes the files of a call's pictures have."""
    return sum(lease.image.look[2] for lease in _leases(call))


def _leases(call: Ended) -> tuple[Lease, ...]:
    return tuple(each for each in (call.image, call.guide) if each is not None)


class MirrorQueue:
    """The calls that wait for the shadow of one deployment, oldest first."""

    def __init__(self, most_calls: int = MOST_CALLS, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_calls, most_bytes
        self._waiting: deque[Shown] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, size: int) -> bool:
        """Whether a call with so many bytes of pictures may wait; one always may."""
        most_calls, most_bytes = self._most
        return not self._waiting or (len(self._waiting) < most_calls and self.bytes + size <= most_bytes)

    def put(self, shown: Shown) -> None:
        """Have a call wait, and whoever waits for one take it."""
        self._waiting.append(shown)
        self.bytes += shown.size
        while self._takers:
            if not (taker := self._takers.popleft()).done():
                taker.set_result(None)
                break

    async def take(self) -> Shown:
        """Return the call that has waited longest, as soon as there is one. It is the taker's to release."""
        while not self._waiting:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker
        shown = self._waiting.popleft()
        self.bytes -= shown.size
        return shown

    def clear(self) -> tuple[Shown, ...]:
        """Let everything go that waits; return what that was, released."""
        gone = tuple(self._waiting)
        for shown in gone:
            shown.release()
        self._waiting.clear()
        self.bytes = 0
        return gone
