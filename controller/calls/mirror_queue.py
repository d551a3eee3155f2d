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
QUIET = 0.005
"""Seconds without a call of the line after which nobody is in the way of a picture that waits."""


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
    """The calls that wait for the shadow of one deployment, oldest first.

    None is taken right after its answer: then the line's next call is on its way. One is, each time, when the line's
    process works on a call (`give`), as the controller has nothing else to do then; or when the line is quiet.
    """

    def __init__(self, most_calls: int = MOST_CALLS, most_bytes: int = MOST_BYTES, quiet: float = QUIET) -> None:
        self._most = most_calls, most_bytes
        self._after = quiet
        self._waiting: deque[Shown] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._quiet: asyncio.TimerHandle | None = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, size: int) -> bool:
        """Whether a call with so many bytes of pictures may wait; one always may."""
        most_calls, most_bytes = self._most
        return not self._waiting or (len(self._waiting) < most_calls and self.bytes + size <= most_bytes)

    def put(self, shown: Shown) -> None:
        """Have a call wait until there is time for it."""
        self._waiting.append(shown)
        self.bytes += shown.size
        self._expect()

    def give(self) -> None:
        """Have whoever waits for a call take it now."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        while self._waiting and self._takers:
            if not (taker := self._takers.popleft()).done():
                taker.set_result(None)
                break
        self._expect()

    async def take(self) -> Shown:
        """Return the call that has waited longest, as soon as there is time for it. It is the taker's to release."""
        while True:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            self._expect()
            await taker
            if self._waiting:
                shown = self._waiting.popleft()
                self.bytes -= shown.size
                return shown

    def _expect(self) -> None:
        """Have a call that waits given soon, whatever the line does."""
        if self._waiting and self._takers and self._quiet is None:
            self._quiet = asyncio.get_running_loop().call_later(self._after, self.give)

    def clear(self) -> tuple[Shown, ...]:
        """Let everything go that waits; return what that was, released."""
        gone = tuple(self._waiting)
        for shown in gone:
            shown.release()
        self._waiting.clear()
        self.bytes = 0
        return gone
