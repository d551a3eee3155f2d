"""Answers that go on: a feed of items written as they come, as server-sent events or as text.

Of our own rather than sse-starlette's: that keeps a task group, a queue and a ping task for each reader; here a reader
is one place in a log, and its pace is the connection's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.station.commands.events import Feed

RETRY = 2000
"""Milliseconds after which a reader that was cut off is to come again."""
ALIVE = b": alive\n\n"
"""A sign of life: no event, so its reader sees nothing of it."""
_Item = TypeVar("_Item")


def event_block(data: bytes, event: str = "", name: str = "") -> bytes:
    """Return one server-sent event. `data` is one line."""
    head = (f"id: {name}\n" if name else "") + (f"event: {event}\n" if event else "")
    return b"%sdata: %s\n\n" % (head.encode(), data)


class FeedResponse(Response):
    """An answer that ends with its feed, or when its reader leaves. `write` makes bytes of an item; none: nothing new.

    A slow reader holds up its feed, which waits: nothing is kept for it here.
    """

    def __init__(self, feed: Feed[_Item], write: Callable[[_Item], bytes], media_type: str) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed: Feed[Any] = feed
        self._write: Callable[[Any], bytes] = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the feed; close it in every case."""
        try:
            if scope["method"] == "HEAD":
                await super().__call__(scope, receive, send)
                return
            tasks = {asyncio.create_task(self._send(send)), asyncio.create_task(_gone(receive))}
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._feed.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for item in self._feed:
            if piece := self._write(item):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
