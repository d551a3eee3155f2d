"""The listener: connections of the network, counted before anything is read of them; TLS; HTTP by uvicorn's parser.

uvicorn's own server counts a connection when its TLS handshake is over, so that whoever never ends one would be bound
by nothing. Here each is counted, by address too, from the moment it is accepted, and they are accepted at a bounded
rate: a flood waits in the kernel's queue, where it costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp

from controller.gateway.admission import Admission
from controller.gateway.certificates import Certificates
from controller.gateway.limits import Buckets, Limits, Penalty
from controller.gateway.refusals import Refusals
from controller.host.listening import network_of
from controller.http.connections import ConnectionLimits, StationProtocol
from controller.http.failures import Refused
from controller.http.uvicorn_parts import Config, Server

log = logging.getLogger(__name__)

_TLS_RECORD = 0x16
_NO_TLS = b"the station speaks TLS here: use https://\n"
_PLAIN = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_OUT_OF_FILES = 0.5
"""Seconds for which nothing is accepted where the system had no descriptor to give."""
_BUSY = 503


class Listener:
    """Serves an ASGI application at a listening socket."""

    def __init__(
        self,
        application: ASGIApp,
        listening: socket.socket,
        certificates: Certificates | None,
        limits: Limits,
        admission: Admission,
        connections: ConnectionLimits | None = None,
    ) -> None:
        self._socket = listening
        self._refusals = admission.refusals
        self._penalty = admission.penalty
        self._certificates = certificates
        self._limits = limits
        self.connections = connections or ConnectionLimits()
        self._accepts = Buckets(limits.accepts)
        self._by_peer: Counter[str] = Counter()
        self._server = Server(
            Config(
                application, loop="none", http=StationProtocol, ws="none", lifespan="off", log_config=None,
                log_level="critical", access_log=False, proxy_headers=False, server_header=False, date_header=False,
            )
        )  # fmt: skip
        self._opening: dict[asyncio.Task[None], _Protocol] = {}
        """What is not yet as far as HTTP, oldest first."""
        self._accepting: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """How many connections there are, those in a handshake too."""
        return self._by_peer.total()

    async def start(self) -> None:
        """Accept connections."""
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[])
        self._accepting = asyncio.create_task(self._accept(), name="accepting connections")

    async def stop(self, grace: float) -> None:
        """Accept no more, and let requests finish for `grace` seconds."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._socket.close()
        for task in tuple(self._opening):
            task.cancel()
        self._server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # goes into asyncio.wait_for
        await self._server.shutdown()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if wait := self._accepts.take(""):
                await asyncio.sleep(wait)
                continue
            try:
                connection, address = await loop.sock_accept(self._socket)
            except OSError as error:
                log.warning("cannot accept connections for a moment: %s", error.strerror)
                await asyncio.sleep(_OUT_OF_FILES)
                continue
            peer = network_of(address[0])
            if self._admit(peer):
                protocol = self._protocol(peer)
                task = loop.create_task(self._open(connection, protocol))
                self._opening[task] = protocol
                task.add_done_callback(partial(self._opened, connection, protocol))
            else:
                self._refusals.count("connections")
                _turn_away(connection, b"" if self._certificates else _FULL)

    def _admit(self, peer: str) -> bool:
        """Count a connection; return False, and count nothing, where there is no room and none can be made."""
        if self._by_peer[peer] >= self._limits.connections_each and not self._make_room(peer):
            return False
        if self.open >= self.connections.most and not self._make_room(None):
            return False
        self._by_peer[peer] += 1
        return True

    def _make_room(self, peer: str | None) -> bool:
        """Close what is idle, else in a handshake, for longest, of all or of one peer; return whether there was any."""
        made = self._close_idle(peer)
        if made:
            self._refusals.count("displaced")
        return made

    def _close_idle(self, peer: str | None) -> bool:
        idle = self.connections.make_room(peer)
        if idle is not None:
            self._leave(idle)
            return True
        for task, protocol in self._opening.items():
            if peer in {None, protocol.peer}:
                del self._opening[task]
                task.cancel()
                self._leave(protocol)
                return True
        return False

    def _leave(self, protocol: StationProtocol) -> None:
        """Count a connection out, once: one that makes room does so before its end is noticed."""
        if isinstance(protocol, _Protocol) and protocol.counted:
            protocol.counted = False
            self._by_peer[protocol.peer] -= 1
            if not self._by_peer[protocol.peer]:
                del self._by_peer[protocol.peer]

    def _protocol(self, peer: str) -> _Protocol:
        server = self._server
        return _Protocol(
            server.config, server.server_state, {}, limits=self.connections, peer=peer, on_end=self._leave,
            refusals=self._refusals, penalty=self._penalty,
        )  # fmt: skip

    async def _open(self, connection: socket.socket, protocol: _Protocol) -> None:
        """Agree on TLS, where there is any, and leave the connection to its protocol."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = None
        if self._certificates is not None:
            context = self._certificates.context
            if not await self._begins_with_tls(connection):
                self._refusals.count("handshake")
                _turn_away(connection, _PLAIN % (len(_NO_TLS), _NO_TLS))
                return
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol, connection, ssl=context,
            ssl_handshake_timeout=self._limits.handshake if context else None,
        )  # fmt: skip

    def _opened(self, connection: socket.socket, protocol: _Protocol, task: asyncio.Task[None]) -> None:
        """Count a connection out that got no further: they left, or do not speak TLS, or others needed the room."""
        self._opening.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):  # those are the peer's doing
            log.error("cannot open a connection: %r", error)
        elif error is not None and self._certificates and not isinstance(error, ConnectionResetError):  # they left
            self._refusals.count("handshake")
        if not protocol.made:
            connection.close()
            self._leave(protocol)

    async def _begins_with_tls(self, connection: socket.socket) -> bool:
        """Wait for the first byte, and leave it there. Raises TimeoutError, OSError: none came."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._limits.handshake):
            while True:
                with suppress(BlockingIOError):
                    first = connection.recv(1, socket.MSG_PEEK)
                    if not first:
                        raise ConnectionResetError
                    return first[0] == _TLS_RECORD
                ready = asyncio.Event()
                loop.add_reader(connection, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_reader(connection)


class _Protocol(StationProtocol):
    """A connection of a peer. `made`: it got as far as HTTP, and tells of its end; `counted`: as one of its peer's."""

    def __init__(
        self, *arguments: Any, peer: str, on_end: Callable[[StationProtocol], None], limits: ConnectionLimits,
        refusals: Refusals, penalty: Penalty,
    ) -> None:  # fmt: skip
        super().__init__(*arguments, limits=limits)
        self.peer = peer
        self._refusals = refusals
        self._penalty = penalty
        self.made = False
        self.counted = True
        self._on_end = on_end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.made = True
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_end(self)

    def overdue(self) -> None:
        if self.in_a_head:
            self._refusals.count("too_slow")
        super().overdue()

    def unread(self) -> None:
        self._refusals.count("unread")
        super().unread()

    def kept_back(self, error: Refused) -> float:
        return self._penalty.seconds(self.peer, error.status)

    def turn_away(self, error: Refused) -> Response:
        if error.status == _BUSY:
            self._refusals.count("connections")
        else:
            self._refusals.note(error.status)
        return super().turn_away(error)


def _turn_away(connection: socket.socket, words: bytes) -> None:
    """Close a connection of which nothing was read; say why where that is to be had at once."""
    with suppress(OSError):
        connection.setblocking(False)
        if words:
            connection.send(words)
    connection.close()
