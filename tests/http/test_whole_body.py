"""Large bodies come into buffers that are used again: each caller's own picture is seen, whatever others do."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from controller.calls.request import DetectionRequest
from controller.client import AsyncClient
from controller.client.answers import Detection
from controller.http.application import application
from controller.http.request_body import BodyLimits
from controller.http.server import SocketServer
from controller.http.whole_body import LARGE, Buffers
from controller.images.formats import load
from controller.store.layout import StoreLayout
from tests.http.conftest import form
from tests.http.test_quick import answers, connect, post
from tests.station.fake import FakeStation
from tests.waiting import until

_EXECUTE = b"/v1/pids/A01/execute"


class Looking:
    """Answers what it sees at the beginning and, after others had their turns, at the end."""

    def __init__(self) -> None:
        self.kept: list[memoryview] = []

    async def execute(self, request: DetectionRequest) -> Detection:
        picture, guide = load(request.image), None if request.guide_image is None else load(request.guide_image)
        first = picture.pixels[0]
        for _ in range(first % 5):
            await asyncio.sleep(0.001)
        if first % 7 == 0:
            self.kept.append(picture.pixels)  # as who makes pictures for the page does
        seen = np.frombuffer(picture.pixels, np.uint8)
        data = {
            "seen": int(seen[0]), "whole": bool((seen == first).all()), "shape": list(picture.shape),
            "guide": None if guide is None else int(np.frombuffer(guide.pixels, np.uint8).max()),
        }  # fmt: skip
        return Detection("r-1", request.pid, "n", "1.0.0", "OK", "", data, 1.0)


class Served:
    def __init__(self, layout: StoreLayout) -> None:
        self.layout, self.plane, self.limits = layout, Looking(), BodyLimits()
        self.server = SocketServer(application(FakeStation(self.plane.execute), layout, self.limits), layout)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    layout = StoreLayout.at(tmp_path / "store")
    layout.run.mkdir(parents=True)
    found = Served(layout)
    await found.server.start()
    yield found
    await found.server.stop(1)
    assert found.limits.held == 0


def picture(number: int, rows: int = 700) -> np.ndarray:
    return np.full((rows, 400, 3), number, np.uint8)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def upload(number: int, **more: bytes) -> bytes:
    body, kind = form(image=npy(picture(number)), **more)
    assert len(body) > LARGE
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (_EXECUTE, kind.encode(), len(body)) + body


async def test_many_callers_see_their_own_pictures(served: Served) -> None:
    async def call(client: AsyncClient, number: int) -> None:
        guide = picture(255 - number) if number % 3 == 0 else None
        found = await client.execute("A01", picture(number, 600 + number), guide)
        expected = {"seen": number, "whole": True, "shape": [600 + number, 400, 3],
                    "guide": None if guide is None else 255 - number}  # fmt: skip
        assert found.data == expected

    async with AsyncClient(store=served.layout.root) as client:  # without run/images everything is uploaded
        for start in range(1, 81, 8):
            await asyncio.gather(*(call(client, number) for number in range(start, start + 8)))
    for kept in served.plane.kept:
        assert len(set(bytes(kept))) == 1


async def test_what_comes_behind_a_large_body_is_answered_in_its_turn(served: Served) -> None:
    with connect(served.layout.run) as connection:
        whole = upload(3) + upload(4) + post(b'{"nonsense"') + upload(5)

        def converse() -> list[tuple[bytes, bytes]]:
            connection.sendall(whole)
            return answers(connection, 4)

        found = [orjson.loads(body) for _, body in await asyncio.to_thread(converse)]
    assert [each.get("data", {}).get("seen", each.get("error", {}).get("code")) for each in found] == [3, 4, 1003, 5]


async def test_who_says_that_it_waits_for_a_word_gets_it(served: Served) -> None:
    whole = upload(6).replace(b"Host: x\r\n", b"Host: x\r\nExpect: 100-continue\r\n", 1)
    head, _, body = whole.partition(b"\r\n\r\n")
    with connect(served.layout.run) as connection:

        def converse() -> tuple[bytes, list[tuple[bytes, bytes]]]:
            connection.sendall(head + b"\r\n\r\n")
            word = connection.recv(25)
            connection.sendall(body)
            return word, answers(connection)

        word, found = await asyncio.to_thread(converse)
    assert word == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert orjson.loads(found[0][1])["data"]["seen"] == 6


async def test_who_leaves_or_stops_in_the_middle_leaves_nothing(served: Served) -> None:
    half = upload(7)[: LARGE * 2]
    with connect(served.layout.run) as leaving:
        await asyncio.to_thread(leaving.sendall, half)
        await until(lambda: served.limits.held > 0, "the body")
    await until(lambda: served.limits.held == 0, "the end of it")
    served.limits.patience = 0.2
    with connect(served.layout.run) as slow:
        await asyncio.to_thread(slow.sendall, half)
        ((head, _),) = await asyncio.to_thread(answers, slow)
    assert b" 408 " in head


async def test_a_buffer_is_used_again_only_when_nobody_looks_at_it() -> None:
    buffers = Buffers()
    first = buffers.take(LARGE)
    view = memoryview(first)
    buffers.give_soon(first)
    await asyncio.sleep(0)
    assert buffers.take(LARGE) is not first
    view.release()
    buffers.give_soon(first)
    await asyncio.sleep(0)
    again = buffers.take(LARGE - 100)
    assert again is first
    assert len(again) == LARGE - 100
