"""What happens on a station, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import orjson

from controller.errors import Code, CodedError
from controller.station.port import Access, Command, Operation, Route

EventKind = Literal["status", "audit", "operation", "parts", "reset"]
"""What an event tells of.

`status`: something in the status document changed; `audit`: a record; `operation`: how one stands; `parts`: the last
parts of PIDs, the latest of each; `reset`: events that were asked for are gone, so all is to be read anew.
"""
KINDS: tuple[EventKind, ...] = ("status", "audit", "operation", "parts")
"""What can be asked for; `reset` comes where it must."""
_Item_co = TypeVar("_Item_co", covariant=True)


class Feed(Protocol[_Item_co]):
    """Items that come as time goes by; to be closed by whoever asked for them, also where it reads none."""

    def __aiter__(self) -> AsyncIterator[_Item_co]:
        """Return itself: `async for` goes on where it was."""

    async def __anext__(self) -> _Item_co:
        """Wait for the next item. Raises StopAsyncIteration: there are no more."""

    async def aclose(self) -> None:
        """Want no more items."""


class Event(NamedTuple):
    """One event. `data` is JSON on one line; `id` tells it from every other, also of other lives of the daemon."""

    id: str
    kind: EventKind
    data: bytes

    def to_document(self) -> dict[str, Any]:
        """Return the event as one object."""
        return {"id": self.id, "event": self.kind, "data": orjson.loads(self.data)}


class EventBatch(NamedTuple):
    """Events that came together; none where nothing happened for a while. `last` is the name to go on from.

    `reset` comes alone.
    """

    last: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class FollowEvents(Command[Feed[EventBatch]]):
    """The events after the one named `last_event_id`; empty: from now on.

    `kinds`: which ones, separated by commas; empty: all of them. Raises CodedError 1003 (no such kind), 1011 (too many
    readers).
    """

    last_event_id: str = ""
    kinds: str = ""

    def __post_init__(self) -> None:
        for kind in filter(None, self.kinds.split(",")):
            if kind not in KINDS:
                wrong, instead = f"{kind[:40]!r} is no kind of event", f"name some of {', '.join(KINDS)}"
                raise CodedError(Code.invalid_params, wrong, next_step=instead)

    @property
    def wanted(self) -> tuple[EventKind, ...]:
        """The kinds that are asked for."""
        named = self.kinds.split(",")
        return tuple(each for each in KINDS if each in named) or KINDS

    operation: ClassVar = Operation(
        Access.viewer,
        "Follow what happens, as server-sent events.",
        (
            Route(
                "GET", "/v1/events", "Events, for ever; comments in between are signs of life.", (400, 429),
                query={
                    "kinds": "Which events, separated by commas: status, audit, operation, parts; left out: all.",
                    "last_event_id": "The event to go on after, as the header Last-Event-ID says it, which wins.",
                },
            ),
        ),
    )  # fmt: skip
