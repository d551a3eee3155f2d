"""Decoding: bounded by the sum of pixels, large pictures one after the other, and never in a small one's way."""

from __future__ import annotations

import asyncio
import io
import threading

import numpy as np
import pytest
from PIL import Image

from controller.calls import pictures
from controller.calls.pictures import PictureRoom
from controller.calls.request import DetectionRequest
from controller.errors import CallError, Code
from controller.images.formats import ImageSource, Picture, Reading, load
from tests.waiting import HANGS, until


def png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 7, np.uint8)).save(file, "png")
    return file.getvalue()


async def decoded(room: PictureRoom, image: ImageSource) -> Picture:
    with room.share() as held:
        found = (await held.load(DetectionRequest("A01", image))).image
    assert isinstance(found, Picture)
    return found


class Gate:
    """`load`, which waits for `opened` where the picture is large, and counts how many are inside."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside = self.most_inside = 0

    def load(self, source: ImageSource, what: str, *, most: int, reading: Reading) -> Picture:
        picture = load(source, what, most=most, reading=reading)  # leaves where it is large and was not reserved
        if picture.shape[0] > 50:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            assert self.opened.wait(HANGS)
            self.inside -= 1
        return picture


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found = Gate()
    monkeypatch.setattr(pictures, "load", found.load)
    return found


async def test_large_pictures_are_decoded_one_after_the_other_and_small_ones_beside_them(gate: Gate) -> None:
    room = PictureRoom("", large=1000)
    large = [asyncio.create_task(decoded(room, png(100, 100))) for _ in range(4)]
    await until(lambda: gate.inside)
    assert (await decoded(room, png(10, 10))).shape == (10, 10, 3)
    gate.opened.set()
    assert {(await each).shape for each in large} == {(100, 100, 3)}
    assert gate.most_inside == 1
    assert room.held == 0


async def test_the_sum_of_pixels_that_wait_has_a_bound_and_what_ended_gives_it_back() -> None:
    room = PictureRoom("", total=70_000, large=1000)
    first, second = room.share(), room.share()
    with first, second:
        await first.load(DetectionRequest("A01", png(100, 100)))
        await second.load(DetectionRequest("A01", png(100, 100), png(10, 10)))
        with pytest.raises(CallError, match=r"decoded pictures of 0 MiB wait already.*call again later") as caught:
            await decoded(room, png(100, 100))
        assert caught.value.code is Code.busy
        assert room.held == 60_300
    assert (await decoded(room, png(100, 100))).shape == (100, 100, 3)
    assert room.held == 0


async def test_a_large_picture_without_room_is_refused_before_it_is_decoded(gate: Gate) -> None:
    with pytest.raises(CallError):
        await decoded(PictureRoom("", total=1000, large=1000), png(100, 100))
    assert gate.most_inside == 0


@pytest.mark.parametrize("convert", ["L", "RGB", "P", "1"])
def test_pixels_are_the_same_strip_by_strip(monkeypatch: pytest.MonkeyPatch, convert: str) -> None:
    monkeypatch.setattr("controller.images.formats.files._STRIP", 1000)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (77, 91, 3), dtype=np.uint8)).convert(convert)
    file = io.BytesIO()
    image.save(file, "png")
    plain = image.convert("L" if convert in {"L", "1"} else "RGB")
    found = load(file.getvalue())
    assert found.shape == np.asarray(plain).shape
    assert bytes(found.pixels) == plain.tobytes()
