"""The shortest way of a detection: still HTTP, but no ASGI.

A request is quick where all of it came at once: `POST /v1/pids/PID/execute` with a small JSON body of known length, as
the client sends it, or a form with a large body, which is received whole (`whole_body.py`). What uvicorn, the router
and response objects are for (bodies that come in pieces, small forms, streams) is passed over then; every other request
goes their way. The answer, also that to a mistake, is the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from controller.http.resource import answered
from controller.http.whole_body import LARGE

if TYPE_CHECKING:
    from controller.http.connections import StationProtocol

QuickHandler = Callable[[Request, bytes | None], Awaitable[Response | None]]
"""Answers a detection for the PID among a request's `path_params`; its body is there, None: it is a form to come."""

MOST_BODY = 64 * 1024
_path = re.compile(rb"/v1/pids/([A-Za-z0-9._-]+)/execute").fullmatch
_FORM = b"multipart/form-data;"


class Asked(NamedTuple):
    """A request that may be quick, by its head. `form`: its body is a large form, else small JSON."""

    pid: str
    form: bool


def asked(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> Asked | None:
    """Return what a request asks for that may be quick; None where it is another one."""
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
    if not length.isdigit() or len(length) > 9:
        return None
    if kind == b"application/json" and int(length) <= MOST_BODY:
        return Asked(found[1].decode("ascii"), form=False)
    if kind.startswith(_FORM) and int(length) >= LARGE:
        return Asked(found[1].decode("ascii"), form=True)
    return None


class QuickCycle:
    """A quick request and its answer; as far as uvicorn's protocol asks, one of its own cycles."""

    waiting_for_100_continue = False

    def __init__(self, protocol: StationProtocol, scope: dict[str, Any], asked: Asked, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.scope = scope
        self._pid = asked.pid
        self.form = asked.form
        self._task: asyncio.Task[None] | None = None
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = self
        """Set where the connection is lost."""
        self.body = bytearray()
        self.more_body = asked.form

    def begin(self, handler: QuickHandler) -> asyncio.Task[None]:
        """Begin to answer: the body is complete, or it is a form's, of which the handler receives the rest."""
        path = f"/v1/pids/{self._pid}/execute"
        scope = {**self.scope, "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "path_params": {"pid": self._pid}}  # fmt: skip
        self._task = self._protocol.loop.create_task(self._run(handler, Request(scope)))
        return self._task

    async def _run(self, handler: QuickHandler, request: Request) -> None:
        body = None if self.form else bytes(self.body)
        response = await answered(lambda asked: handler(asked, body), request)
        self.response_complete = True
        if response is not None and not self.disconnected:
            self._protocol.answer(response, keep_alive=self.keep_alive)

    def set(self) -> None:
        """Free the caller's place at the station where it has left."""
        if self.disconnected and self._task is not None:
            self._task.cancel()
