"""Requests of callers who were let in, on their way to the daemon: what of them goes on, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from controller.gateway.admission import READS
from controller.gateway.body import CHUNKED, Body, Gone
from controller.gateway.limits import LargeBodies, Limits, Places, Shared
from controller.gateway.upstream import Connection, DaemonAway, Headers, Upstream, head_of
from controller.http.failures import Refused
from controller.station.port import ACCESS, CALLER, GRANTS, RECORDINGS, Caller

_HOP = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade",
}  # fmt: skip
"""Headers that are about one connection."""
_OURS = {
    b"host", b"content-length", b"expect", b"authorization", b"cookie", CALLER.lower().encode(),
    ACCESS.lower().encode(), GRANTS.lower().encode(),
}  # fmt: skip
"""Headers of a request that end here; what a client says about who it is, too."""
_ANSWERS_THAT_GO_ON = (b"text/event-stream", b"application/x-ndjson")


class StationAway(Refused):
    """The daemon does not answer. Where it may have done what it was asked for, the outcome is unknown: 502."""

    def __init__(self, error: DaemonAway) -> None:
        super().__init__(
            502 if error.begun else 503,
            error.message,
            next_step=error.next_step,
            headers={"Retry-After": "1"},
            details={"outcome": "unknown"} if error.begun else {},
        )


class Forwarder:
    """Forwards to one daemon, within limits."""

    def __init__(self, upstream: Upstream, limits: Limits) -> None:
        self._upstream = upstream
        self._limits = limits
        self._places = Shared(Places(limits.at_once, limits.turn, "requests"), limits.at_once_each, limits.turn)
        self._reads = Shared(
            Places(limits.reads_at_once, limits.turn, "questions"), limits.reads_at_once_each, limits.turn
        )
        self._large = LargeBodies(limits)
        self._streams = Shared(Places(limits.streams, limits.turn, "answers that go on"), limits.streams_each, 0)

    async def forward(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Have the daemon answer a request in a caller's name.

        Raises:
            StationAway: 502, 503, the daemon does not answer.
            Refused: there is no room for the request, or its body is not taken.
        """
        try:
            body = Body(scope, receive, self._limits)
            async with AsyncExitStack() as held:
                if body.large:
                    body.count_by(await held.enter_async_context(self._large.place(caller.name)))
                else:
                    await body.take()
                places = (self._reads, self._places) if scope["method"] in READS else (self._places,)
                place = await held.enter_async_context(_Place(places, self._streams, caller.name))
                await self._converse(scope, body, caller, partial(_pass_on, send, place))
        except Gone:
            pass
        except DaemonAway as error:
            raise StationAway(error) from None

    async def _converse(
        self, scope: Scope, body: Body, caller: Caller, pass_on: Callable[[Connection], Awaitable[None]]
    ) -> None:
        """Send a request and have its answer passed on, each as it comes. Raises ControllerError, Gone."""
        connection = await self._upstream.open(scope["method"])
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        framing = body.framing
        head = head_of(scope["method"], target, [*_headers_for(scope, caller), *framing])

        async def send() -> None:
            await connection.send(head, body.pieces(), chunked=framing == CHUNKED)
            await body.left()

        sending, passing = asyncio.ensure_future(send()), asyncio.ensure_future(pass_on(connection))
        try:
            done, _ = await asyncio.wait((sending, passing), return_when=asyncio.FIRST_COMPLETED)
            await (passing if passing in done else sending)
            self._upstream.keep(connection)
        except BaseException:
            connection.close()
            raise
        finally:
            sending.cancel()
            passing.cancel()
            await asyncio.gather(sending, passing, return_exceptions=True)  # theirs came too late to be an answer


class _Place:
    """A caller's place among requests, one of each kind, which becomes one among the streams when an answer goes on."""

    def __init__(self, places: Sequence[Shared], streams: Shared, caller: str) -> None:
        self._places = places
        self._streams = streams
        self._caller = caller
        self._held = ExitStack()

    async def __aenter__(self) -> _Place:
        try:
            for each in self._places:
                await self._enter(each)
        except BaseException:
            self._held.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._held.close()

    async def go_on(self) -> None:
        """Become a place of an answer that goes on. Raises Refused: there is none."""
        before = self._held.pop_all()
        try:
            await self._enter(self._streams)
        finally:
            before.close()

    async def _enter(self, places: Shared) -> None:
        await places.enter(self._caller)
        self._held.callback(places.leave, self._caller)


async def _pass_on(send: Send, place: _Place, connection: Connection) -> None:
    """Pass the answer on as it comes; one that goes on takes a place among those. Raises ControllerError."""
    await connection.answer()
    kind = next((value for name, value in connection.headers if name == b"content-type"), b"")
    if kind.startswith(_ANSWERS_THAT_GO_ON):
        await place.go_on()
    kept = [pair for pair in connection.headers if pair[0] not in _HOP]
    await send({"type": "http.response.start", "status": connection.status, "headers": kept})
    async for piece in connection.body():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _headers_for(scope: Scope, caller: Caller) -> Headers:
    """Return the headers that go on, and who asks."""
    headers: Headers = scope["headers"]
    named = {each.strip().lower() for name, value in headers if name == b"connection" for each in value.split(b",")}
    dropped = _HOP | _OURS | named
    return [
        *(pair for pair in headers if pair[0] not in dropped and not pair[0].startswith(b"x-forwarded-")),
        (CALLER.encode(), quote(caller.name, safe="").encode()),
        (ACCESS.encode(), caller.access.name.encode()),
        *([(GRANTS.encode(), RECORDINGS.encode())] if caller.granted else []),
    ]
