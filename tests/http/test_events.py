"""`GET /v1/events`: server-sent events over the socket."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controller.errors import Code
from tests.http.conftest import ServedStation
from tests.waiting import HANGS, until


class EventReader:
    """Reads an answer that goes on. `head` is its status line and headers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.head = b""
        self.comments = 0
        self.last = ""
        self.retry = ""

    async def next(self) -> dict[str, Any]:
        """Return the next event; what is no event is noted."""
        found: dict[str, str] = {}
        while True:
            line = (await self._line()).decode().rstrip("\r\n")
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif line and name in {"id", "event", "data", "retry"}:
                found[name] = value
            self.last = found.get("id", self.last)
            self.retry = found.get("retry", self.retry)
            if not line and "data" in found:
                return {**found, "data": json.loads(found["data"])}
            if not line:
                found = {}

    async def _line(self) -> bytes:
        async with asyncio.timeout(HANGS):
            line = await self._reader.readline()
        assert line, "the answer ended"
        return line

    async def ended(self) -> bytes:
        """Return what is left, once it has ended."""
        async with asyncio.timeout(HANGS):
            return await self._reader.read()


@asynccontextmanager
async def following(socket: Path, target: str = "/v1/events", **headers: str) -> AsyncIterator[EventReader]:
    """Have an answer that goes on; HTTP/1.0, so that it comes as it is."""
    folder = os.open(socket.parent, os.O_RDONLY)
    try:
        streams = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{socket.name}")
    finally:
        os.close(folder)
    reader = EventReader(*streams)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader.writer.write(f"GET {target} HTTP/1.0\r\nHost: station\r\n{more}\r\n".encode())
    try:
        reader.head = await streams[0].readuntil(b"\r\n\r\n")
        yield reader
    finally:
        reader.writer.close()


async def test_events_are_followed_and_gone_on_with_after_a_cut(station: ServedStation) -> None:
    events = station.fake.events
    async with following(station.layout.socket) as reader:
        assert b"200 OK" in reader.head
        assert b"content-type: text/event-stream" in reader.head.lower()
        events.publish("status", {"converged": True})
        events.publish("audit", {"seq": 7, "reason": "two\nlines"})
        first, second = await reader.next(), await reader.next()
    assert first == {"id": "fake-1", "event": "status", "data": {"converged": True}}
    assert second == {"id": "fake-2", "event": "audit", "data": {"seq": 7, "reason": "two\nlines"}}
    assert (reader.retry, reader.last) == ("2000", "fake-2")
    events.publish("parts", [])
    events.publish("operation", {"id": "o1"})

    async with following(station.layout.socket, **{"Last-Event-ID": "fake-2"}) as reader:
        assert [(await reader.next())["id"] for _ in range(2)] == ["fake-3", "fake-4"]
    async with following(station.layout.socket, "/v1/events?kinds=operation&last_event_id=fake-0") as reader:
        assert (await reader.next())["event"] == "operation"
    async with following(station.layout.socket, **{"Last-Event-ID": "earlier-9"}) as reader:
        reset = await reader.next()
    assert (reset["event"], reset["id"]) == ("reset", "fake-4")


async def test_a_quiet_station_gives_signs_of_life_and_a_name_to_go_on_from(station: ServedStation) -> None:
    station.fake.events.publish("status", {})

    async with following(station.layout.socket) as reader:
        waiting = asyncio.create_task(reader.next())
        await until(lambda: reader.comments > 2)
        assert reader.last == "fake-1"
        station.fake.events.publish("audit", {})
        assert (await waiting)["id"] == "fake-2"


async def test_readers_are_limited_and_one_that_leaves_is_noticed(station: ServedStation) -> None:
    async with following(station.layout.socket), following(station.layout.socket):
        reply = await station.ask("GET", "/v1/events")
        assert (reply.status, reply.error["code"]) == (429, Code.busy)
        assert int(reply.headers["retry-after"]) >= 1

    async def free() -> bool:
        async with following(station.layout.socket) as reader:
            return b"200 OK" in reader.head

    while not await free():
        await asyncio.sleep(0.01)
    assert (await station.ask("GET", "/v1/events?kinds=nothing")).status == 400
    assert (await station.ask("HEAD", "/v1/events")).status == 200


async def test_a_reader_that_does_not_read_is_told_reset_and_keeps_nobody_waiting(station: ServedStation) -> None:
    events = station.fake.events
    async with following(station.layout.socket) as slow, following(station.layout.socket) as quick:
        for number in range(2000):
            events.publish("audit", {"number": number, "text": "x" * 2000})
            if number % 50 == 0:
                await quick.next()
                assert (await station.ask("GET", "/v1/status")).status == 200
        kinds = [(await slow.next())["event"]]
        while kinds[-1] != "reset":
            kinds.append((await slow.next())["event"])
        assert set(kinds[:-1]) <= {"audit"}
        events.publish("operation", {})
        assert (await slow.next())["event"] == "operation"
