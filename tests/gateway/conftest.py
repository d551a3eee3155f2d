"""A gateway before a server on a store of its own with the fake station; requests by the standard library's client."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from controller.client.addresses import Address
from controller.gateway.admission import Admission
from controller.gateway.application import Gateway
from controller.gateway.bounded import BoundedStation
from controller.gateway.certificates import Certificates
from controller.gateway.forwarding import Forwarder
from controller.gateway.limits import Limits, Places
from controller.gateway.listener import Listener
from controller.gateway.refusals import Refusals
from controller.gateway.sessions import Sessions, Signer
from controller.gateway.upstream import Upstream
from controller.host.clock import utc_now
from controller.host.listening import bind
from controller.http.application import application
from controller.http.connections import ConnectionLimits
from controller.http.server import SocketServer
from controller.page.application import Page
from controller.station import tokens
from controller.station.commands.tokens import CreatedToken, CreateToken, RevokeToken
from controller.station.port import Access, Caller
from controller.station.remote_async import AsyncRemoteStation
from controller.store.known_tokens import KnownTokens
from controller.store.layout import StoreLayout
from controller.store.store import Store
from tests.http.conftest import Reply
from tests.station.fake import FakeStation
from tests.waiting import HANGS

ANN = Caller("ann", Access.admin)


@dataclass
class Served:
    """A gateway with a station behind it, on a real store; `clock` is the tokens' own."""

    store: Store
    fake: FakeStation
    listener: Listener
    port: int
    clock: list[float]
    refusals: Refusals
    connections: list[socket.socket] = field(default_factory=list)

    def token(self, role: Any = "viewer", name: str = "kiosk", expires: str = "") -> CreatedToken:
        return tokens.create(self.store, CreateToken(name, role, expires), ANN)

    def revoke(self, name: str = "kiosk") -> None:
        tokens.revoke(self.store, RevokeToken(name), ANN)

    async def ask(self, method: str, target: str, body: bytes | None = None, token: str = "", **headers: str) -> Reply:
        return await asyncio.to_thread(self._ask, method, target, body, token, headers)

    def _ask(self, method: str, target: str, body: bytes | None, token: str, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A connection for bytes of the test's own."""
        connection = socket.create_connection(("127.0.0.1", self.port), HANGS)
        self.connections.append(connection)
        return connection

    def refused(self) -> dict[str, int]:
        """How often there was each reason that there was."""
        return {reason: count for reason, count in self.refusals.counted().items() if count}

    async def said(self, request: bytes) -> tuple[int, bytes]:
        """What is answered to some bytes until the connection is closed: the first status, and all of it."""
        return await asyncio.to_thread(said, self.connect(), request)


def said(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    connection.sendall(request)
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


@asynccontextmanager
async def serving(
    root: Path, limits: Limits, connections: ConnectionLimits, certificates: Certificates | None = None
) -> AsyncIterator[Served]:
    store = Store.at(StoreLayout.at(root / "store"), utc_now)
    store.create_folders()
    fake, clock = FakeStation(), [time.time()]
    server = SocketServer(application(fake, store.layout), store.layout)
    await server.start()
    listening = bind("127.0.0.1", 0)
    port, tls = listening.getsockname()[1], certificates is not None
    upstream = Upstream(store.layout)
    refusals = Refusals.begin()
    admission = Admission(KnownTokens(store.layout, lambda: clock[0]), limits, refusals)
    page_places = Places(limits.page_at_once, limits.turn, "requests of the page")
    page = Page(BoundedStation(AsyncRemoteStation(Address.of(store.layout.root, None, None)), page_places))
    sessions = Sessions(page.application, Signer.of(store.layout), admission, port=port, tls=tls)
    gateway = Gateway(sessions, admission, Forwarder(upstream, limits), limits, tls=tls)
    listener = Listener(gateway, listening, certificates, limits, admission, connections)
    await listener.start()
    watching = asyncio.create_task(admission.watch())
    served = Served(store, fake, listener, port, clock, refusals)
    try:
        yield served
    finally:
        for connection in served.connections:
            connection.close()
        watching.cancel()
        await page.close()
        await listener.stop(1)
        upstream.close()
        await server.stop(1)
        refusals.close()


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Begin a gateway with limits of the test's own."""

    def begin(
        connections: ConnectionLimits | None = None, certificates: Certificates | None = None, **limits: Any
    ) -> AbstractAsyncContextManager[Served]:
        at_once = Limits(penalty=0)  # what a refusal says does not hang on how long it is kept back
        return serving(tmp_path, replace(at_once, **limits), connections or ConnectionLimits(), certificates)

    return begin


@pytest.fixture
async def gateway(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as served:
        yield served
