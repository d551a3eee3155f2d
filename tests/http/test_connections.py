"""Connections that never become a request, or too much of one: bounded, closed, and never in anybody else's way."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.http.application import application
from controller.http.connections import ConnectionLimits, most_connections
from controller.http.server import SocketServer
from controller.store.layout import StoreLayout
from tests.http.conftest import ask
from tests.station.fake import FakeStation
from tests.waiting import HANGS, until

_HEAD = 64 * 1024
_IN_BUFFERS = 2 * 1024 * 1024
"""Bytes that the kernel and one read of the event loop may hold beyond the bound."""
_GET = b"GET /healthz HTTP/1.1\r\nHost: station\r\n\r\n"


@dataclass
class Served:
    """A server with `limits`, and connections to it that the fixture closes."""

    layout: StoreLayout
    limits: ConnectionLimits
    server: SocketServer | None = None
    connections: list[socket.socket] = field(default_factory=list)

    async def start(self) -> None:
        self.server = SocketServer(application(FakeStation(), self.layout), self.layout, limits=self.limits)
        await self.server.start()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        folder = os.open(self.layout.run, os.O_RDONLY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{self.layout.socket.name}")
        finally:
            os.close(folder)
        connection.settimeout(HANGS)
        self.connections.append(connection)
        return connection

    async def healthy(self) -> bool:
        return (await asyncio.to_thread(ask, self.layout.socket, "GET", "/healthz")).status == 200

    async def connected(self, count: int) -> None:
        await until(lambda: self.limits.open == count, f"{count} connections")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    layout = StoreLayout.at(tmp_path / "store")
    layout.images.mkdir(parents=True)
    found = Served(layout, ConnectionLimits())
    yield found
    for connection in found.connections:
        connection.close()
    assert found.server is not None
    await found.server.stop(1)


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """The status and the JSON of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def ended(connection: socket.socket) -> bool:
    """Whether the server closed the connection."""
    try:
        return connection.recv(65536) == b""
    except ConnectionResetError:
        return True


def send_without_end(connection: socket.socket, start: bytes, more: bytes) -> int:
    """Send until the server refuses to take more; return the bytes that went out."""
    sent = 0
    try:
        connection.sendall(start)
        while sent < 64 * _IN_BUFFERS:
            sent += connection.send(more)
    except OSError:
        pass
    return sent


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"a" * 65536),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 65536),
        (b"GET / HTTP/1.1\r\n", b"X: a\r\n" * 10000),
        (b"POST /v1/reconcile HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a" * 65536),
        (b"POST /v1/reconcile HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"a" * 65536),
    ],
    ids=["url", "one header", "many headers", "a trailer", "a chunk's extension"],
)
async def test_what_is_no_body_has_a_bound(served: Served, start: bytes, more: bytes) -> None:
    await served.start()
    sent = await asyncio.to_thread(send_without_end, served.connect(), start, more)
    assert sent < _HEAD + _IN_BUFFERS
    assert await served.healthy()


async def test_a_head_that_is_too_long_is_told(served: Served) -> None:
    await served.start()
    connection = served.connect()
    connection.sendall(b"GET /" + b"a" * (_HEAD + 1))
    status, body = await asyncio.to_thread(answer, connection)
    assert status == 431
    assert body["error"]["message"] == "the request has more than 64 KiB beside its body; pass large values in the body"  # type: ignore[index]
    assert await asyncio.to_thread(ended, connection)


async def test_a_head_within_the_bound_is_taken(served: Served) -> None:
    await served.start()
    connection = served.connect()
    connection.sendall(_GET[:-2] + b"X: " + b"a" * (_HEAD - 100) + b"\r\n\r\n")
    assert (await asyncio.to_thread(answer, connection))[0] == 200


async def test_a_body_of_many_chunks_is_not_taken_for_a_head(served: Served) -> None:
    await served.start()
    connection = served.connect()
    connection.sendall(b"POST /v1/reconcile HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"1\r\n \r\n" * (_HEAD // 4) + b"2\r\n{}\r\n0\r\n\r\n")
    assert (await asyncio.to_thread(connection.recv, 65536)).startswith(b"HTTP/1.1 200")


async def test_no_http_is_told_as_every_error_is(served: Served) -> None:
    await served.start()
    connection = served.connect()
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    status, body = await asyncio.to_thread(answer, connection)
    assert (status, body["error"]["code"]) == (400, 1003)  # type: ignore[index]


@pytest.mark.parametrize("said", [b"", b"GET /", _GET[:-2]], ids=["nothing", "a piece", "all but the end"])
async def test_whoever_does_not_ask_is_let_go(served: Served, said: bytes) -> None:
    served.limits.opening = 0.1
    await served.start()
    connection = served.connect()
    connection.sendall(said)
    assert await asyncio.to_thread(ended, connection)


async def test_an_idle_connection_is_let_go_whatever_it_trickles(served: Served) -> None:
    served.limits.idle = 0.1
    await served.start()
    connection = served.connect()
    connection.sendall(_GET)
    assert (await asyncio.to_thread(answer, connection))[0] == 200
    connection.sendall(b"G")
    assert await asyncio.to_thread(ended, connection)


async def test_silent_connections_make_room_before_one_that_asked(served: Served) -> None:
    served.limits.most = 4
    await served.start()
    asked = served.connect()
    asked.sendall(_GET)
    assert (await asyncio.to_thread(answer, asked))[0] == 200
    for _ in range(20):
        served.connect()
    await served.connected(4)
    assert await served.healthy()
    asked.sendall(_GET)
    assert (await asyncio.to_thread(answer, asked))[0] == 200


async def test_where_all_are_busy_the_new_one_is_refused(served: Served) -> None:
    served.limits.most = 2
    await served.start()
    for _ in range(2):
        served.connect().sendall(b"POST /v1/reconcile HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n")
    await served.connected(2)
    await until(lambda: not served.limits._silent, "both requests begun")
    connection = served.connect()
    status, body = await asyncio.to_thread(answer, connection)
    assert (status, body["error"]["message"]) == (503, "2 connections are busy; call again later")  # type: ignore[index]


async def test_a_caller_that_reads_nothing_is_let_go(served: Served) -> None:
    served.limits.stalled = 0.1
    await served.start()
    connection = served.connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.to_thread(send_without_end, connection, b"", b"GET /openapi.json HTTP/1.1\r\nHost: s\r\n\r\n" * 100)
    await served.connected(0)


async def test_requests_that_do_not_wait_for_answers_are_bounded(served: Served) -> None:
    served.limits.waiting = 3
    await served.start()
    eager, patient = served.connect(), served.connect()

    await asyncio.to_thread(eager.sendall, _GET * 1000)
    said = b""
    while more := await asyncio.to_thread(eager.recv, 65536):  # until it is closed
        said += more

    assert re.findall(rb"HTTP/1\.1 (\d+)", said) == [b"200", b"200", b"200", b"429"]
    assert b"more than 3 requests wait on one connection" in said
    for _ in range(5):
        await asyncio.to_thread(patient.sendall, _GET)
        assert (await asyncio.to_thread(answer, patient))[0] == 200


def test_the_share_of_files_bounds_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(soft: int) -> Callable[[int], tuple[int, int]]:
        return lambda _: (soft, soft)

    monkeypatch.setattr("resource.getrlimit", limited(1024))
    assert most_connections() == 256
    monkeypatch.setattr("resource.getrlimit", limited(1_000_000))
    assert most_connections() == 512
