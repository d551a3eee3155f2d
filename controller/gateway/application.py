"""The gateway as one ASGI application: what is asked for, by whom, and where it goes: to the page or to the daemon."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from urllib.parse import unquote_to_bytes

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.errors import ControllerError, our_fault
from controller.gateway.admission import Admission, caller_of
from controller.gateway.body import Body, Gone
from controller.gateway.forwarding import Forwarder, StationAway
from controller.gateway.limits import Limits
from controller.gateway.refusing import refused
from controller.gateway.upstream import DaemonAway
from controller.http.failures import CLOSE, Refused, error_response
from controller.station.port import Access, Caller

log = logging.getLogger(__name__)

_OWN = ("/page/", "/static/")
_UNUSED = {"CONNECT", "TRACE"}
_ALLOWED = {**CLOSE, "Allow": "DELETE, GET, HEAD, POST"}
_HEALTH = "/healthz"
_HEALTHY = 1.0
"""Seconds for which the daemon's sign of life is told again: whoever asks without a token costs it no more."""
_LONGEST_SILENCE = 5.0
"""Seconds after which a daemon that says nothing counts as one that does not live."""
_HOST = re.compile(rb"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_NOBODY = Caller("token:", Access.viewer)


class Gateway:
    """Answers every request that comes over the network. `page`: the ASGI application that sessions let in to."""

    def __init__(self, page: ASGIApp, admission: Admission, forwarder: Forwarder, limits: Limits, *, tls: bool) -> None:
        self._page = page
        self._tls = tls
        self._admission = admission
        self._forwarder = forwarder
        self._limits = limits
        self._health: tuple[float, Message, bytes] | None = None
        self._asking = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. No exception leaves it."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "no-store")
                if self._tls:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        try:
            await self._answer(scope, receive, sending)
        except Exception as error:
            if not isinstance(error, ControllerError):
                log.exception("%s failed", scope["method"])
                error = our_fault()
            if not begun:
                answer = refused(scope, error)
                self._count(error, answer.status_code)
                await self._admission.keep_back(scope, answer.status_code)
                await answer(scope, receive, sending)

    def _count(self, error: ControllerError, status: int) -> None:
        if isinstance(error, StationAway):
            self._admission.refusals.count("daemon_away")
        else:
            self._admission.refusals.note(status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_sound(scope, self._limits)
        self._admission.greet(scope)
        path = scope["path"]
        if path == "/" or path.startswith(_OWN):
            await self._show(scope, receive, send)
        elif path == _HEALTH and scope["method"] in {"GET", "HEAD"}:
            await self._alive(scope, receive, send)
        else:
            token = self._admission.by_bearer(scope)
            caller = caller_of(token)
            await self._admission.inside(
                token, send, lambda told: self._forwarder.forward(scope, receive, told, caller)
            )

    async def _show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the page answer. Whoever asks need not have a token, so its body is taken in within bounds before."""
        body = Body(scope, receive, self._limits)
        try:
            await body.take()
        except Gone:
            return
        await self._page(scope, body.receive, send)

    async def _alive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell whether the daemon lives: to whoever asks, for that a load balancer has no token."""
        async with self._asking:  # who comes meanwhile is told the same, and asks the daemon nothing
            if self._health is None or time.monotonic() - self._health[0] > _HEALTHY:
                self._health = await self._ask(scope)
        _, start, body = self._health
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        await Response(body, start["status"], headers)(scope, receive, send)

    async def _ask(self, scope: Scope) -> tuple[float, Message, bytes]:
        """Ask the daemon; for all who wait, so whether the first of them leaves is of no account."""
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")

        asked = {**scope, "method": "GET", "query_string": b"", "headers": []}
        try:
            try:
                async with asyncio.timeout(_LONGEST_SILENCE):
                    await self._forwarder.forward(asked, _stays, collect, _NOBODY)
            except TimeoutError:
                raise StationAway(DaemonAway(f"nothing for {_LONGEST_SILENCE:g} s", begun=False)) from None
        except ControllerError as error:
            answer = error_response(error)
            self._count(error, answer.status_code)
            await answer(asked, _stays, collect)
        return time.monotonic(), start, body


async def _stays() -> Message:
    """Receive from somebody who neither says anything nor leaves."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


def require_sound(scope: Scope, limits: Limits) -> None:
    """Raise Refused (400, 405, 414, 431) where a request's head is none that an honest client sends."""
    if scope["method"] in _UNUSED:
        raise Refused(405, f"there is no {scope['method']} here", next_step="use GET or POST", headers=_ALLOWED)
    if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.headers:
        raise Refused(
            431, f"the headers have more than {limits.headers // 1024} KiB", next_step="pass large values in the body",
            headers=CLOSE,
        )  # fmt: skip
    raw: bytes = scope["raw_path"]
    if len(raw) + len(scope["query_string"]) > limits.target:
        raise Refused(
            414, f"path and query have more than {limits.target // 1024} KiB", next_step="send values in the body",
            headers=CLOSE,
        )  # fmt: skip
    path = unquote_to_bytes(raw)
    parts = path.split(b"/")
    encoded = raw.lower()
    if (
        not path.startswith(b"/") or b".." in parts or b"." in parts or b"\\" in path or b"//" in path
        or b"%2f" in encoded or any(byte < 32 or byte == 127 for byte in path)
    ):  # fmt: skip
        raise Refused(400, "the path is not valid", next_step="see /openapi.json for what there is", headers=CLOSE)
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1 or not all(map(_HOST.fullmatch, hosts)) or not (hosts or scope["http_version"] == "1.0"):
        step = "send HTTP/1.1, as curl does"
        raise Refused(400, "the request needs exactly one Host header", next_step=step, headers=CLOSE)
