"""The body of a request on its way in: within its bound, and not too slowly. Small ones are taken in whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from starlette.types import Message, Receive, Scope

from controller.gateway.limits import MIB, Limits
from controller.http.failures import CLOSE, Refused

_UPLOADS = ("/algorithms/install", "/algorithms/validate", "/v1/recordings/import")
_WITH_PICTURES = "/execute"
_PAGES = ("/page/", "/static/")
CHUNKED = [(b"transfer-encoding", b"chunked")]


class Gone(Exception):
    """Whoever asked has left."""


class Body:
    """The body of one request. Making one raises Refused 413: what it announces is too much."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        path = scope["path"]
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        self._receive = receive
        self._limits = limits
        self._began = time.monotonic()
        self._taken: bytes | None = None
        self._given = False
        self._announced = int(lengths[0]) if lengths else None
        self._chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self._upload = path in _UPLOADS
        self._most = _most(path, limits)
        self._require(self._announced or 0)
        self.large = self._most > limits.small and (self._chunked or (self._announced or 0) > limits.small)
        """Whether it is passed on as it comes."""
        self._counted = 0
        self._count: Callable[[int], None] = lambda _: None

    @property
    def framing(self) -> list[tuple[bytes, bytes]]:
        """The header that says where it ends, when it is passed on."""
        if self._taken is not None:
            there = bool(self._taken) or self._announced is not None or self._chunked
            return [(b"content-length", str(len(self._taken)).encode())] if there else []
        if self._announced is not None:
            return [(b"content-length", str(self._announced).encode())]
        return CHUNKED

    async def take(self) -> None:
        """Take it in whole. Raises Refused, Gone."""
        self._taken = b"".join([piece async for piece in self._pieces()])

    def count_by(self, count: Callable[[int], None]) -> None:
        """Have the bytes counted that the daemon will hold: of an upload none, which goes to its disk."""
        if not self._upload:
            self._count = count

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what is to be passed on. Raises Refused, Gone, and what counts raises."""
        if self._taken is not None:
            yield self._taken
            return
        async for piece in self._pieces():
            yield piece

    async def receive(self) -> Message:
        """Receive for an ASGI application: what was taken in, then the end of whoever asked."""
        if self._taken is None or self._given:
            return await self._receive()
        self._given = True
        return {"type": "http.request", "body": self._taken, "more_body": False}

    async def left(self) -> None:
        """Wait until whoever asked has left, once all of the body has come. Raises Gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise Gone

    async def _pieces(self) -> AsyncIterator[bytes]:
        arrived, more = 0, self._chunked or bool(self._announced)
        self._note(self._announced or 0)
        while more:
            message = await self._next(arrived)
            piece: bytes = message.get("body", b"")
            arrived += len(piece)
            self._require(arrived)
            self._note(arrived)
            yield piece
            more = message.get("more_body", False)

    def _note(self, size: int) -> None:
        if size > self._counted:
            self._count(size - self._counted)
            self._counted = size

    async def _next(self, arrived: int) -> Message:
        """Return the next piece. Raises Refused 408: it, or all before it, was too slow; Gone."""
        limits = self._limits
        until = self._began + limits.patience + arrived / limits.slowest
        try:
            async with asyncio.timeout(min(limits.silent, until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408, f"the request came too slowly: {arrived} bytes in {time.monotonic() - self._began:.0f} s",
                headers=CLOSE,
            ) from None  # fmt: skip
        if message["type"] != "http.request":
            raise Gone
        return message

    def _require(self, size: int) -> None:
        if size > self._most:
            shown = f"{self._most // MIB} MiB" if self._most >= MIB else f"{self._most // 1024} KiB"
            raise Refused(413, f"the request has more than {shown}", headers=CLOSE)


def _most(path: str, limits: Limits) -> int:
    if path in _UPLOADS:
        return limits.upload
    if path == "/" or path.startswith(_PAGES):
        return limits.form
    return limits.body if path.endswith(_WITH_PICTURES) else limits.json
