"""`GET /v1/events`: what happens on the station, as server-sent events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from controller.http.event_stream import RETRY, FeedResponse, event_block
from controller.http.operations import LAST_EVENT
from controller.http.peers import caller_of
from controller.http.query import Query
from controller.http.resource import EVENTS, Content, Endpoint
from controller.station.commands.events import EventBatch, FollowEvents
from controller.station.port import Station


class EventsResource:
    """The resource, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        (self._route,) = FollowEvents.operation.routes
        self._query = Query(FollowEvents, self._route)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        answer = Content(dict[str, object] | list[dict[str, object]], media_type=EVENTS)
        endpoint = Endpoint.of(FollowEvents.operation, self._route, self.events, answer)
        return (replace(endpoint, query=self._query.parameters, headers=(LAST_EVENT,)),)

    async def events(self, request: Request) -> Response:
        """Answer with the events after the last one that the reader has; `reset` where they are gone."""
        asked = self._query.arguments(request)
        if last := request.headers.get("last-event-id"):
            asked["last_event_id"] = last
        feed = await self._station.execute(FollowEvents(**cast("dict[str, Any]", asked)), caller_of(request))
        return FeedResponse(feed, _Writer(), EVENTS)


class _Writer:
    """Writes batches; first of all, how soon to come again."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, batch: EventBatch) -> bytes:
        first = b"" if self._last else b"retry: %d\n" % RETRY
        self._last, known = batch.last, self._last
        if batch.events:
            blocks = (event_block(each.data, each.kind, each.id) for each in batch.events)
            return first + b"\n" * bool(first) + b"".join(blocks)
        # An id alone is no event, but what its reader comes back with.
        return first + (b": alive\n\n" if batch.last == known else f": alive\nid: {batch.last}\n\n".encode())
