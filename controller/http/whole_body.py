"""A large request body of known length, received by the kernel into one buffer: nobody copies it on its way.

uvicorn hands a body on in pieces, each copied several times, and stops reading after each. Here the connection's
transport gets another protocol for as long as the body comes, which only says where the next bytes go.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from mmap import mmap
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from controller.http.connections import StationProtocol

RECEIVE = "controller.receive_whole"
"""In a request's scope, where its body may come so: `(Incoming) -> bool`, awaited: whether all of it came there."""
LARGE = 256 * 1024
"""A body of less comes in one piece anyway."""
_KEPT, _KEPT_BYTES, _KEPT_SECONDS = 2, 16 * 2**20, 10.0
_SCRAP = 64 * 1024
_FIRST, _MORE = 16 * 1024, 256 * 1024


class Incoming(ABC):
    """A body on its way in: pieces of memory that its bytes fill one after the other.

    `room` is where the next bytes go; it is never empty before the body is complete.
    """

    def __init__(self) -> None:
        self._rest: list[memoryview] = []
        self._abandoned = False
        self.room = memoryview(b"")

    @abstractmethod
    def begin(self, arrived: bytearray) -> None:
        """Take what came with the head of the request: less than all of it."""

    def open(self, *pieces: memoryview) -> None:
        """Let the next bytes go there; empty pieces are passed over."""
        self.room, *self._rest = [piece for piece in pieces if piece]

    def add(self, count: int) -> bool:
        """Note that so many bytes came; return whether the body is complete."""
        if self._abandoned:
            return False
        self.room = self.room[count:]  # the loop may still hold what it was before
        if self.room:
            return False
        self.room.release()
        if self._rest:
            self.room = self._rest.pop(0)
            return False
        return True

    def abandon(self) -> None:
        """Let go of the memory. What still comes, before the connection is closed, is of no use."""
        for each in (self.room, *self._rest):
            each.release()
        self._abandoned = True
        self._rest = []
        self.room = memoryview(bytearray(_SCRAP))


class BodyReceiver(asyncio.BufferedProtocol):
    """Receives a body; then `complete` is called. What else happens is the protocol's own to hear."""

    def __init__(self, protocol: StationProtocol, incoming: Incoming, complete: Callable[[], None]) -> None:
        self._protocol = protocol
        self._incoming = incoming
        self._complete = complete
        self.done: asyncio.Future[None] = protocol.loop.create_future()

    def get_buffer(self, _: int) -> memoryview:
        return self._incoming.room

    def buffer_updated(self, count: int) -> None:
        if self._incoming.add(count):
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
        if not self.done.done():
            self.done.set_exception(ClientDisconnect())
        self._protocol.connection_lost(error)


class Inbox:
    """Where bytes arrive that are no large form's; all connections of a server share it.

    `first` is small: what comes with the head of a form is copied several times, and the rest waits for its own place.
    """

    def __init__(self) -> None:
        self.first = memoryview(bytearray(_FIRST))
        self.more = memoryview(mmap(-1, _MORE))  # no memory before it is used


class Reader(asyncio.BufferedProtocol):
    """Reads for a connection's protocol, out of an inbox."""

    def __init__(self, protocol: StationProtocol, inbox: Inbox) -> None:
        self._protocol = protocol
        self._inbox = inbox
        self._here = inbox.first
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]

    def get_buffer(self, _: int) -> memoryview:
        cycle = self._protocol.cycle
        self._here = self._inbox.more if cycle is not None and cycle.more_body else self._inbox.first
        return self._here

    def buffer_updated(self, count: int) -> None:
        self._protocol.data_received(bytes(self._here[:count]))


class WholeBody(Incoming):
    """A body that comes into one buffer. `text`: that buffer."""

    def __init__(self, size: int, buffers: Buffers) -> None:
        super().__init__()
        self._buffers = buffers
        self.text = buffers.take(size)

    def begin(self, arrived: bytearray) -> None:
        self.text[: len(arrived)] = arrived
        self.open(memoryview(self.text)[len(arrived) :])

    def result(self) -> bytearray:
        """Return the body, when it is complete."""
        return self.text

    def end(self, *, answered: bool) -> None:
        """Give the memory back; `answered`: the request has its answer, and nobody still receives."""
        if answered:
            self._buffers.give_soon(self.text)
        else:
            self.abandon()


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
