"""Pictures of parts: each is that of its verdict, whatever the caller does with the file afterwards; else none."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import mmap
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controller.calls import gallery
from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.images import npy
from controller.images.formats import ImageRef
from controller.model.input import PictureInput
from controller.model.last_part import LastPart
from controller.station.commands.parts import GetLastParts, GetPicture, NoPicture
from controller.station.parts import last_parts, picture
from tests.calls.stations import Station, station
from tests.images.files import png, tiff
from tests.waiting import until

pytestmark = pytest.mark.real
LARGE = (1200, 1920, 3)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a picture of nearly every part."""
    monkeypatch.setattr(gallery, "EVERY", 0.0)
    monkeypatch.setattr(gallery, "APART", 0.0)


@contextlib.asynccontextmanager
async def looked_at(layout, *specs) -> AsyncIterator[Station]:
    async with station(layout, *specs) as opened:
        opened.plane.gallery.allow(pictures=True)
        last_parts(opened.plane, GetLastParts())
        await until(lambda: opened.plane.gallery._reducer.idle)
        yield opened


async def shown(opened: Station, pid: str = "A01") -> np.ndarray:
    """Return the pixels of the picture of a PID's last part, once it is there."""
    await until(lambda: part(opened, pid)["picture"] is not None)
    found = await picture(opened.plane, GetPicture(pid, part(opened, pid)["request_id"]))
    return pixels(found.content)


def part(opened: Station, pid: str = "A01") -> LastPart:
    return {each["pid"]: each for each in last_parts(opened.plane, GetLastParts())}[pid]


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def encoded(array: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def numbered(number: int) -> int:
    """Return the grey by which a picture is known, far enough from its neighbours' to survive JPEG."""
    return number % 24 * 10 + 10


def request(image, pid: str = "A01", **arguments) -> DetectionRequest:
    return DetectionRequest(pid, image, arguments=CallArguments(**arguments))


class Shared:
    """A host application's file in `run/images`, which it keeps mapped and writes over in place."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        header = npy.write_header(shape)
        self.ref = ImageRef("host")
        (folder / "host.npy").write_bytes(header + bytes(int(np.prod(shape))))
        with (folder / "host.npy").open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.pixels = np.frombuffer(self._map, np.uint8, offset=len(header))


async def test_what_is_shared_is_shown_as_the_algorithm_got_it_although_it_is_written_over_at_once(layout, make_spec):
    async with looked_at(layout, make_spec()) as opened:
        shared = Shared(layout.images, LARGE)
        numbers, seen = {}, set()
        for number in range(1000):
            shared.pixels[:] = numbered(number)
            work = [{"do": "sleep", "seconds": number % 4 * 0.02}]  # as good as at once, up to as slow as a model
            answer = await opened.plane.execute(request(shared.ref, guide_info=work))
            shared.pixels[:] = 0  # as soon as there is an answer, the file is the caller's again
            numbers[answer.request_id] = number
            row = part(opened)
            assert row["request_id"] == answer.request_id
            with contextlib.suppress(NoPicture):
                found = await picture(opened.plane, GetPicture("A01"))
                whole = pixels(found.content)
                seen.add(found.request_id)
                assert np.abs(whole.astype(int) - numbered(numbers[found.request_id])).max() <= 2
            if number >= 40 and len(seen) > 5:
                break
        assert len(seen) > 5


async def test_a_copy_that_is_late_is_no_picture(layout, make_spec):
    async with looked_at(layout, make_spec()) as opened:
        shared = Shared(layout.images, LARGE)
        process = opened.plane.gallery._reducer._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        shared.pixels[:] = 200
        first = await opened.plane.execute(request(shared.ref))
        shared.pixels[:] = 100
        os.kill(process.pid, signal.SIGCONT)
        await until(lambda: opened.plane.gallery._reducer.idle)
        assert part(opened)["request_id"] == first.request_id
        assert part(opened)["picture"] is None
        with pytest.raises(NoPicture):
            await picture(opened.plane, GetPicture("A01"))
        await opened.plane.execute(request(shared.ref, guide_info=[{"do": "sleep", "seconds": 0.3}]))
        assert np.abs((await shown(opened)).astype(int) - 100).max() <= 2


async def test_uploads_in_every_form_and_order_of_colours(layout, make_spec):
    async with looked_at(layout, make_spec()) as opened:
        red = np.full((480, 640, 3), (250, 20, 20), np.uint8)
        blue_first = np.ascontiguousarray(red[..., ::-1])
        file = io.BytesIO()
        np.save(file, red)
        uploads = [
            *((encoded(red, form), {}) for form in ("PNG", "JPEG", "BMP")),
            (encoded(red, "PNG"), {"color_space": "BGR"}),  # a PNG knows better
            (memoryview(file.getvalue()), {}),
            (red, {}), (blue_first, {"color_space": "BGR"}),
        ]  # fmt: skip
        for image, given in uploads:
            answer = await opened.plane.execute(request(image, **given))
            found = await shown(opened)
            assert part(opened)["picture"] == {"width": 640, "height": 480, "etag": f'"{answer.request_id}"'}
            assert np.abs(found[240, 320].astype(int) - (250, 20, 20)).max() <= 6
        await opened.plane.execute(request(np.full((480, 640), 77, np.uint8)))
        assert (await shown(opened)).shape == (480, 640)


async def test_a_converted_picture_is_shown_as_the_algorithm_got_it(layout, make_spec):
    wanted = PictureInput(depth="shift", exif="apply", bayer="RGGB")
    async with looked_at(layout, make_spec()) as opened:
        opened.serve("A01", input=wanted)
        red = np.full((48, 64, 3), (250, 20, 20), np.uint8)
        mosaic = np.full((48, 64), 20, np.uint8)
        mosaic[::2, ::2] = 250
        exif, turned = Image.Exif(), io.BytesIO()
        exif[274] = 6
        Image.fromarray(red).save(turned, "JPEG", exif=exif)
        for upload, given, shape in (
            (png(red.astype(np.uint16) << 8), {}, (48, 64, 3)), (tiff(red, orientation=6), {}, (64, 48, 3)),
            (turned.getvalue(), {}, (64, 48, 3)), (mosaic, {}, (48, 64, 3)),
            (mosaic.astype(np.uint16) << 4, {"pixel_format": "BayerRG12"}, (48, 64, 3)),
        ):  # fmt: skip
            await opened.plane.execute(request(upload, **given))
            found = await shown(opened)
            assert found.shape == shape
            assert np.abs(found[24, 32].astype(int) - (250, 20, 20)).max() <= 6


async def test_parts_that_came_to_nothing_have_pictures_too_and_others_none(layout, make_spec):
    async with looked_at(layout, make_spec()) as opened:
        image = np.full((48, 64, 3), 90, np.uint8)
        failed = [{"do": "error", "message": "no memory", "code": "1009"}]
        with contextlib.suppress(Exception):
            await opened.plane.execute(request(image, guide_info=failed))
        assert (await shown(opened)).shape == (48, 64, 3)
        assert part(opened)["verdict"] == "FAILED"
        old = part(opened)["request_id"]
        for _ in range(gallery.SUPERSEDED):
            await opened.plane.execute(request(image))
            await shown(opened)
        assert (await picture(opened.plane, GetPicture("A01", old))).request_id == old
        await opened.plane.execute(request(image))
        await shown(opened)
        with pytest.raises(NoPicture) as caught:
            await picture(opened.plane, GetPicture("A01", old))
        assert caught.value.gone
        with pytest.raises(NoPicture) as caught:
            await picture(opened.plane, GetPicture("Z99"))
        assert not caught.value.gone


async def test_switched_off_and_unseen_there_are_none(layout, make_spec, monkeypatch):
    async with looked_at(layout, make_spec()) as opened:
        image = np.full((48, 64, 3), 90, np.uint8)
        await opened.plane.execute(request(image))
        await shown(opened)
        process = opened.plane.gallery._reducer._process
        opened.plane.gallery.allow(pictures=False)
        await until(lambda: part(opened)["picture"] is None)
        assert process is not None
        await process.wait()
        await opened.plane.execute(request(image))
        assert not opened.plane.gallery.wanted
        with pytest.raises(NoPicture):
            await picture(opened.plane, GetPicture("A01"))
        opened.plane.gallery.allow(pictures=True)
        assert opened.plane.gallery.wanted
        monkeypatch.setattr(gallery, "LOOKED_AT", 0.0)
        opened.plane.gallery.tend()
        assert not opened.plane.gallery.wanted


async def test_a_process_that_was_killed_takes_its_pictures_along_and_no_call(layout, make_spec):
    async with looked_at(layout, make_spec()) as opened:
        image = np.full((48, 64, 3), 90, np.uint8)
        await opened.plane.execute(request(image))
        await shown(opened)
        process = opened.plane.gallery._reducer._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: part(opened)["picture"] is None)
        await opened.plane.execute(request(image))
        assert part(opened)["picture"] is None


async def test_memory_that_is_short_is_left_alone(layout, make_spec):
    short = [False]
    async with looked_at(layout, make_spec()) as opened:
        opened.plane.gallery._short = lambda: short[0]
        image = np.full((48, 64, 3), 90, np.uint8)
        for state in (True, False):
            short[0] = state
            opened.plane.gallery.tend()
            assert opened.plane.gallery.wanted is not state
        first = await opened.plane.execute(request(image))
        await shown(opened)
        short[0] = True
        opened.plane.gallery.tend()
        await opened.plane.execute(request(image))
        assert part(opened)["picture"] is None
        assert (await picture(opened.plane, GetPicture("A01"))).request_id == first.request_id


async def test_a_pid_has_its_turn_and_the_station_too(layout, make_spec, monkeypatch):
    monkeypatch.setattr(gallery, "EVERY", 1000.0)
    async with looked_at(layout, make_spec()) as opened:
        image = np.full((48, 64, 3), 90, np.uint8)
        for pid in ("A01", "A02"):
            await opened.plane.execute(dataclasses.replace(request(image), pid=pid))
            await shown(opened, pid)
            await opened.plane.execute(dataclasses.replace(request(image), pid=pid))
        monkeypatch.setattr(gallery, "EVERY", 0.0)
        assert {each["pid"]: each["picture"] for each in last_parts(opened.plane, GetLastParts())} == {
            "A01": None,
            "A02": None,
        }
