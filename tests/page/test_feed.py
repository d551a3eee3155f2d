"""One feed for everybody: what it asks of the station, what viewers are sent, and what it says when it is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from controller.page.about import Watched
from controller.page.feed import Feed, Message
from controller.page.looks import Look
from controller.page.reading import StationReader
from controller.station.commands.records import GetHistory
from controller.station.commands.status import GetStatus
from controller.station.port import Access
from tests.page.made_up import MadeUpStation, part, record
from tests.waiting import HANGS


class Counted(MadeUpStation):
    """Counts how often it was asked for its status."""

    def __init__(self) -> None:
        super().__init__(16)
        self.asked = 0
        self.heard: Callable[[type], None] = lambda _: None

    async def execute(self, command: Any, caller: Any, report: Any = None) -> Any:
        self.asked += isinstance(command, GetStatus)
        self.heard(type(command))
        return await super().execute(command, caller)


@pytest.fixture
async def feed() -> AsyncIterator[tuple[Feed, Counted]]:
    station = Counted()
    made = Feed(StationReader(station))
    yield made, station
    await made.close()


async def until(messages: AsyncIterator[Message], text: str) -> Message:
    """Return the first update that has a text in it."""
    async with asyncio.timeout(HANGS):
        async for message in messages:
            if message.event == "update" and text in message.data:
                return message
    raise AssertionError(text)


def test_words_of_strangers_make_no_event_of_their_own() -> None:
    sent = Message("update", "<p>bad\r\revent: beat\rdata: {}\r\nretry: 9</p>\n", "life-1").encoded().decode()

    data = ("<p>bad", "", "event: beat", "data: {}", "retry: 9</p>", "")
    assert sent == "event: update\nid: life-1\n" + "".join(f"data: {line}\n" for line in data) + "\n"


async def test_a_change_is_sent_alone_and_every_viewer_gets_the_same(feed: tuple[Feed, Counted]) -> None:
    made, station = feed
    look = await made.look("en", Access.operator)
    place, before = made.place(), station.asked
    viewers = [made.follow(look, "station", place) for _ in range(5)]
    station.parts["A01"] = part("A01", "NG", "1.0.0", request_id="new", message="a new scratch")
    made.wake()

    sent = await asyncio.gather(*(until(each, "a new scratch") for each in viewers))

    assert len(set(sent)) == 1
    assert 'hx-swap-oob="morph" id="pid-A01"' in sent[0].data
    assert 'id="pid-B01"' not in sent[0].data
    assert station.asked <= before + 3
    for each in viewers:
        await each.aclose()  # type: ignore[attr-defined]


async def test_who_comes_back_gets_what_was_missed_and_who_comes_from_elsewhere_gets_all(
    feed: tuple[Feed, Counted],
) -> None:
    made, station = feed
    look = await made.look("en", Access.viewer)
    place = made.place()
    station.parts["B01"] = part("B01", "ERROR", "1.0.0", message="it raised")
    made.wake()
    await until(made.follow(look, "station", place), "it raised")

    missed = await until(made.follow(look, "station", place), "it raised")
    everything = await until(made.follow(look, "station", "another-life-7"), "it raised")
    elsewhere = look.message("packages", -1)

    assert 'id="pid-A03"' not in missed.data
    assert 'id="pid-A03"' in everything.data
    assert 'id="banner"' in elsewhere
    assert 'id="pid-A03"' not in elsewhere


async def test_a_station_that_does_not_answer_is_said_and_so_is_its_return(feed: tuple[Feed, Counted]) -> None:
    made, station = feed
    look = await made.look("en", Access.viewer)
    messages = made.follow(look, "station", made.place())
    station.silent = True
    made.wake()
    cut = await until(messages, 'data-state="cut"')
    station.silent = False
    back = await until(messages, 'data-state="rolled-back"')

    assert "has not answered since" in cut.data
    assert made.snapshot.cut_since is None
    assert 'id="banner"' in back.data


async def test_a_station_that_never_answered_is_shown_as_cut_off() -> None:
    station = Counted()
    station.silent = True
    made = Feed(StationReader(station))
    look: Look = await made.look("de", Access.viewer)

    assert 'data-state="cut"' in look.html("banner")
    assert look.html("packages") == ""
    await made.close()


async def test_the_page_of_a_pid_follows_what_is_done_about_it(feed: tuple[Feed, Counted]) -> None:
    made, station = feed
    look = await made.look("en", Access.operator)
    following = made.follow(look, "pid-A01", made.place())
    await until(following, 'id="about-A01"')

    station.document["pids"][0] |= {"held": True}
    station.records = [record(700, "rollback", "pid/A01", "succeeded", reason="scratches are missed")]
    made.wake()
    sent = await until(following, "scratches are missed")

    assert "Held on 1.0.0 by ann" in sent.data
    assert "/page/acts/resume?subject=A01&amp;kind=pid" in sent.data
    assert 'id="about-A02"' not in sent.data
    assert "about-A01" not in look.message("station", -1)
    await following.aclose()  # type: ignore[attr-defined]


async def test_a_pid_is_read_anew_only_when_something_was_done_about_it_and_once_for_all_who_look() -> None:
    station = Counted()
    watched, asked = Watched(StationReader(station)), []
    station.heard = asked.append

    async def read() -> int:
        asked.clear()
        await watched.read(station.document)  # type: ignore[arg-type]
        return asked.count(GetHistory)

    assert await read() == 0
    with watched.by_viewer("A01"), watched.by_viewer("A01"), watched.by_viewer("B01"), watched.by_viewer("none"):
        assert await read() == 2
        assert await read() == 0
        for object_, times in (("pid/A02", 0), ("pid/A01", 1), ("deployment/screw-check", 2), ("token/x", 0), ("", 2)):
            watched.touch(object_)
            assert await read() == times, object_
        station.document["pids"][0]["target_version"] = "9.9.9"
        assert await read() == 1
        station.silent = True
        watched.touch("pid/A01")
        assert await read() == 0
        assert watched.behind
        station.silent = False
        assert await read() == 1
        assert not watched.behind
    assert await read() == 0
    assert await watched.read(station.document) == {}  # type: ignore[arg-type]
