"""What waits for a shadow: how many calls, how many bytes, and that every picture is given back exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from controller.calls.aftermath import Ended
from controller.calls.mirror_queue import MirrorQueue, Shown
from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.images.formats import Picture
from controller.images.slots import Lease, Slots
from controller.model.comparison import Answer
from controller.model.package import PackageRef

REF = PackageRef("screw", "1.0.0")


def leased(slots: Slots, size: int = 100) -> Lease:
    lease = slots.lease(slots.put(Picture((size, 1), memoryview(bytes(size))), "image"))
    assert lease is not None
    return lease


def shown(slots: Slots, size: int = 100) -> Shown:
    """Return a call as the mirror has it wait: its follower has heard of it, and gives its own hold back."""
    image = leased(slots, size)
    answer = Detection("1", "A01", "screw", "1.0.0", "OK", "", {}, 1.0)
    call = Ended(DetectionRequest("A01", b"x"), "screw", REF, answer, image, None, 0.0)
    made = Shown(call, Answer("OK"))
    image.release()
    return made


def held(slots: Slots) -> int:
    return sum(slot.leased for each in slots._slots.values() for slot in each)


async def test_it_takes_so_many_calls_and_no_more(tmp_path: Path) -> None:
    slots, queue = Slots(tmp_path, "t"), MirrorQueue(most_calls=3)
    for _ in range(3):
        assert queue.has_room(100)
        queue.put(shown(slots))
    assert not queue.has_room(100)
    assert len(queue) == held(slots) == 3
    (await queue.take()).release()
    assert queue.has_room(100)
    assert held(slots) == 2


async def test_it_takes_so_many_bytes_but_always_one_call(tmp_path: Path) -> None:
    slots, queue = Slots(tmp_path, "t"), MirrorQueue(most_bytes=1000)
    assert queue.has_room(10**9), "a single picture may be larger than the bound"
    queue.put(shown(slots, 400))
    size = queue.bytes
    assert size > 400, "the header of the file counts too"
    queue.put(shown(slots, 400))
    assert queue.bytes == 2 * size
    assert not queue.has_room(400)
    first, second = await queue.take(), await queue.take()
    assert queue.bytes == 0
    for each in (first, second):
        each.release()
    assert held(slots) == 0


async def test_who_waits_for_a_call_gets_the_oldest_and_one_who_left_takes_none(tmp_path: Path) -> None:
    slots, queue = Slots(tmp_path, "t"), MirrorQueue()
    gone, waiting = asyncio.ensure_future(queue.take()), asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    first, second = shown(slots), shown(slots)
    queue.put(first)
    queue.put(second)
    assert await waiting is first
    assert await queue.take() is second
    assert len(queue) == 0


async def test_no_call_is_taken_before_the_line_is_at_work_or_quiet(tmp_path: Path) -> None:
    slots, queue = Slots(tmp_path, "t"), MirrorQueue(quiet=3600)
    waiting = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    first, second = shown(slots), shown(slots)
    queue.put(first)
    queue.put(second)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    queue.give()
    assert await waiting is first
    waiting = asyncio.ensure_future(queue.take())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done(), "the next one waits for its own moment"
    queue.give()
    assert await waiting is second


async def test_what_is_let_go_gives_every_picture_back(tmp_path: Path) -> None:
    slots, queue = Slots(tmp_path, "t"), MirrorQueue()
    for _ in range(4):
        queue.put(shown(slots))
    assert len(queue.clear()) == 4
    assert (len(queue), queue.bytes, held(slots)) == (0, 0, 0)
