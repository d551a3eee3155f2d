"""`/v1/recordings`: recorded calls as files: a page, a picture, an export; and an import. The rest is plain JSON."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from controller.http.event_stream import FeedResponse
from controller.http.failures import Refused
from controller.http.operations import LongActs, Usual, long_endpoint
from controller.http.peers import acting_caller_of
from controller.http.query import Query
from controller.http.resource import JSON, Content, Endpoint
from controller.http.upload import FORM, LARGEST, ZIP, ZIP_BYTES, Uploads, ZipForm, media_type
from controller.station.commands.recordings import (
    ARCHIVE,
    HTML,
    PAGE_POLICY,
    PNG,
    ExportRecordings,
    ImportRecordings,
    ShowRecording,
)
from controller.station.port import Route, Station

_BYTES = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
_ARRIVING = "recordings.zip"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": PAGE_POLICY}


class RecordingsResource:
    """The resources, for one station. `folder` is where a file stands until it is imported."""

    def __init__(self, station: Station, folder: Path, largest: int = LARGEST) -> None:
        self._station = station
        self._long = LongActs(station)
        self._uploads = Uploads(folder, largest, _ARRIVING)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resources offer."""
        (route,) = ExportRecordings.operation.routes
        query = Query(ExportRecordings, route)
        export = Endpoint.of(
            ExportRecordings.operation, route, partial(self._export, query), Content(_BYTES, media_type=ARCHIVE)
        )
        (route,) = ImportRecordings.operation.routes
        bodies = (
            Content(ZIP_BYTES, "A file that was exported, as the whole body,", ZIP, required=True),
            Content(ZipForm, "or in a form.", FORM),
        )
        taken_in = long_endpoint(ImportRecordings.operation, route, self._import, Usual.result, bodies)
        shown = tuple(map(self._shown, ShowRecording.operation.routes))
        return (replace(export, query=query.parameters, on_record=True), taken_in, *shown)

    def _shown(self, route: Route) -> Endpoint:
        query, kind = Query(ShowRecording, route), HTML if route.fixed["form"] == "page" else PNG
        answer = Content(str if kind == HTML else _BYTES, media_type=kind)
        endpoint = Endpoint.of(ShowRecording.operation, route, partial(self._show, route, query, kind), answer)
        return replace(endpoint, query=query.parameters)

    async def _show(self, route: Route, query: Query, kind: str, request: Request) -> Response:
        asked = {**query.arguments(request), **route.fixed}
        asked |= {field: request.path_params[name] for name, field in route.in_path.items()}
        command = ShowRecording(**cast("dict[str, Any]", asked))
        feed = await self._station.execute(command, acting_caller_of(request))
        response = FeedResponse(feed, _as_it_is, f"{kind}; charset=utf-8" if kind == HTML else kind)
        response.headers.update(_HEADERS)
        return response

    async def _export(self, query: Query, request: Request) -> Response:
        command = ExportRecordings(**cast("dict[str, Any]", query.arguments(request)))
        if request.method == "HEAD":  # it would go on record, and nothing would leave
            raise Refused(405, "an export has no HEAD", next_step="use GET", headers={"Allow": "GET"})
        feed = await self._station.execute(command, acting_caller_of(request))
        response = FeedResponse(feed, _as_it_is, ARCHIVE)
        response.headers["Content-Disposition"] = f'attachment; filename="{_ARRIVING}"'
        return response

    async def _import(self, request: Request) -> Response:
        caller = acting_caller_of(request)
        if media_type(request) == JSON:
            raise Refused(415, f"Content-Type {JSON!r} is not taken here", next_step=f"send {ZIP} or {FORM}")
        upload = await self._uploads.receive(request)
        return await self._long.answer(request, ImportRecordings(upload.path), caller, at_end=upload.remove)


def _as_it_is(piece: bytes) -> bytes:
    return piece
