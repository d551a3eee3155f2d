"""Pictures of forms land in files of `run/images`: whoever reads one sees its own picture, whatever others send."""

from __future__ import annotations

import asyncio
import fcntl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.client.slots import PREFIX
from controller.errors import CallError, Code
from controller.http.application import application
from controller.http.request_body import BodyLimits
from controller.http.server import SocketServer
from controller.http.whole_body import LARGE
from controller.images.formats import ImageRef, load
from controller.images.slots import Slots
from controller.images.uploads import LARGEST, Uploads
from controller.store.layout import StoreLayout
from tests.http.test_quick import answers, connect
from tests.http.test_whole_body import npy, picture
from tests.station.fake import FakeStation
from tests.waiting import until

_HEAD = b"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
_BOUNDARY = b"edge"


class Looking:
    """Answers what a process of a station would see, at the beginning and after others had their turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landed = 0
        self.held: list[Slots] = []
        self.gate: asyncio.Event | None = None

    def _pixels(self, process: Slots, source: object) -> np.ndarray:
        if isinstance(source, ImageRef):
            self.landed += 1
            return np.load(process.find(source).path, mmap_mode="r")
        seen = load(source)
        return np.frombuffer(seen.pixels, np.uint8).reshape(seen.shape)

    async def execute(self, request: DetectionRequest) -> Detection:
        process = Slots(self.folder, "1-0-token")
        pixels = self._pixels(process, request.image)
        guide = None if request.guide_image is None else self._pixels(process, request.guide_image)
        first = int(pixels.flat[0])
        if self.gate is not None:
            self.held.append(process)
            await self.gate.wait()
        for _ in range(first % 5):
            await asyncio.sleep(0.001)
        data = {
            "seen": first, "whole": bool((pixels == first).all()), "shape": list(pixels.shape),
            "guide": None if guide is None else int(guide.max()), "step": request.arguments.step_index,
        }  # fmt: skip
        process.let_go()
        if first == 99:
            raise CallError(Code.execute_exception, "it raised")
        return Detection("r-1", request.pid, "n", "1.0.0", "OK", "", data, 1.0)


class Served:
    def __init__(self, layout: StoreLayout) -> None:
        self.layout, self.plane, self.limits = layout, Looking(layout.images), BodyLimits()
        self.server = SocketServer(application(FakeStation(self.plane.execute), layout, self.limits), layout)

    @property
    def files(self) -> list[Path]:
        return list(self.layout.images.glob(f"{PREFIX}*"))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    layout = StoreLayout.at(tmp_path / "store")
    layout.images.mkdir(parents=True)
    found = Served(layout)
    await found.server.start()
    yield found
    await found.server.stop(1)
    assert found.limits.held == 0


def form(*parts: tuple[bytes, bytes]) -> bytes:
    """Return a form's body."""
    text = b"".join(b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (_BOUNDARY, *part)
                    for part in parts)  # fmt: skip
    return text + b"--%s--\r\n" % _BOUNDARY


def head(body: bytes, more: bytes = b"") -> bytes:
    return _HEAD % (b"multipart/form-data; boundary=" + _BOUNDARY, len(body), more)


def converse(served: Served, pieces: list[bytes], count: int = 1) -> list[dict[str, object]]:
    with connect(served.layout.run) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return [orjson.loads(body) for _, body in answers(connection, count)]


async def test_many_callers_see_their_own_pictures(served: Served) -> None:
    async def call(number: int) -> None:
        guide = npy(picture(255 - number)) if number % 3 == 0 else None
        body = form((b"image", npy(picture(number, 600 + number % 3))), *([(b"guide_image", guide)] if guide else []))
        (found,) = await asyncio.to_thread(converse, served, [head(body) + body])
        expected = {"seen": number, "whole": True, "shape": [600 + number % 3, 400, 3], "step": 1,
                    "guide": None if guide is None else 255 - number}  # fmt: skip
        assert found["data"] == expected

    for start in range(1, 61, 6):
        await asyncio.gather(*(call(number) for number in range(start, start + 6)))
    assert served.plane.landed == 60
    assert len(served.files) < 10


@pytest.mark.parametrize("cut", [1, 60, 150, 400, 9_000, 100_000])
@pytest.mark.parametrize("more", [b"", b"X-Way: long\r\nUpgrade: none\r\n"])
async def test_however_it_is_cut_up_the_form_is_the_same(served: Served, cut: int, more: bytes) -> None:
    body = form((b"request", b'{"step_index": 7}'), (b"guide_image", npy(picture(8))), (b"image", npy(picture(9))))
    start = head(body, more)
    pieces = [start, body[:cut], body[cut : cut + 3], body[cut + 3 :]]

    async def dribble() -> list[tuple[bytes, bytes]]:
        with connect(served.layout.run) as connection:
            for piece in pieces:
                await asyncio.to_thread(connection.sendall, piece)
                await asyncio.sleep(0.002)  # whether it comes in one piece or more makes no difference
            return await asyncio.to_thread(answers, connection)

    ((_, said),) = await dribble()
    found = orjson.loads(said)["data"]
    assert (found["seen"], found["guide"], found["step"], found["whole"]) == (9, 8, 7, True)
    assert served.plane.landed == 1


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(b"image", npy(picture(3)) + b"more than its header says")], None),
        ([(b"image", npy(picture(3))), (b"request", b'{"pixel_format": "RGB8"}')], None),
        ([(b"image", npy(picture(3))[:-7])], Code.image_load_failed),
        ([(b"picture", npy(picture(3)))], Code.invalid_params),
        ([(b"image", npy(picture(3))), (b"image", npy(picture(3)))], Code.invalid_params),
        ([(b"image", npy(picture(3))), (b"request", b'{"image_ref": "cam"}')], Code.invalid_params),
        ([(b"image", npy(picture(3).astype("<u2")))], Code.image_load_failed),
        ([(b"image", npy(picture(99)))], Code.execute_exception),
    ],
)
async def test_what_is_unusual_is_answered_as_before(
    served: Served, parts: list[tuple[bytes, bytes]], code: Code | None
) -> None:
    body = form(*parts)
    for more in (b"", b"Upgrade: none\r\n"):
        (found,) = await asyncio.to_thread(converse, served, [head(body, more) + body])
        if code is None:
            assert (found["data"]["seen"], found["data"]["whole"]) == (3, True)  # type: ignore[index]
        else:
            assert found["error"]["code"] == code  # type: ignore[index]


async def test_what_comes_behind_a_form_is_answered_in_its_turn(served: Served) -> None:
    bodies = [form((b"image", npy(picture(number)))) for number in (11, 12, 13)]
    found = await asyncio.to_thread(converse, served, [b"".join(head(body) + body for body in bodies)], 3)
    assert [each["data"]["seen"] for each in found] == [11, 12, 13]  # type: ignore[index]


async def test_who_leaves_leaves_no_file_behind_that_is_written_again(served: Served) -> None:
    body = form((b"image", npy(picture(21))))
    whole = head(body) + body
    with connect(served.layout.run) as leaving:  # in the middle of its picture
        await asyncio.to_thread(leaving.sendall, whole[: LARGE * 2])
        await until(lambda: len(served.files) == 1, "the file")
    await until(lambda: served.limits.held == 0, "the end of it")
    served.plane.gate = asyncio.Event()
    with connect(served.layout.run) as leaving:  # while the algorithm looks at it
        await asyncio.to_thread(leaving.sendall, whole)
        await until(lambda: len(served.plane.held) == 1, "the call")
    await until(lambda: served.limits.held == 0, "the end of it")
    seen = {path.name: path.read_bytes() for path in served.files}
    served.plane.gate = None
    other = form((b"image", npy(picture(22))))
    for _ in range(5):
        (found,) = await asyncio.to_thread(converse, served, [head(other) + other])
        assert found["data"]["seen"] == 22  # type: ignore[index]
    assert all((served.layout.images / name).read_bytes() == content for name, content in seen.items())
    served.plane.held[0].let_go()


async def test_a_file_that_is_tidied_away_costs_nobody_a_call(served: Served) -> None:
    body = form((b"image", npy(picture(31))))
    for _ in range(3):
        (found,) = await asyncio.to_thread(converse, served, [head(body) + body])
        assert found["data"]["seen"] == 31  # type: ignore[index]
        for path in served.files:
            path.unlink()


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


async def test_a_file_is_used_again_unless_somebody_looks_or_may(memory: Path) -> None:
    uploads = Uploads(memory)
    first = uploads.take(LARGE)
    assert first is not None
    first.show()
    process = Slots(memory, "1-0-token")
    first_path = memory / f"{first.id}.npy"
    first_path.write_bytes(npy(np.zeros((4, 4, 3), np.uint8)).ljust(LARGE))
    process.find(ImageRef(first.id))
    uploads.give_back(first, answered=True)
    second = uploads.take(LARGE)
    assert second is not None
    assert second is not first  # it is looked at
    uploads.give_back(second, answered=False)
    process.let_go()
    assert uploads.take(LARGE) is first
    third = uploads.take(LARGE)
    assert third is not None
    assert third is not second  # somebody may still look
    assert uploads.take(LARGEST + 1) is None
    for slot in (first, third):
        uploads.give_back(slot, answered=True)
    uploads._forget()
    assert not list(memory.iterdir())


async def test_only_so_many_are_used_at_once_and_none_without_a_folder(memory: Path) -> None:
    uploads = Uploads(memory)
    taken = [slot for _ in range(20) if (slot := uploads.take(LARGE)) is not None]
    assert len(taken) == 8
    for slot in taken:
        uploads.give_back(slot, answered=True)
    assert len(list(memory.iterdir())) == 4
    assert Uploads(memory / "nowhere").take(LARGE) is None


async def test_however_often_files_are_looked_through_it_is_done_once_later(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    slot = uploads.take(4096)
    assert slot is not None
    slot.show()
    uploads.give_back(slot, answered=False)
    with (tmp_path / f"{slot.id}.npy").open("rb") as adapter:
        fcntl.flock(adapter, fcntl.LOCK_SH)
        before = uploads._timer
        assert before is not None
        uploads._forget()
        assert before.cancelled()
        assert list(tmp_path.iterdir()), "somebody still looks at it"
    uploads._forget()
    assert not list(tmp_path.iterdir())
    uploads.close()
