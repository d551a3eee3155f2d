"""The log of events: everybody reads it at their own pace, and is told where something is missing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from controller.errors import Code, CodedError
from controller.station.commands.events import Event, FollowEvents
from controller.station.events import EventLog, Subscription

NEVER = 3600.0


def log() -> EventLog:
    return EventLog("4f-a", heartbeat=NEVER)


async def take(subscription: Subscription, count: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        found += (await anext(subscription)).events
    return found


async def test_events_are_told_in_their_order_whichever_thread_they_come_from() -> None:
    events = log()
    subscription = events.subscribe()

    def publish(thread: int) -> None:
        for number in range(200):
            events.publish("audit", {"thread": thread, "number": number})

    threads = [threading.Thread(target=publish, args=(each,)) for each in range(3)]
    for each in threads:
        each.start()
    found = await take(subscription, 600)
    for each in threads:
        await asyncio.to_thread(each.join)

    assert [each.id for each in found] == [f"4f-a-{number}" for number in range(1, 601)]
    told = [each.to_document()["data"] for each in found]
    for thread in range(3):
        assert [each["number"] for each in told if each["thread"] == thread] == list(range(200))


async def test_a_reader_goes_on_after_the_event_that_it_had_last() -> None:
    events = log()
    for number in range(5):
        events.publish("status", {"number": number})

    found = await take(events.subscribe("4f-a-3"), 2)

    assert [each.id for each in found] == ["4f-a-4", "4f-a-5"]
    assert (await anext(events.subscribe())).last == "4f-a-5"
    assert (await anext(events.subscribe("4f-a-5"))).events == ()


@pytest.mark.parametrize("last", ["4e-a-3", "4f-a-6", "4f-a-x", "4f-a-", "nonsense", "4f-a-²", "4f-a-" + "9" * 400])
async def test_what_names_no_event_of_this_life_is_answered_with_reset(last: str) -> None:
    events = log()
    events.publish("status", {})
    subscription = events.subscribe(last)

    batch = await anext(subscription)
    events.publish("audit", {})

    assert [(each.id, each.kind) for each in batch.events] == [("4f-a-1", "reset")]
    assert [each.id for each in await take(subscription, 1)] == ["4f-a-2"]


async def test_a_reader_that_is_too_slow_is_told_reset_and_what_comes_often_drives_out_nothing_else() -> None:
    events = log()
    events.publish("audit", {"seq": 1})
    slow, patient = events.subscribe("4f-a-0"), events.subscribe("4f-a-0", ["audit"])

    for number in range(1000):
        events.publish("parts", [{"pid": "A01", "number": number}])

    assert [each.kind for each in (await anext(slow)).events] == ["reset"]
    assert [each.kind for each in (await anext(patient)).events] == ["audit"]
    events.publish("operation", {"id": "o1"})
    assert [each.kind for each in await take(slow, 1)] == ["operation"]


async def test_large_events_come_in_several_batches_and_few_of_them_are_kept() -> None:
    events = log()
    for number in range(40):
        events.publish("audit", {"number": number, "after": "x" * 30_000})

    subscription = events.subscribe("4f-a-30")
    batches = [len((await anext(subscription)).events) for _ in range(5)]

    assert batches == [2, 2, 2, 2, 2]
    assert [each.kind for each in (await anext(events.subscribe("4f-a-5"))).events] == ["reset"]


async def test_readers_are_limited_and_who_leaves_makes_room() -> None:
    events = EventLog("4f", subscribers=2, heartbeat=0.01)
    first, _ = events.subscribe(), events.subscribe()

    with pytest.raises(CodedError) as caught:
        events.subscribe()
    await first.aclose()
    await first.aclose()

    assert caught.value.code == Code.busy
    third = events.subscribe()
    assert [(await anext(third)).events for _ in range(3)] == [(), (), ()], "signs of life"
    with pytest.raises(CodedError):
        events.subscribe()


async def test_every_reader_ends_with_the_daemon_and_has_all_that_was_told() -> None:
    events = log()
    subscription = events.subscribe()
    await anext(subscription)
    reading = asyncio.create_task(take(subscription, 3))

    await asyncio.sleep(0)
    events.publish("status", {"number": 1})
    events.close()

    with pytest.raises(StopAsyncIteration):
        await anext(subscription) and await anext(subscription)
    reading.cancel()


def test_kinds_that_there_are_not_are_refused() -> None:
    assert FollowEvents(kinds="audit,status").wanted == ("status", "audit")
    assert FollowEvents().wanted == ("status", "audit", "operation", "parts")
    for wrong in ("reset", "status,audits"):
        with pytest.raises(CodedError, match="is no kind of event"):
            FollowEvents(kinds=wrong)
