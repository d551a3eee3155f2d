"""What happens on a station, as it happens: a bounded log of events that everybody reads at their own pace.

Who publishes encodes an event once; a subscriber is a place in the log and has no buffer of its own, so that slow ones
cost nothing. Whoever fell behind what is kept is told `reset`, as is who comes from another life of the daemon: then
everything is to be read anew.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, Self

import orjson

from controller.errors import Code, CodedError
from controller.station.commands.events import KINDS, Event, EventBatch, EventKind

HEARTBEAT = 10.0
"""Seconds after which a subscriber is given an empty batch where nothing happened."""
SUBSCRIBERS = 64
_BATCH = 64 * 1024
"""Bytes of events that are handed over at once, and at least one event."""
_LONGEST_NUMBER = 15


class _Bounds(NamedTuple):
    """How many events of a kind are kept, and how many bytes of them."""

    events: int = 1000
    size: int = 512 * 1024


_BOUNDS: dict[str, _Bounds] = {"parts": _Bounds(64, 256 * 1024)}
"""What comes all the time must not crowd out what comes rarely: each kind is bounded by itself."""


class _Kept:
    """The events of one kind that are kept with their numbers, oldest first."""

    def __init__(self, bounds: _Bounds) -> None:
        self._bounds = bounds
        self._size = 0
        self._events: deque[tuple[int, Event]] = deque()
        self.gone = 0
        """The number of the last event that is not kept any more."""

    def add(self, number: int, event: Event) -> None:
        self._events.append((number, event))
        self._size += len(event.data)
        while len(self._events) > 1 and (len(self._events) > self._bounds.events or self._size > self._bounds.size):
            self.gone, oldest = self._events.popleft()
            self._size -= len(oldest.data)

    def after(self, place: int) -> list[tuple[int, Event]]:
        """Return those with a greater number; takes as long as there are such."""
        found = []
        for each in reversed(self._events):
            if each[0] <= place:
                break
            found.append(each)
        return found


class EventLog:
    """The events of one life of the daemon. `life` tells it from every other.

    `publish` may be called from any thread, everything else in the thread of the event loop.
    """

    def __init__(self, life: str, *, subscribers: int = SUBSCRIBERS, heartbeat: float = HEARTBEAT) -> None:
        self._life = life
        self._most = subscribers
        self._heartbeat = heartbeat
        self._kept = {kind: _Kept(_BOUNDS.get(kind, _Bounds())) for kind in KINDS}
        self._number = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._waking = False
        self._subscribed = 0
        self._followed: Counter[EventKind] = Counter()
        self.closed = False

    def publish(self, kind: EventKind, document: object) -> None:
        """Tell everybody. `document`: what JSON can hold."""
        self.publish_encoded(kind, orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS))

    def publish_encoded(self, kind: EventKind, data: bytes) -> None:
        """Tell everybody what is JSON on one line already."""
        with self._lock:
            self._number += 1
            self._kept[kind].add(self._number, Event(self._named(self._number), kind, data))
            wake = bool(self._subscribed) and not self._waking
            self._waking = self._waking or wake
        if wake and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._wake)

    def subscribe(self, last: str = "", kinds: Iterable[EventKind] = KINDS) -> Subscription:
        """Return the events after the one named `last` (empty: from now on), in batches; to be closed.

        Raises:
            CodedError: 1011, too many read already.
        """
        if self._subscribed >= self._most:
            raise CodedError(Code.busy, f"{self._most} readers follow the events already", next_step="try again later")
        self._loop = asyncio.get_running_loop()
        self._subscribed += 1
        self._followed.update(kinds := tuple(kinds))
        return Subscription(self, self._place_of(last), kinds)

    def wants(self, kind: EventKind) -> bool:
        """Whether somebody follows events of that kind: some cost something to be found out."""
        return self._followed[kind] > 0

    def close(self) -> None:
        """End every subscription: the daemon stops."""
        self.closed = True
        self._wake()

    # What subscriptions need.

    def leave(self, kinds: Iterable[EventKind]) -> None:
        """Count a subscription out."""
        self._subscribed -= 1
        self._followed.subtract(kinds)

    def since(self, place: int, kinds: tuple[EventKind, ...]) -> tuple[EventBatch, int]:
        """Return the events of some kinds after a place, as many as one batch has, and the place after them."""
        with self._lock:
            here = self._number
            lost = any(self._kept[kind].gone > place for kind in kinds)
            found = [] if lost else sorted(each for kind in kinds for each in self._kept[kind].after(place))
        if lost:
            data = orjson.dumps({"reason": "what was asked for is not kept any more: read all anew"})
            return EventBatch(self._named(here), (Event(self._named(here), "reset", data),)), here
        batch: list[Event] = []
        size = 0
        for number, event in found:
            if batch and size + len(event.data) > _BATCH:
                return EventBatch(self._named(place), tuple(batch)), place
            batch.append(event)
            size, place = size + len(event.data), number
        return EventBatch(self._named(here), tuple(batch)), here

    async def news(self) -> None:
        """Wait until something happens, or for so long that a sign of life is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat):
                await self._news.wait()

    def _wake(self) -> None:
        self._waking = False  # first: what is published from here on wakes again
        self._news.set()
        self._news = asyncio.Event()

    def _named(self, number: int) -> str:
        return f"{self._life}-{number}"

    def _place_of(self, last: str) -> int:
        """Return the number of an event that was named; -1, which is before all that is kept, for none of this life."""
        if not last:
            return self._number
        life, _, number = last.rpartition("-")
        known = life == self._life and number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER
        return int(number) if known and int(number) <= self._number else -1


class Subscription:
    """A place in the log that moves on; the first batch comes at once, with what is there already."""

    def __init__(self, log: EventLog, place: int, kinds: tuple[EventKind, ...]) -> None:
        self._log = log
        self._place = place
        self._kinds = kinds
        self._begun = False
        self._open = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventBatch:
        """Return what happened. Where nothing did: wait, and return an empty batch after a while."""
        batch = self._take()
        if not batch.events and self._begun and not self._log.closed:
            await self._log.news()
            batch = self._take()
        if self._log.closed and not batch.events:
            raise StopAsyncIteration
        self._begun = True
        return batch

    def _take(self) -> EventBatch:
        batch, self._place = self._log.since(self._place, self._kinds)
        return batch

    async def aclose(self) -> None:
        """Leave the place to others."""
        if self._open:
            self._open = False
            self._log.leave(self._kinds)
