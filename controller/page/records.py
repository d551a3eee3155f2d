"""The pages that are about one thing or about what was: packages and processes, revisions, audit, logs, a PID."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict

import orjson
from starlette.requests import Request
from starlette.responses import Response

from controller.errors import ControllerError
from controller.page.feed import Feed
from controller.page.reading import StationReader
from controller.page.rendering import HEADERS, html
from controller.page.viewers import viewer_of
from controller.station.commands.parts import NoPicture

_Handler = Callable[[Request], Awaitable[Response]]
_SERIES = 3600
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}


class Records:
    """Pages of records of one station."""

    def __init__(self, reader: StationReader, feed: Feed) -> None:
        self._reader = reader
        self._feed = feed

    def resources(self) -> dict[str, _Handler]:
        """Return the pages by their paths."""
        return {
            "/page/packages": self.packages,
            "/page/series/{name}": _guarded(self.series),
            "/page/pids/{pid}/picture": _guarded(self.picture),
        }

    async def packages(self, request: Request) -> Response:
        """Answer with the packages and the processes, live."""
        viewer = viewer_of(request)
        look = await self._feed.look(viewer.language, viewer.access)
        return html(request, viewer.page("packages.html", "packages", look=look, place=self._feed.place()))

    async def series(self, request: Request) -> Response:
        """Answer with the lines of a deployment, as the station gives them."""
        viewer_of(request)
        found = await self._reader.series(request.path_params["name"], _SERIES)
        return Response(orjson.dumps(asdict(found)), headers=HEADERS, media_type="application/json")

    async def picture(self, request: Request) -> Response:
        """Answer with the picture of one part; it never changes, so a browser may keep it."""
        viewer_of(request)
        try:
            found = await self._reader.picture(
                request.path_params["pid"], request.query_params.get("request_id", "")[:64]
            )
        except NoPicture as error:
            return Response(status_code=410 if error.gone else 404, headers=HEADERS)
        return Response(found.content, headers=HEADERS | _KEPT, media_type="image/jpeg")


def _guarded(handler: _Handler) -> _Handler:
    """Return a handler whose errors of the station are shown as a page."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except ControllerError as error:
            viewer = viewer_of(request)
            page = viewer.page("failure.html", "", status=502, code=getattr(error, "code", None), message=str(error))
            return html(request, page, 502)

    return guarded
