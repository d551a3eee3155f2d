"""One HTTP/1.1 request and its answer as bytes, and what it means when the connection breaks in between. No I/O.

A daemon begins a call when it has read the request's last byte. So a call was **never accepted** where

* no connection came about, or
* the kernel refused to take the last byte of the request, or
* the connection was reset on a Unix socket: Linux resets it only where the daemon's end was closed with bytes of ours
  still unread (`unix_release_sock`, net/unix/af_unix.c), and then the last byte is one of them.

In every other case — the end of the stream, a reset of a TCP connection, part of an answer — the daemon may have read
the whole request, and the outcome is **unknown**. Whoever speaks HTTP through a library cannot tell the cases apart,
because it does not say how much it has written: hence this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import httptools

Buffer = bytes | memoryview


class NeverAccepted(Exception):
    """Certainly nothing was done. `stale`: an idle connection had been closed meanwhile, so a new one may do."""

    def __init__(self, why: str, *, stale: bool = False) -> None:
        super().__init__(why)
        self.stale = stale


class Broken(Exception):
    """The connection broke when the request may have been accepted."""


class Silent(Broken):
    """The station has the request, answers nothing, and gives no other sign of life: it is stopped, or hangs."""


class Answer(NamedTuple):
    """An HTTP answer as far as it matters; `reusable` says whether the connection may be used again."""

    status: int
    body: bytes
    reusable: bool


class Exchange:
    """A request on its way out (`pending`, `sent`) and its answer on its way in (`receive`).

    `heard` is given the pieces of the answer's body as they come; of one that went well, nothing is kept then.
    """

    def __init__(self, buffers: Sequence[Buffer], heard: Callable[[bytes], None] | None = None) -> None:
        self.pending = [memoryview(buffer) for buffer in buffers if len(buffer)]
        self.answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._heard = heard
        self._body: list[bytes] = []
        self._begun = False

    def sent(self, count: int) -> None:
        """Note that the kernel took `count` more bytes of `pending`."""
        while count:
            first = self.pending[0]
            if count < len(first):
                self.pending[0] = first[count:]
                return
            count -= len(first)
            del self.pending[0]

    def receive(self, data: bytes) -> None:
        """Take bytes of the answer; `answer` is set when it is complete. Raises Broken: this is no HTTP."""
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise Broken(f"the answer is not HTTP: {error}") from None

    def lost(self, error: OSError | None, *, local: bool, reused: bool) -> NeverAccepted | Broken:
        """Return what it means that the connection broke; None is the end of the stream. `local`: a Unix socket."""
        why = "the connection was closed" if error is None else reason(error)
        if self.pending:
            return NeverAccepted(why, stale=reused)
        if not self._begun and local and isinstance(error, ConnectionResetError):
            return NeverAccepted(f"{why} before the call was read", stale=reused)
        return Broken(f"{why} before the answer came")

    # Called by the parser.

    def on_body(self, body: bytes) -> None:
        if self._heard is None:
            self._body.append(body)
            return
        self._heard(body)
        if self._parser.get_status_code() != 200:  # a stream of events may go on for weeks
            self._body.append(body)

    def on_message_complete(self) -> None:
        reusable = bool(self._parser.should_keep_alive()) and not self.pending
        self.answer = Answer(self._parser.get_status_code(), b"".join(self._body), reusable)


def reason(error: OSError) -> str:
    """Return what an error of a connection says, as the end of a sentence."""
    return (error.strerror or str(error) or "timed out").lower()  # only a deadline's error says nothing


def request_head(method: str, target: str, host: str, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    """Return the head of a request. The values come from this package and need no quoting."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
