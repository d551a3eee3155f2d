"""An adapter's two pipe ends on the running event loop: bytes out without ever blocking, bytes in as they come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_CHUNK = 65536
"""What a pipe holds by default: one read empties it."""


class Pipes:
    """Owns both descriptors. `receive` gets the bytes that arrive.

    The end of the stream means nothing here: a grandchild may keep the adapter's stdout open after its death, and a
    living adapter may close it. The process itself is what is watched.
    """

    def __init__(self, stdin: int, stdout: int, receive: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stdin, self._stdout = stdin, stdout
        self._receive = receive
        self._unsent = bytearray()
        self._open = True
        os.set_blocking(stdin, False)
        os.set_blocking(stdout, False)
        self._loop.add_reader(stdout, self._readable)

    def write(self, frame: bytes) -> None:
        """Send a frame; what the pipe does not take now follows when it has room."""
        if self._unsent:
            self._unsent += frame
            return
        sent = self._try_write(frame)
        if sent < len(frame):
            self._unsent += memoryview(frame)[sent:]
            self._loop.add_writer(self._stdin, self._writable)

    def _try_write(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._stdin, data)
        except BlockingIOError:
            return 0
        except OSError:  # nobody reads any more: the process's end, seen elsewhere, is what counts
            return len(data)

    def _writable(self) -> None:
        del self._unsent[: self._try_write(self._unsent)]
        if not self._unsent:
            self._loop.remove_writer(self._stdin)

    def _readable(self) -> None:
        try:
            data = os.read(self._stdout, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._receive(data)
        else:
            self._loop.remove_reader(self._stdout)

    def drain(self) -> None:
        """Receive everything that has arrived by now."""
        while self._open:
            try:
                data = os.read(self._stdout, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                return
            self._receive(data)

    def close(self) -> None:
        """Let go of the descriptors; the shim keeps its own."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._stdout)
            self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
            os.close(self._stdout)
