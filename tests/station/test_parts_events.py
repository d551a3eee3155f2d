"""Events of parts: what changed, once, the latest of each PID; and a picture is seen together with its verdict."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from controller.calls import gallery
from controller.station.commands.parts import GetLastParts
from controller.station.events import EventLog, Subscription
from controller.station.parts import FRESH, last_parts
from controller.station.parts_events import PartsEvents
from tests.calls.stations import station
from tests.calls.test_gallery import request
from tests.processes.conftest import layout, make_spec
from tests.waiting import until

pytestmark = pytest.mark.real
__all__ = ["layout", "make_spec"]
IMAGE = np.full((48, 64, 3), 90, np.uint8)


async def told(subscription: Subscription) -> list[dict[str, Any]]:
    batch = await anext(subscription)
    return [row for event in batch.events for row in event.to_document()["data"]]


async def test_the_latest_part_of_each_pid_is_told_once_and_only_while_somebody_follows(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        events = EventLog("life")
        parts = PartsEvents(opened.plane, events)
        await opened.call()
        parts.look(0.0)
        assert not opened.plane.gallery.wanted
        subscription = events.subscribe(kinds=["parts"])
        opened.plane.gallery.allow(pictures=True)
        parts.look(1.0)
        assert opened.plane.gallery.wanted
        assert [row["pid"] for row in await told(subscription)] == ["A01"]
        answers = [await opened.call(pid) for pid in ("A02", "A01", "A02")]
        parts.look(2.0)
        parts.look(3.0)
        events.publish("parts", [])
        assert {row["request_id"] for row in await told(subscription)} == {each.request_id for each in answers[1:]}
        await subscription.aclose()
        assert not events.wants("parts")


async def test_a_part_with_its_picture_stands_for_a_moment_where_parts_come_fast(layout, make_spec, monkeypatch):
    monkeypatch.setattr(gallery, "EVERY", 1000.0)
    async with station(layout, make_spec()) as opened:
        events = EventLog("life")
        subscription, parts = events.subscribe(kinds=["parts"]), PartsEvents(opened.plane, events)
        opened.plane.gallery.allow(pictures=True)
        parts.look(0.0)
        await until(lambda: opened.plane.gallery._reducer.idle)
        first = await opened.plane.execute(request(IMAGE))
        parts.look(time.time())
        await until(lambda: opened.plane.gallery.latest("A01") is not None)
        at = opened.plane.parts.latest()[0].at
        second = await opened.plane.execute(request(IMAGE))  # a picture of it would come too soon
        (shown,), (last,) = (last_parts(opened.plane, GetLastParts(pictured=each)) for each in (True, False))
        assert (shown["request_id"], last["request_id"]) == (first.request_id, second.request_id)
        parts.look(at + FRESH / 2)
        seen = [(row["request_id"], row["picture"] is not None) for row in await told(subscription)]
        assert seen[-1] == (first.request_id, True)
        parts.look(at + FRESH)
        seen = [(row["request_id"], row["picture"] is not None) for row in await told(subscription)]
        assert seen == [(second.request_id, False)]
