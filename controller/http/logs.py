"""`GET /v1/logs/{subject}`, `/v1/logs/controller`: the last lines of logs, and what is added, as text or as events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from controller.http.accept import accepted
from controller.http.event_stream import ALIVE, FeedResponse, event_block
from controller.http.peers import caller_of
from controller.http.query import Query
from controller.http.resource import EVENTS, Content, Endpoint
from controller.station.commands.records import LogPiece, ReadLogs
from controller.station.port import Route, Station

TEXT = "text/plain"


class LogLines(TypedDict):
    """What one event tells: lines, each with its end, and the log that they are from."""

    log: str
    text: str


class LogsResource:
    """Both resources, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resources offer."""
        return tuple(self._endpoint(route) for route in ReadLogs.operation.routes)

    def _endpoint(self, route: Route) -> Endpoint:
        query = Query(ReadLogs, route)
        answer = Content(str, media_type=TEXT, also=(Content(LogLines, media_type=EVENTS),))
        endpoint = Endpoint.of(ReadLogs.operation, route, partial(self._logs, route, query), answer)
        return replace(endpoint, query=query.parameters)

    async def _logs(self, route: Route, query: Query, request: Request) -> Response:
        kind = accepted(request, (TEXT, EVENTS))
        asked = {**query.arguments(request), **route.fixed}
        asked |= {field: request.path_params[name] for name, field in route.in_path.items()}
        feed = await self._station.execute(ReadLogs(**cast("dict[str, Any]", asked)), caller_of(request))
        write: Callable[[tuple[LogPiece, ...]], bytes] = _as_events if kind == EVENTS else _AsText()
        return FeedResponse(feed, write, kind if kind == EVENTS else f"{TEXT}; charset=utf-8")


def _as_events(batch: tuple[LogPiece, ...]) -> bytes:
    told = (LogLines(log=each.log, text=each.text) for each in batch)
    blocks = (event_block(orjson.dumps(each), "lines") for each in told)
    return b"".join(blocks) or ALIVE


class _AsText:
    """Writes lines as they are; where there are several logs, a line before them says of which they are."""

    def __init__(self) -> None:
        self._log = ""
        self._several = False

    def __call__(self, batch: tuple[LogPiece, ...]) -> bytes:
        self._several = self._several or len(batch) > 1
        return b"".join(map(self._piece, batch))

    def _piece(self, piece: LogPiece) -> bytes:
        changed = piece.log != self._log
        self._several = self._several or (changed and bool(self._log))
        self._log = piece.log
        head = f"==> {piece.log} <==\n" if changed and self._several else ""
        return f"{head}{piece.text}".encode()
