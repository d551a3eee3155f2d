"""One feed for everybody who looks: it asks the station when something changed there, and never because of a viewer.

While nobody looks, it sleeps. When the station does not answer, it says since when, and goes on trying.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import NamedTuple

import orjson

from controller.errors import ControllerError
from controller.model.status_document import StatusDocument
from controller.page.about import Watched
from controller.page.fragments import PID, fragments
from controller.page.looks import Look
from controller.page.reading import StationReader
from controller.page.snapshot import Sample, Snapshot
from controller.station.port import Access

log = logging.getLogger(__name__)

_LINE_END = re.compile("\r\n|\r|\n")

_BETWEEN = 1.0
"""The least time between two looks at the station."""
_RESYNC = 5.0
"""Seconds after which the station is looked at although it told nothing."""
_PATIENCE = 5.0
"""Seconds that an answer may take before the station counts as silent."""
BEAT = 2.0
"""Seconds between two signs of life to a viewer; the browser says that it is cut off after three that did not come."""
_IDLE = 60.0
"""Seconds that the feed goes on without a viewer."""
_KEPT = 120
_EVERY = 5.0
"""Samples that are kept of each meter, and the least seconds between two."""


class Message(NamedTuple):
    """What a viewer is sent: a Server-Sent Event."""

    event: str
    data: str
    id: str = ""

    def encoded(self) -> bytes:
        """Return its bytes. What ends a line in an event may stand in a stranger's words, and must end none."""
        lines = "".join(f"data: {line}\n" for line in _LINE_END.split(self.data))
        return f"event: {self.event}\n{f'id: {self.id}' + chr(10) if self.id else ''}{lines}\n".encode()


class Feed:
    """What is known of a station, and who looks at it."""

    def __init__(self, reader: StationReader, now: Callable[[], float] = time.time) -> None:
        self.snapshot = Snapshot()
        self.viewers = 0
        self._reader = reader
        self._watched = Watched(reader)
        self._now = now
        self._life = f"{int(now() * 1000):x}"
        self._turns = itertools.count(1)
        self._turn = 0
        self._looks: dict[tuple[str, Access], Look] = {}
        self._published = asyncio.Condition()
        self._wake = asyncio.Event()
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_viewer = now()

    async def current(self) -> Snapshot:
        """Return what is known of the station now."""
        await self._awake()
        return self.snapshot

    async def look(self, language: str, access: Access) -> Look:
        """Return what viewers of a language and an access see, as it is now."""
        await self._awake()
        key = (language, access)
        if key not in self._looks:
            self._looks[key] = made = Look(language, access)
            made.take(fragments(self.snapshot), self._turn)
        return self._looks[key]

    def wake(self) -> None:
        """Look at the station soon: something was just asked of it."""
        self._wake.set()

    def place(self) -> str:
        """Return where the feed is, for a page that is rendered now and goes on from there."""
        return f"{self._life}-{self._turn}"

    async def follow(self, look: Look, scope: str, place: str) -> AsyncIterator[Message]:
        """Yield what brings a page that was made at a place up to date and keeps it so, and beats in between."""
        life, _, turn = place.rpartition("-")
        seen = int(turn) if life == self._life and turn.isdecimal() else -1
        self.viewers += 1
        watching = ExitStack()
        if scope.startswith(PID):
            watching.enter_context(self._watched.by_viewer(scope.removeprefix(PID)))
            self.wake()
        try:
            while True:
                html, seen = look.message(scope, seen), look.turn
                if html:
                    yield Message("update", html, f"{self._life}-{seen}")
                yield self._beat()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT), self._published:
                        await self._published.wait()
                await self._awake()
        finally:
            watching.close()
            self.viewers -= 1
            self._last_viewer = self._now()

    async def close(self) -> None:
        """End the feed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _beat(self) -> Message:
        told = {"now": self._now(), "asOf": self.snapshot.as_of, "cut": self.snapshot.cut_since is not None}
        return Message("beat", orjson.dumps(told).decode())

    async def _awake(self) -> None:
        """See that the feed runs and has looked at the station at least once, or found that it does not answer.

        Where it ended in a defect, that is raised here: its viewers are cut off, and say so.
        """
        if self._task is None or self._task.done():
            self._first.clear()
            self._last_viewer = self._now()
            self._task = asyncio.create_task(self._run(), name="feed of the page")
        if not self._first.is_set():
            begun = asyncio.create_task(self._first.wait())
            await asyncio.wait({begun, self._task}, return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
            if self._task.done():
                self._task.result()

    async def _run(self) -> None:
        listening = asyncio.create_task(self._listen(), name="events for the page")
        try:
            while self.viewers or self._now() - self._last_viewer < _IDLE:
                self._wake.clear()
                await self._publish(await self._observed())
                self._first.set()
                if self._watched.behind:
                    self.wake()
                await asyncio.sleep(_BETWEEN)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BETWEEN if self.snapshot.cut_since else _RESYNC):
                        await self._wake.wait()
        finally:
            listening.cancel()
            self._looks.clear()

    async def _listen(self) -> None:
        """Wake the feed whenever the station tells that something changed."""
        while True:
            with suppress(ControllerError, OSError):
                async for acted_on in self._reader.changes():
                    if acted_on is not None:
                        self._watched.touch(acted_on)
                    self._wake.set()
            self._watched.touch()  # the stream ended: is the station still there, and what happened meanwhile?
            self._wake.set()
            await asyncio.sleep(_BETWEEN)

    async def _observed(self) -> Snapshot:
        before = self.snapshot
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._reader.status()
                parts, details = await self._reader.parts(), await self._reader.deployments()
        except (ControllerError, OSError, TimeoutError) as error:
            if before.cut_since is None:
                log.warning("the page is cut off from the station: %s", error or "no answer in time")
            return replace(before, cut_since=before.cut_since or self._now())
        now = self._now()
        daemon = status.get("daemon")
        pictured = now if any(each["picture"] for each in parts) else before.pictured
        return Snapshot(
            status,
            {each["pid"]: each for each in parts},
            {each["name"]: each for each in details},
            _trends(before, status, now),
            now - (daemon["age_s"] if daemon else 0.0),
            pictured,
            about=await self._watched.read(status),
        )

    async def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        found, self._turn = fragments(snapshot), next(self._turns)
        for look in self._looks.values():
            look.take(found, self._turn)
        async with self._published:
            self._published.notify_all()


def _trends(before: Snapshot, status: StatusDocument, now: float) -> dict[tuple[str, str], tuple[Sample, ...]]:
    """Return the samples of each meter with the present one; a rollout that is over takes its own with it."""
    trends = {}
    for row in status["deployments"]:
        for each in row.get("evidence", ()):
            known = before.trends.get((row["name"], each["metric"]), ())
            close = len(known) > 1 and known[-1].at - known[-2].at < _EVERY
            kept = known[:-1] if close else known
            trends[row["name"], each["metric"]] = (*kept, Sample(now, each["progress"]))[-_KEPT:]
    return trends
