"""A request that comes whole goes the short way, one in pieces the long one: nobody can tell from the answer."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from controller.errors import CallError, Code
from controller.http.quick import Asked
from controller.http.quick import asked as quickly_asked
from controller.http.whole_body import LARGE
from controller.images.formats import ImageRef
from tests.http.conftest import ServedStation
from tests.waiting import HANGS, until

_REF = b'{"image_ref": "cam-1", "step_index": 2}'


def post(body: bytes, target: bytes = b"/v1/pids/A01/execute", more: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
    return head % (target, more, len(body)) + body


def connect(folder: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    place = os.open(folder, os.O_RDONLY)
    try:
        connection.connect(f"/proc/self/fd/{place}/runner.sock")
    finally:
        os.close(place)
    connection.settimeout(HANGS)
    return connection


@pytest.fixture
def connection(station: ServedStation) -> Iterator[socket.socket]:
    with connect(station.layout.run) as made:
        yield made


def answers(connection: socket.socket, count: int = 1) -> list[tuple[bytes, bytes]]:
    """Head and body of the next answers."""
    data, found = b"", []
    while len(found) < count:
        data += connection.recv(65536)
        while match := re.match(rb"(?s)(.*?content-length: (\d+).*?)\r\n\r\n", data):
            end = match.end() + int(match[2])
            if len(data) < end:
                break
            found.append((match[1], data[match.end() : end]))
            data = data[end:]
    return found


async def say(connection: socket.socket, *pieces: bytes, count: int = 1) -> list[tuple[bytes, bytes]]:
    def converse() -> list[tuple[bytes, bytes]]:
        for piece in pieces:
            connection.sendall(piece)
            if len(pieces) > 1:
                connection.getpeername()
        return answers(connection, count)

    return await asyncio.to_thread(converse)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (_REF, None), (b"{nonsense", None), (b"{}", None), (b'{"image_ref": "a", "step_index": 0}', None),
        (_REF, CallError(Code.timeout, "late")), (_REF, CallError(Code.busy, "full", details={"retry_after": 2.0})),
        (_REF, RuntimeError("a mistake of ours")),
    ],
)  # fmt: skip
async def test_the_answer_is_that_of_the_long_way(
    station: ServedStation, connection: socket.socket, body: bytes, failure: Exception | None
) -> None:
    station.plane.failure = failure
    whole = post(body)
    (quick,) = await say(connection, whole)
    with connect(station.layout.run) as other:
        chunked = b"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + (
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
        (long,) = await say(other, chunked)
    assert quick == long
    station.plane.failure = None
    ((_, again),) = await say(connection, post(_REF))
    assert orjson.loads(again)["status"] == "OK", "the connection is of use for the next request"


async def test_a_request_in_pieces_is_put_together(station: ServedStation, connection: socket.socket) -> None:
    whole = post(_REF)
    for cut in range(1, len(whole), 7):
        connection.sendall(whole[:cut])
        await asyncio.sleep(0.002)
        ((_, body),) = await say(connection, whole[cut:])
        assert orjson.loads(body)["pid"] == "A01"
    asked = {str(request.image) for request in station.plane.asked}
    assert asked == {str(ImageRef("cam-1"))}


async def test_requests_that_come_together_are_answered_in_their_order(
    station: ServedStation, connection: socket.socket
) -> None:
    targets = [b"/v1/pids/%s/execute" % pid for pid in (b"A01", b"A02", b"A%2E3", b"A04")]
    found = await say(connection, b"".join(post(_REF, target) for target in targets), count=4)
    assert [orjson.loads(body)["pid"] for _, body in found] == ["A01", "A02", "A.3", "A04"]


async def test_who_asks_to_close_is_closed(station: ServedStation, connection: socket.socket) -> None:
    ((head, _),) = await say(connection, post(_REF, more=b"Connection: close\r\n"))
    assert head.lower().count(b"connection: close") == 1
    assert await asyncio.to_thread(connection.recv, 1) == b""


async def test_whoever_leaves_frees_its_place(station: ServedStation) -> None:
    station.plane.gate = asyncio.Event()
    with connect(station.layout.run) as leaving:
        leaving.sendall(post(_REF))
        await until(lambda: station.plane.places == 1, "the call")
    await until(lambda: station.plane.places == 0, "the place")
    assert station.plane.cancelled == 1


_KIND, _LENGTH = (b"content-type", b"application/json"), (b"content-length", b"20")
_FORM, _LARGE = (b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"%d" % LARGE)


@pytest.mark.parametrize(
    ("method", "url", "headers", "pid"),
    [
        (b"POST", b"/v1/pids/A.0-1/execute", [_KIND, _LENGTH], "A.0-1"),
        (b"GET", b"/v1/pids/A01/execute", [_KIND, _LENGTH], None),
        (b"POST", b"/v1/pids/A01/execute?x=1", [_KIND, _LENGTH], None),
        (b"POST", b"/v1/pids/A%2001/execute", [_KIND, _LENGTH], None),
        (b"POST", b"/v1/packages/a/1/execute", [_KIND, _LENGTH], None),
        (b"POST", b"/v1/pids/A01/execute", [_KIND], None),
        (b"POST", b"/v1/pids/A01/execute", [_LENGTH], None),
        (b"POST", b"/v1/pids/A01/execute", [_KIND, (b"content-length", b"65537")], None),
        (b"POST", b"/v1/pids/A01/execute", [_KIND, (b"content-length", b"+1")], None),
        (b"POST", b"/v1/pids/A01/execute", [_KIND, _LENGTH, (b"expect", b"100-continue")], None),
        (b"POST", b"/v1/pids/A01/execute", [_FORM, _LENGTH], None),
        (b"POST", b"/v1/pids/A01/execute", [_FORM, (b"content-length", b"1" * 10)], None),
        (b"POST", b"/v1/pids/A01/execute", [_FORM, _LARGE, (b"expect", b"100-continue")], None),
        (b"POST", b"/v1/pids/A01/execute", [_FORM, _LARGE], "A01"),
    ],
)  # fmt: skip
def test_what_may_be_quick(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]], pid: str | None) -> None:
    found = quickly_asked(method, url, headers)
    assert found == (None if pid is None else Asked(pid, form=headers[0] == _FORM))
