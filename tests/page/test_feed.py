"""One feed for everybody: what it asks of the station, what viewers are sent, and what it says when it is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.page.feed import Feed, Message
from controller.page.looks import Look
from controller.page.reading import StationReader
from controller.station.commands.status import GetStatus
from controller.station.port import Access
from tests.page.made_up import MadeUpStation, part


class Counted(MadeUpStation):
    """Counts how often it was asked for its status."""

    def __init__(self) -> None:
        super().__init__(16)
        self.asked = 0

    async def execute(self, command: Any, caller: Any, report: Any = None) -> Any:
        self.asked += isinstance(command, GetStatus)
        return await super().execute(command, caller)


@pytest.fixture
async def feed() -> AsyncIterator[tuple[Feed, Counted]]:
    station = Counted()
    made = Feed(StationReader(station))
    yield made, station
    await made.close()


async def until(messages: AsyncIterator[Message], text: str) -> Message:
    """Return the first update that has a text in it."""
    async with asyncio.timeout(30):
        async for message in messages:
            if message.event == "update" and text in message.data:
                return message
    raise AssertionError(text)


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
