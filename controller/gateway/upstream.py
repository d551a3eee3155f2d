"""Requests to the daemon's socket whose bodies and answers are streamed: HTTP/1.1 over kept connections.

Our own rather than httpcore's: that cannot reach a socket whose path is longer than 107 bytes, and parses in Python;
the parser here is httptools', which the daemon and the client use already.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import httptools

from controller.errors import RetryableError
from controller.host import sockets
from controller.store.layout import StoreLayout

_READ = 256 * 1024
_OLDEST = 30.0
"""Seconds after which a connection that nobody used is not used any more: the daemon closes it after 75."""
_MOST_IDLE = 16
Headers = list[tuple[bytes, bytes]]


class DaemonAway(RetryableError):
    """The daemon does not answer; whether it did what it was asked is unknown unless `begun` is false."""

    def __init__(self, why: str, *, begun: bool) -> None:
        super().__init__(f"the daemon does not answer: {why}", delay=1.0, next_step="ask again in a moment")
        self.begun = begun


class Upstream:
    """The connections to one daemon."""

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout
        self._idle: deque[Connection] = deque()

    async def open(self, method: str) -> Connection:
        """Return a connection, kept or new, for a request with a method. Raises DaemonAway."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                connection.method = method
                return connection
            connection.close()
        try:
            connected = sockets.connect(self._layout.run, self._layout.socket.name)
            connected.setblocking(False)
            return Connection(method, *await asyncio.open_unix_connection(sock=connected, limit=_READ))
        except OSError as error:
            raise DaemonAway(error.strerror or str(error), begun=False) from None

    def keep(self, connection: Connection) -> None:
        """Take a connection back whose answer was read, or close it."""
        if connection.reusable and len(self._idle) < _MOST_IDLE:
            connection.since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what nobody uses."""
        while self._idle:
            self._idle.pop().close()


class Connection:
    """One connection, and the one request that is under way on it."""

    def __init__(self, method: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.method = method
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._complete = True
        self._sent = True
        self.since = time.monotonic()
        self.status = 0
        self.headers: Headers = []

    @property
    def usable(self) -> bool:
        """Whether a request may be sent on it: its other end has not closed it, and will not soon."""
        return not self._reader.at_eof() and time.monotonic() - self.since < _OLDEST

    @property
    def reusable(self) -> bool:
        """Whether everything was sent and read, and the daemon keeps it open."""
        return self._complete and self._sent and self._parser.should_keep_alive() and not self._reader.at_eof()

    async def send(self, head: bytes, body: AsyncIterator[bytes] | None, *, chunked: bool) -> None:
        """Send a request. Where the daemon reads no more of it, the rest is not sent: its answer says why."""
        self._parser = httptools.HttpResponseParser(self)
        self._complete = self._sent = False
        self.headers = []
        self.status = 0
        with suppress(ConnectionError):
            self._writer.write(head)
            if body is not None:
                async for piece in body:
                    if piece:
                        self._writer.writelines((b"%x\r\n" % len(piece), piece, b"\r\n") if chunked else (piece,))
                        await self._writer.drain()
                if chunked:
                    self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
            self._sent = True

    async def answer(self) -> None:
        """Wait for the head of the answer: `status` and `headers`. Raises DaemonAway."""
        while not self.status:
            await self._feed()
        self._complete = self._complete or self.method == "HEAD"

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the answer's body as it comes. Raises DaemonAway."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._complete:
                return
            await self._feed()

    async def _feed(self) -> None:
        try:
            data = await self._reader.read(_READ)
            if not data:
                raise DaemonAway("it closed the connection", begun=True)
            self._parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as error:
            raise DaemonAway(str(error), begun=True) from None

    def close(self) -> None:
        """Close it, whatever is under way: the daemon notices, and gives up the request."""
        self._writer.transport.abort()

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:  # 100: of no interest here
            self.headers = []

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._complete = self.status >= 200


def head_of(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a request's head."""
    lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    return b"%s %s HTTP/1.1\r\nHost: station\r\n%s\r\n" % (method.encode("ascii"), target, lines)
