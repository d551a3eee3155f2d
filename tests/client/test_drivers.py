"""One table of cases through both drivers, over real sockets, against a server that does what a script says."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from controller.client import AsyncClient, CallError, Client, NotReached, UnknownOutcome
from controller.client.calls import Call
from tests.client.test_flow import answer
from tests.waiting import HANGS

Behave = Callable[[socket.socket, threading.Event], None]
"""Treats a connection; the event is set when the caller is done."""


def detection(number: int = 1) -> bytes:
    document = {"request_id": f"r{number}", "pid": "A01", "name": "n", "version": "1.0.0", "status": "OK"}
    return answer({**document, "message": "", "data": {}, "latency_ms": 1.0})


_BUSY = answer({"error": {"code": 1011, "message": "full"}}, 429)


def read_request(connection: socket.socket) -> None:
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += connection.recv(65536)
    head, _, body = heard.partition(b"\r\n\r\n")
    found = re.search(rb"Content-Length: (\d+)", head)
    assert found
    left = int(found[1]) - len(body)
    while left > 0:
        left -= len(connection.recv(65536))


def answering(*answers: bytes) -> Behave:
    """Answers request by request."""

    def behave(connection: socket.socket, _: threading.Event) -> None:
        for each in answers:
            read_request(connection)
            connection.sendall(each)

    return behave


def drip(connection: socket.socket, _: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    read_request(connection)
    for byte in detection():
        connection.sendall(bytes([byte]))


def close_unread(connection: socket.socket, _: threading.Event) -> None:
    assert connection.recv(1, socket.MSG_PEEK)


def refuse_early(connection: socket.socket, _: threading.Event) -> None:
    assert connection.recv(1000)
    connection.sendall(answer({"error": {"code": 1002, "message": "too large"}}, 413))


def hang(connection: socket.socket, _: threading.Event) -> None:
    read_request(connection)
    assert connection.recv(1) == b"", "the caller left"


def never_read(_: socket.socket, over: threading.Event) -> None:
    assert over.wait(HANGS)


@dataclass(frozen=True)
class Case:
    """What the server does with each connection, how it is called, and how each of the calls ends."""

    script: list[Behave]
    ends: list[str | tuple[type[CallError], str]]
    options: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    image: bytes = b"png"


_LARGE = bytes(32 << 20)
_ANYWHERE = {
    "an answer": Case([answering(detection())], ["r1"]),
    "an answer in single bytes": Case([drip], ["r1"]),
    "answers over one connection": Case([answering(detection(1), detection(2), detection(3))], ["r1", "r2", "r3"]),
    "a large image": Case([answering(detection())], ["r1"], image=_LARGE),
    "a connection closed after each answer": Case(
        [answering(answer(orjson.loads(detection(n).partition(b"\r\n\r\n")[2]), head=b"Connection: close\r\n"))
         for n in (1, 2)], ["r1", "r2"],
    ),
    "no answer": Case(
        [answering(b""), answering(detection())], [(UnknownOutcome, "closed before the answer came"), "r1"]
    ),
    "no answer, and the caller tries again": Case(
        [answering(b""), answering(detection())], ["r1"], arguments={"retry_unknown": True}
    ),
    "part of an answer": Case([answering(detection()[:70])], [(UnknownOutcome, "closed before the answer came")]),
    "no HTTP": Case([answering(b"SSH-2.0\r\n\r\n")], [(UnknownOutcome, "not HTTP")]),
    "no JSON": Case([answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")], [(UnknownOutcome, "not JSON")]),
    "no room": Case([answering(_BUSY, detection())], [(CallError, "full"), "r1"]),
    "no room, and the caller waits": Case(
        [answering(_BUSY, _BUSY, detection())], ["r1"], options={"retry_busy": True}
    ),
    "no answer in time": Case([hang], [(CallError, "within the time")], {}, {"timeout": 0.1}),
    "no reading in time": Case([never_read], [(CallError, "within the time")], {}, {"timeout": 0.1}, _LARGE),
    "arguments that are no JSON": Case([], [(CallError, "cannot be sent")], arguments={"params": {"a": object()}}),
}  # fmt: skip
_LOCALLY = {
    "closed unread": Case([close_unread, close_unread, answering(detection())], ["r1"]),
    "closed unread, and no patience": Case(
        [close_unread], [(NotReached, "before the call was read")], options={"connect_timeout": 0}
    ),
    "refused before it was all sent": Case([refuse_early], [(CallError, "too large")], image=_LARGE),
}
"""Over TCP a reset may overtake an answer, and does not say what was read."""


class Server:
    """Listens at `place`, and treats its connections one by one as the script says."""

    def __init__(self, listener: socket.socket, place: dict[str, Any]) -> None:
        self.place = place
        self._listener = listener

    @contextmanager
    def doing(self, script: list[Behave]) -> Iterator[None]:
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(self._serve, script, over)
            try:
                yield
            finally:
                over.set()
                self._listener.shutdown(socket.SHUT_RD)
        serving.result()

    def _serve(self, script: list[Behave], over: threading.Event) -> None:
        for behave in script:
            connection, _ = self._listener.accept()
            with connection:
                behave(connection, over)


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "run" / "images").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run" / "runner.sock"))
        listener.listen()
        yield Server(listener, {"store": tmp_path})


@pytest.fixture
def tcp() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Server(listener, {"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})


Driver = Callable[[dict[str, Any], Case], list[Any]]


def end_of(error: CallError) -> tuple[type[CallError], str]:
    return type(error), str(error)


def blocking(place: dict[str, Any], case: Case) -> list[Any]:
    ends = []
    with Client(**place, **case.options) as client:
        for _ in case.ends:
            try:
                ends.append(client.execute("A01", case.image, **case.arguments).request_id)
            except CallError as error:
                ends.append(end_of(error))
    return ends


async def _await_each(place: dict[str, Any], case: Case) -> list[Any]:
    ends = []
    async with AsyncClient(**place, **case.options) as client:
        for _ in case.ends:
            try:
                ends.append((await client.execute("A01", case.image, **case.arguments)).request_id)
            except CallError as error:
                ends.append(end_of(error))
    return ends


def on_asyncio(place: dict[str, Any], case: Case) -> list[Any]:
    return asyncio.run(_await_each(place, case))


def on_uvloop(place: dict[str, Any], case: Case) -> list[Any]:
    return uvloop.run(_await_each(place, case))


def check(server: Server, case: Case, driver: Driver) -> None:
    with server.doing(case.script):
        ends = driver(server.place, case)
    assert len(ends) == len(case.ends)
    for end, expected in zip(ends, case.ends, strict=True):
        if isinstance(expected, str):
            assert end == expected
        else:
            assert end[0] is expected[0]
            assert expected[1] in end[1]


@pytest.fixture
def short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.client.flow.MARGIN", 0.05)


drivers = pytest.mark.parametrize("driver", [blocking, on_asyncio, on_uvloop])


@drivers
@pytest.mark.usefixtures("short_margin")
@pytest.mark.parametrize("case", [*_ANYWHERE, *_LOCALLY])
def test_over_a_unix_socket(unix: Server, driver: Driver, case: str) -> None:
    check(unix, {**_ANYWHERE, **_LOCALLY}[case], driver)


@drivers
@pytest.mark.usefixtures("short_margin")
@pytest.mark.parametrize("case", _ANYWHERE)
def test_over_tcp(tcp: Server, driver: Driver, case: str) -> None:
    check(tcp, _ANYWHERE[case], driver)


@drivers
def test_connections_that_went_stale_are_replaced(unix: Server, driver: Driver) -> None:
    check(unix, Case([answering(detection(1)), answering(detection(2))], ["r1", "r2"]), driver)


@drivers
def test_station_that_takes_no_connection_in_time_was_not_reached(driver: Driver) -> None:
    """The queue of connections is full, so the kernel drops what asks for one, as a network that loses packets does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        place = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        ((kind, text),) = driver(place, Case([], ["r1"], arguments={"timeout": 0.2}))
        for each in waiting:
            each.close()
    assert kind is NotReached
    assert "timed out" in text


@pytest.mark.parametrize("driver", [blocking, on_asyncio])
def test_every_address_of_a_name_is_tried(tcp: Server, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `localhost` is often ::1 first, where a station that listens on 127.0.0.1 does not answer."""
    port = int(tcp.place["url"].rpartition(":")[2])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    check(tcp, Case([answering(detection())], ["r1"], options={"connect_timeout": 0}), driver)


def test_both_clients_are_made_and_called_alike() -> None:
    for name in ("__init__", "execute", "close"):
        blocking, asynchronous = (inspect.signature(getattr(each, name)) for each in (Client, AsyncClient))
        assert blocking == asynchronous


async def test_call_cancelled_twice_while_its_images_are_loaded_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    load = Call.load

    def slowly(call: Call, folder: Path | None) -> None:
        begun.set()
        assert go_on.wait(HANGS)
        load(call, folder)

    monkeypatch.setattr(Call, "load", slowly)
    images = tmp_path / "run" / "images"
    images.mkdir(parents=True)
    image = memoryview(bytes(600_000)).cast("B", (600, 1000))
    async with AsyncClient(store=tmp_path) as client:
        call = asyncio.create_task(client.execute("A01", image))
        assert await asyncio.to_thread(begun.wait, HANGS)
        for _ in range(2):
            call.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not call.done(), "it waits for the images, to delete them"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert list(images.iterdir()) == []
