"""A large request body of known length, received by the kernel into one buffer: nobody copies it on its way.

uvicorn hands a body on in pieces, each copied several times, and stops reading after each. Here the connection's
transport gets another protocol for as long as the body comes, which only says where the next bytes go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from controller.http.connections import StationProtocol

RECEIVE = "controller.receive_whole"
"""In a request's scope, where its body may come so: `(buffer) -> bool`, awaited: whether the buffer was filled."""
LARGE = 256 * 1024
"""A body of less comes in one piece anyway."""
_KEPT, _KEPT_BYTES, _KEPT_SECONDS = 2, 16 * 2**20, 10.0


class BodyReceiver(asyncio.BufferedProtocol):
    """Fills `buffer` from `position`; then `complete` is called. What else happens is the protocol's own to hear."""

    def __init__(
        self, protocol: StationProtocol, buffer: bytearray, position: int, complete: Callable[[], None]
    ) -> None:
        self._protocol = protocol
        self._rest = memoryview(buffer)[position:]
        self._complete = complete
        self.done: asyncio.Future[None] = protocol.loop.create_future()

    def get_buffer(self, _: int) -> memoryview:
        return self._rest

    def buffer_updated(self, count: int) -> None:
        self._rest = self._rest[count:]
        if not self._rest:
            self._rest.release()
            self._complete()
            if not self.done.done():
                self.done.set_result(None)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._rest.release()
        if not self.done.done():
            self.done.set_exception(ClientDisconnect())
        self._protocol.connection_lost(error)


class Buffers:
    """Buffers for bodies: the last few are used again, because new memory costs as much as the copy."""

    def __init__(self) -> None:
        self._kept: list[bytearray] = []
        self._timer: asyncio.TimerHandle | None = None

    def take(self, size: int) -> bytearray:
        """Return a buffer of that size; what is in it is to be written over."""
        for index, buffer in enumerate(self._kept):
            if size <= len(buffer) <= 2 * size or len(buffer) <= size <= len(buffer) + 4096:
                del self._kept[index]
                if len(buffer) > size:
                    del buffer[size:]
                else:
                    buffer.extend(bytes(size - len(buffer)))
                return buffer
        return bytearray(size)

    def give_soon(self, buffer: bytearray) -> None:
        """Take a buffer back, when whoever is about to answer has let go of it; not where somebody still looks."""
        asyncio.get_running_loop().call_soon(self._give, buffer)

    def _give(self, buffer: bytearray) -> None:
        try:
            buffer.append(buffer.pop())  # raises where there is a view of it: a picture that is copied for the page
        except BufferError:
            return
        if len(self._kept) < _KEPT and len(buffer) <= _KEPT_BYTES:
            self._kept.append(buffer)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._kept.clear)
