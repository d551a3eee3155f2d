"""One connection, and all of them together: what a caller may send before it is understood, and how long it may wait.

uvicorn bounds neither the head of a request nor how long a connection stays open that says nothing; its limit of
connections refuses the newest, so that whoever holds many idle ones keeps everybody else away. Here an idle one makes
room.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httptools
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from controller.host.sockets import peer_user
from controller.http.failures import CLOSE, Refused, error_response
from controller.http.quick import QuickCycle, QuickHandler, asked
from controller.http.uvicorn_parts import STATUS_LINE, Config, HttpToolsProtocol, RequestResponseCycle, ServerState
from controller.http.whole_body import RECEIVE, BodyReceiver, Inbox, Incoming, Reader

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, HTTPScope

_MOST_CONNECTIONS = 512
_SHARE_OF_FILES = 4
"""One file in so many may be a connection: the rest is for processes, packages and the store."""


def most_connections() -> int:
    """Return how many connections may be open at once, by the limit of open files that this process has."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(_MOST_CONNECTIONS, soft // _SHARE_OF_FILES))


@dataclass
class ConnectionLimits:
    """The bounds of connections, and which of them are idle. Bytes, and seconds.

    `head`: bytes of a request beside its body (request line, headers, trailers, the framing of chunks). `opening`:
    until the first request's head is complete. `idle`: from an answer until the next request's head is complete.
    `stalled`: for which an answer may wait for a caller that reads nothing of it. `most`: connections at once; one
    more closes an idle one, first of those that never asked for anything. `waiting`: requests of one connection that
    came before the answer to the first; one more is refused, and what is behind it is not read.
    """

    head: int = 64 * 1024
    opening: float = 20.0
    idle: float = 75.0
    stalled: float = 60.0
    waiting: int = 8
    most: int = field(default_factory=most_connections)
    inbox: Inbox = field(default_factory=Inbox, init=False)
    open: int = field(default=0, init=False)
    _silent: dict[StationProtocol, None] = field(default_factory=dict, init=False)
    _kept: dict[StationProtocol, None] = field(default_factory=dict, init=False)

    def admit(self, connection: StationProtocol) -> bool:
        """Count a new connection; return False where there is no room for it, and no idle one to close."""
        self.open += 1
        return self.open <= self.most or self.make_room() is not None

    def make_room(self, peer: str | None = None) -> StationProtocol | None:
        """Close the connection that is idle for longest, of all or of one peer, and return it; None: there is none."""
        for idle in (self._silent, self._kept):
            for longest in idle:
                if peer is None or longest.peer == peer:
                    longest.drop()
                    return longest
        return None

    def leave(self, connection: StationProtocol) -> None:
        """Count a connection out that is closed."""
        self.open -= 1
        self.works(connection)

    def rests(self, connection: StationProtocol, *, asked_before: bool) -> None:
        """Note that a connection has no request under way."""
        (self._kept if asked_before else self._silent)[connection] = None

    def works(self, connection: StationProtocol) -> None:
        """Note that a connection has a request under way, or is none any more."""
        self._silent.pop(connection, None)
        self._kept.pop(connection, None)


class _Together:
    """A transport for one answer, whose head and body go out by one system call: each one wakes whoever waits for it.

    What is written waits for the next piece, and at most until the loop's next turn.
    """

    __slots__ = ("_loop", "_transport", "_turn", "_waiting", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = b""
        self._turn: asyncio.Handle | None = None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._turn is None:
            self._waiting = data
            self._turn = self._loop.call_soon(self._flush)
        else:
            self._turn.cancel()
            self._turn = None
            self._transport.write(self._waiting + data)

    def _flush(self) -> None:
        self._turn = None
        if not self.is_closing():
            self._transport.write(self._waiting)

    def close(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._flush()
        self._transport.close()


class _NothingMoreIsReadError(Exception):
    """Ends the parser's work on what has arrived."""


class StationProtocol(HttpToolsProtocol):
    """uvicorn's protocol within `limits`, which also notes the peer's user for the requests of the connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
        quick: QuickHandler | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._quick = quick
        self._arriving: QuickCycle | None = None
        """A request that is quick if the rest of it came with its head."""
        self._limits = limits
        self._reader = Reader(self, limits.inbox)
        self.peer = ""
        """What counts as one peer; empty at a socket of this machine."""
        self._beside_body = 0
        """Bytes that came since the last byte of a body."""
        self._under_way = 0
        self._last = False
        """Nothing more is read: the request under way that came last is refused, and then the connection ends."""
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._refused: asyncio.TimerHandle | None = None
        """A refusal that is kept back."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._quick is not None:
            transport.set_protocol(self._reader)
        connection = transport.get_extra_info("socket")
        if connection is not None and (user := peer_user(connection)) is not None:
            self.app_state = {**self.app_state, "uid": user}
        if self._limits.admit(self):
            self._rest(self._limits.opening)
        else:
            self._refuse(
                Refused(503, f"{self._limits.most} connections are busy", next_step="call again later", headers=CLOSE)
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._work()
        self._read_on()
        if self._refused is not None:
            self._refused.cancel()
        self._limits.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._beside_body += len(data)
        super().data_received(data)
        if self._arriving is not None:
            self._go_on(self._arriving)
        if self._beside_body > self._limits.head and not self._refused and not self.transport.is_closing():
            self._refuse(
                Refused(
                    431,
                    f"the request has more than {self._limits.head // 1024} KiB beside its body",
                    next_step="pass large values in the body",
                    headers=CLOSE,
                )
            )

    def on_message_begin(self) -> None:
        if self._last:
            raise _NothingMoreIsReadError
        super().on_message_begin()
        self.scope[RECEIVE] = partial(self._receive_whole, self.scope)  # type: ignore[literal-required]  # ours

    async def _receive_whole(self, scope: HTTPScope, incoming: Incoming) -> bool:
        """Receive a request's body, of which the length is known, and return True.

        False where there is nothing to it: all of it came, and perhaps requests behind it. Raises ClientDisconnect.
        """
        cycle = self.cycle
        if cycle.scope is not scope or not cycle.more_body:
            return False
        if cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        if cycle.disconnected:
            raise ClientDisconnect
        arrived, cycle.body = cycle.body, bytearray()
        incoming.begin(arrived)
        receiver = BodyReceiver(self, incoming, self._received_whole)
        self._listen_by(receiver)
        await receiver.done
        return True

    def _received_whole(self) -> None:
        self.parser = request_parser(self)  # the former one waits for what it has not seen
        self._listen_by(self if self._quick is None else self._reader)
        self.on_message_complete()

    def _listen_by(self, protocol: asyncio.BaseProtocol) -> None:
        self.transport.pause_reading()
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()
        self.flow.read_paused = False

    def on_headers_complete(self) -> None:
        self._under_way += 1
        self._work()
        if self._under_way > self._limits.waiting:
            self._last = True
            self.app = self.turn_away(  # in its turn, after those before it
                Refused(
                    429, f"more than {self._limits.waiting} requests wait on one connection",
                    next_step="wait for the answers", headers=CLOSE,
                )
            )  # fmt: skip
        elif self._quick is not None and (self.cycle is None or self.cycle.response_complete):
            what = asked(self.parser.get_method(), self.url, self.headers)
            if what is not None and self.parser.get_http_version() == "1.1":
                keep_alive = self.parser.should_keep_alive()
                self._arriving = QuickCycle(self, self.scope, what, keep_alive=keep_alive)  # type: ignore[arg-type]
                return
        super().on_headers_complete()

    def _go_on(self, arriving: QuickCycle) -> None:
        """Have a large form received; or uvicorn's own cycle receive the rest of another request, and answer it."""
        self._arriving = None
        if arriving.form:
            self.flow.pause_reading()  # what comes now has a place of its own
            self._begin(arriving)
            return
        super().on_headers_complete()
        if arriving.body:
            super().on_body(bytes(arriving.body))

    def answer(self, response: Response, *, keep_alive: bool) -> None:
        """Answer the quick request under way."""
        if self.transport.is_closing():
            return
        closes = any(name == b"connection" for name, _ in response.raw_headers)
        self.transport.write(_raw(response) if keep_alive or closes else _raw(response, b"connection: close"))
        if closes or not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = _Together(self.transport, self.loop)  # type: ignore[assignment]  # as much as it uses
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._beside_body = 0
        if self._arriving is not None:
            self._arriving.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside_body = 0
        arriving, self._arriving = self._arriving, None
        if arriving is not None and not arriving.form:
            self._begin(arriving)
            return
        if arriving is not None:  # more came at once than a form has that is received whole
            super().on_headers_complete()
            super().on_body(bytes(arriving.body))
        super().on_message_complete()

    def _begin(self, arriving: QuickCycle) -> None:
        assert self._quick is not None  # noqa: S101  (else nothing is quick)
        self.cycle = arriving  # type: ignore[assignment]  # as much of one as is asked for
        task = arriving.begin(self._quick)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        self._under_way -= 1
        super().on_response_complete()
        self._unset_keepalive_if_required()  # it would be put off by any byte
        if not self._under_way and not self.transport.is_closing():
            self._rest(self._limits.idle)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._limits.stalled, self.unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def send_400_response(self, _: str) -> None:
        if not self._last:
            self._refuse(
                Refused(400, "the request is no valid HTTP", next_step="send HTTP/1.1, as curl does", headers=CLOSE)
            )

    def drop(self) -> None:
        """Close at once, unless a request is under way. Whoever is idle hears of it by the end of the connection."""
        self._work()
        self.transport.abort()

    def overdue(self) -> None:
        """Close: no request was complete in time."""
        self.drop()

    def unread(self) -> None:
        """Close: nobody reads an answer."""
        self.transport.abort()

    @property
    def in_a_head(self) -> bool:
        """Whether it has never asked for anything, or a request has begun to come that is not complete."""
        return self.cycle is None or self._beside_body > 0

    def _rest(self, seconds: float) -> None:
        self._work()
        self._limits.rests(self, asked_before=self.cycle is not None)
        self._deadline = self.loop.call_later(seconds, self.overdue)

    def _work(self) -> None:
        self._limits.works(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _read_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def kept_back(self, _: Refused) -> float:
        """Return the seconds for which the answer to what never became a request is kept back."""
        return 0.0

    def turn_away(self, error: Refused) -> Response:
        """Return the answer to what never became a request."""
        return error_response(error)

    def _refuse(self, error: Refused) -> None:
        """Answer and close; where another answer is under way, only close."""
        answer = self.turn_away(error)
        if self._under_way:
            self.transport.abort()
        elif seconds := self.kept_back(error):
            self._work()
            self.flow.pause_reading()
            self._refused = self.loop.call_later(seconds, self._tell, answer)
        else:
            self._tell(answer)

    def _tell(self, answer: Response) -> None:
        self.transport.write(_raw(answer))
        self.transport.close()


def request_parser(protocol: StationProtocol) -> httptools.HttpRequestParser:
    """Return a parser as uvicorn makes it."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _raw(response: Response, *more: bytes) -> bytes:
    """Return the bytes of an answer; `more` are further headers."""
    head = [STATUS_LINE[response.status_code].rstrip(), *(b"%s: %s" % pair for pair in response.raw_headers), *more]
    return b"\r\n".join((*head, b"", bytes(response.body)))
