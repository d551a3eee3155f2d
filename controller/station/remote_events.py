"""Events of a daemon as they come over its socket: server-sent events made into batches again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeVar

from controller.client.answers import NotReached, UnknownOutcome, content_of
from controller.client.exchange import Answer, Broken, NeverAccepted
from controller.station.remote_feeds import Block, Blocks

_MOST = 1000
"""Batches that wait for a reader at most; one that is slower is cut off, and comes again with the last one's name."""
_Item = TypeVar("_Item")
Listen = Callable[[Callable[[bytes], None]], Awaitable[Answer]]


class RemoteFeed(Generic[_Item]):
    """`commands.events.Feed`. `listen` makes the request and gives the pieces of its answer's body to what it is told;
    `read` makes an item of an event, or of a sign of life.

    Reading raises what the station answers instead of events, and NotReached or UnknownOutcome where it goes away.
    """

    def __init__(self, listen: Listen, read: Callable[[Block], _Item]) -> None:
        self._blocks = Blocks()
        self._read = read
        self._batches: asyncio.Queue[_Item | None] = asyncio.Queue(_MOST)
        self._answer = asyncio.ensure_future(listen(self._hear))
        self._answer.add_done_callback(lambda _: self._put(None))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Item:
        batch = await self._batches.get()
        if batch is not None:
            return batch
        self._put(None)  # whoever asks again is told the same
        try:
            answer = await self._answer
        except NeverAccepted as failure:
            raise NotReached("the station's socket", str(failure)) from None
        except Broken as failure:
            raise UnknownOutcome(str(failure)) from None
        except asyncio.CancelledError:
            if not self._answer.cancelled():
                raise
            raise StopAsyncIteration from None
        if answer.status != 200:
            content_of(answer)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the request."""
        self._answer.cancel()
        await asyncio.gather(self._answer, return_exceptions=True)

    def _hear(self, piece: bytes) -> None:
        for block in self._blocks.hear(piece):
            self._put(self._read(block))

    def _put(self, batch: _Item | None) -> None:
        if self._batches.full():
            if batch is None:
                self._batches.get_nowait()
            else:
                self._answer.cancel()
                return
        self._batches.put_nowait(batch)
