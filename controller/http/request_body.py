"""Reading request bodies: bounded one by one and all together, because images wait in record for their turn."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

from controller.errors import CallError, Code
from controller.http.failures import CLOSE, Refused
from controller.http.whole_body import LARGE, RECEIVE, Buffers

MIB = 1024 * 1024


class BodyLimits:
    """The bounds for bodies: `each` and `total` bytes, and `patience` seconds for one to arrive.

    `each` fits two pictures of the largest size that the runner takes.
    """

    def __init__(self, each: int = 640 * MIB, total: int = 1024 * MIB, patience: float = 60.0) -> None:
        self.each = each
        self.total = total
        self.patience = patience
        self.held = 0
        self.buffers = Buffers()

    def body(self, request: Request) -> HeldBody:
        """Return a context in which the request's body is held and counted."""
        return HeldBody(self, request)


class HeldBody:
    """`async with` reads the body; leaving gives its bytes back to the bounds.

    Entering raises Refused (413, 408), CallError (1011: too much waits already) or ClientDisconnect.
    """

    def __init__(self, limits: BodyLimits, request: Request) -> None:
        self._limits = limits
        self._request = request
        self._counted = 0
        self._buffer: bytearray | None = None

    async def __aenter__(self) -> bytes | bytearray:
        patience = self._limits.patience
        try:
            announced = self._request.headers.get("content-length", "")
            if announced.isdecimal():
                self._count(int(announced))
            async with asyncio.timeout(patience):
                return await self._read()
        except TimeoutError:
            self._release()
            raise Refused(408, f"the request did not arrive within {patience:g} s", headers=CLOSE) from None
        except BaseException:
            self._release()
            raise

    async def _read(self) -> bytes | bytearray:
        receive = self._request.scope.get(RECEIVE)
        if receive is not None and self._counted >= LARGE:  # counted so far is what was announced
            self._buffer = self._limits.buffers.take(self._counted)
            if await receive(self._buffer):
                return self._buffer
        chunks: list[bytes] = []
        arrived, more = 0, True
        while more:
            message = await self._request.receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            chunks.append(message["body"])
            arrived += len(message["body"])
            self._count(arrived)
            more = message["more_body"]
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _count(self, size: int) -> None:
        """Count the body as `size` bytes where it was counted as fewer."""
        limits, more = self._limits, size - self._counted
        if more <= 0:
            return
        if size > limits.each:
            raise Refused(
                413,
                f"the request has more than {limits.each / MIB:.3g} MiB",
                next_step="on this machine, pass large images by image_ref",
                headers=CLOSE,
            )
        if limits.held + more > limits.total:
            raise CallError(
                Code.busy,
                f"requests of {limits.held / MIB:.0f} MiB wait already",
                next_step="call again later, or pass images by image_ref",
            )
        limits.held += more
        self._counted = size

    def _release(self) -> None:
        self._limits.held -= self._counted
        self._counted = 0

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
        if self._buffer is not None and error is None:
            self._limits.buffers.give_soon(self._buffer)
            self._buffer = None
