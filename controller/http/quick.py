"""The shortest way of a detection whose picture is in `run/images` already: still HTTP, but no ASGI.

A request is quick where all of it came at once: `POST /v1/pids/PID/execute` with a small JSON body of known length, as
the client sends it. What uvicorn, the router and response objects are for (bodies that come in pieces, forms, streams)
is passed over then; every other request, and one whose rest is still to come, goes their way. The answer, also that to
a mistake, is the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from controller.http.resource import answered

if TYPE_CHECKING:
    from controller.http.connections import StationProtocol

QuickHandler = Callable[[Request, bytes], Awaitable[Response | None]]
"""Answers a detection for the PID among a request's `path_params`; its body is there."""

MOST_BODY = 64 * 1024
_path = re.compile(rb"/v1/pids/([A-Za-z0-9._-]+)/execute").fullmatch


def pid_asked(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the PID of a request that may be quick; None where it is another one."""
    found = _path(url) if method == b"POST" else None
    if found is None:
        return None
    length = kind = b""
    for name, value in headers:
        if name == b"content-length":
            length = value
        elif name == b"content-type":
            kind = value
        elif name in (b"expect", b"transfer-encoding", b"upgrade"):
            return None
    small = length.isdigit() and len(length) < 6 and int(length) <= MOST_BODY
    return found[1].decode("ascii") if small and kind == b"application/json" else None


class QuickCycle:
    """A quick request and its answer; as far as uvicorn's protocol asks, one of its own cycles."""

    def __init__(self, protocol: StationProtocol, scope: dict[str, Any], pid: str, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.scope = scope
        self._pid = pid
        self._task: asyncio.Task[None] | None = None
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = self
        """Set where the connection is lost."""
        self.body = b""

    def begin(self, handler: QuickHandler) -> asyncio.Task[None]:
        """Begin to answer: the body is complete."""
        path = f"/v1/pids/{self._pid}/execute"
        scope = {**self.scope, "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "path_params": {"pid": self._pid}}  # fmt: skip
        self._task = self._protocol.loop.create_task(self._run(handler, Request(scope)))
        return self._task

    async def _run(self, handler: QuickHandler, request: Request) -> None:
        response = await answered(lambda asked: handler(asked, self.body), request)
        self.response_complete = True
        if response is not None and not self.disconnected:
            self._protocol.answer(response, keep_alive=self.keep_alive)

    def set(self) -> None:
        """Free the caller's place at the station where it has left."""
        if self.disconnected and self._task is not None:
            self._task.cancel()
