"""The pages that are about one thing or about what was: packages and processes, revisions, audit, logs, a PID."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from controller.errors import Code, ControllerError
from controller.page.about import about
from controller.page.audit import ROWS, page_of_acts
from controller.page.feed import Feed
from controller.page.fragments import PID
from controller.page.log_lines import log_lines
from controller.page.reading import StationReader
from controller.page.rendering import HEADERS, html
from controller.page.viewers import viewer_of
from controller.station.commands.parts import NoPicture
from controller.station.commands.recordings import PAGE_POLICY
from controller.station.commands.records import ReadAudit, ReadLogs

_Handler = Callable[[Request], Awaitable[Response]]
_SERIES = 3600
_LINES = 300
_LONGEST = 200
_LONGEST_NUMBER = 15
_NOT_THERE = {Code.invalid_pid, Code.invalid_params, Code.no_active_version}
"""What a daemon answers, over its socket too, where there is nothing of that name."""
_FILTERS = ("actor", "action", "object")
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
            "/page/revisions": _guarded(self.revisions),
            "/page/audit": _guarded(self.audit),
            "/page/logs": _guarded(self.logs),
            "/page/series/{name}": _guarded(self.series),
            "/page/recordings/{id}": _guarded(self.recording),
            "/page/pids/{pid}": _guarded(self.pid),
            "/page/pids/{pid}/picture": _guarded(self.picture),
        }

    async def packages(self, request: Request) -> Response:
        """Answer with the packages and the processes, live."""
        return await self._live(request, "packages.html", "packages")

    async def revisions(self, request: Request) -> Response:
        """Answer with the revision in force, and those that were refused with every error."""
        return await self._live(request, "revisions.html", "revisions", revisions=await self._reader.revisions())

    async def audit(self, request: Request) -> Response:
        """Answer with a page of the audit, filtered."""
        given = request.query_params
        wanted = {name: given.get(name, "").strip()[:_LONGEST] for name in _FILTERS}
        number = given.get("before", "")[:_LONGEST_NUMBER]
        before = int(number) if number.isdecimal() else None
        found = await page_of_acts(self._reader.audit, ReadAudit(ROWS, before or None, **wanted))
        older = urlencode({**{name: text for name, text in wanted.items() if text}, "before": found.before})
        return await self._live(
            request, "audit.html", "audit", acts=found.acts, wanted=wanted, older=older if found.before else ""
        )

    async def logs(self, request: Request) -> Response:
        """Answer with the tail of a log; with `part`, only what is replaced while it is followed."""
        given = request.query_params
        subject, follow = given.get("subject", "").strip()[:_LONGEST], "follow" in given
        try:
            pieces, problem = await self._reader.log(ReadLogs(subject, None, _LINES)), ""
        except ControllerError as error:
            pieces, problem = (), str(error)
        logs = [(each.log, log_lines(each.text)) for each in pieces]
        if "part" in given:
            return html(request, viewer_of(request).part("_log.html", logs=logs, problem=problem))
        document = (await self._feed.current()).status
        subjects = [each["name"] for each in document["deployments"]] if document else []
        return await self._live(
            request, "logs.html", "logs", logs=logs, problem=problem, subject=subject, follow=follow, subjects=subjects
        )

    async def pid(self, request: Request) -> Response:
        """Answer with all about one PID."""
        pid = request.path_params["pid"][:_LONGEST]
        place = self._feed.place()  # before: what is done meanwhile is sent once more
        found = await about(self._reader, pid)
        return await self._live(request, "pid.html", f"{PID}{pid}", place, row=found, key=f"about-{pid}")

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

    async def recording(self, request: Request) -> Response:
        """Answer with the page of a recorded call, to who was granted it."""
        caller = viewer_of(request).caller
        found = await self._reader.recording(request.path_params["id"][:_LONGEST], caller)
        headers = HEADERS | {"Content-Security-Policy": PAGE_POLICY}
        return Response(found, headers=headers, media_type="text/html; charset=utf-8")

    async def _live(self, request: Request, template: str, scope: str, place: str = "", **values: object) -> Response:
        viewer = viewer_of(request)
        look = await self._feed.look(viewer.language, viewer.access)
        return html(request, viewer.page(template, scope, look=look, place=place or self._feed.place(), **values))


def _guarded(handler: _Handler) -> _Handler:
    """Return a handler whose errors of the station are shown as a page."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except (ControllerError, OSError) as error:
            code = getattr(error, "code", None)
            status = 404 if code in _NOT_THERE else 403 if code is Code.forbidden else 502
            said = (error.message, error.next_step) if isinstance(error, ControllerError) else (str(error), "")
            values = {"status": status, "message": said[0], "next_step": said[1]}
            page = viewer_of(request).page("failure.html", "", **values)
            return html(request, page, status)

    return guarded
