"""The dialogs of the acts: what will happen to which PIDs, a reason, and the station's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from controller.errors import ControllerError
from controller.page.acts import LONGEST_REASON, ON_PIDS, VERBS, Preview, UnknownSubject, command, preview
from controller.page.feed import Feed
from controller.page.reading import StationReader
from controller.page.rendering import html
from controller.page.viewers import Viewer, viewer_of
from controller.station.port import AccessDenied, Station

_DIALOG = "/page/acts/{verb}"
_KINDS = ("deployment", "pid")


class Acting:
    """Dialogs for one station."""

    def __init__(self, station: Station, feed: Feed, reader: StationReader) -> None:
        self._station = station
        self._feed = feed
        self._reader = reader

    def resources(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        """Return what is looked at."""
        return {_DIALOG: self.ask}

    def posted(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        """Return what acts."""
        return {_DIALOG: self.act}

    async def ask(self, request: Request) -> Response:
        """Answer with the dialog of an act."""
        viewer = viewer_of(request)
        return await self._dialog(request, viewer, request.query_params)

    async def act(self, request: Request) -> Response:
        """Carry a confirmed act out, and answer with what the station says."""
        viewer = viewer_of(request)
        async with request.form(max_files=0, max_fields=12) as sent:
            form = {key: str(value)[:LONGEST_REASON] for key, value in sent.items()}
        form["reason"] = " ".join(form.get("reason", "").split())
        verb, subject, kind = request.path_params["verb"], form.get("subject", ""), form.get("kind", "")
        if verb not in VERBS or kind not in _KINDS:
            return html(request, viewer.part("_answer.html", error=None, message="", done=False), 404)
        if not form["reason"]:
            return await self._dialog(request, viewer, form, missing=True)
        assert viewer.session is not None  # noqa: S101 - viewer_of refuses everybody else
        try:
            told = await self._station.execute(command(verb, subject, kind, form), viewer.session.caller)
        except ControllerError as error:
            return html(request, viewer.part("_answer.html", error=error, message=error.message, done=False))
        self._feed.wake()
        return html(request, viewer.part("_answer.html", error=None, message=told.message, done=True))

    async def _dialog(
        self, request: Request, viewer: Viewer, given: Mapping[str, str], *, missing: bool = False
    ) -> Response:
        verb, subject, kind = request.path_params["verb"], given.get("subject", ""), given.get("kind", "deployment")
        known = verb in VERBS and kind in _KINDS and (kind == "deployment" or verb in ON_PIDS)
        try:
            if not known:
                raise UnknownSubject(verb)
            if not viewer.may_act:
                raise AccessDenied("no")
            shown = await self._preview(verb, subject, kind)
        except AccessDenied:
            return html(request, viewer.part("_answer.html", error=None, message="", done=False), 403)
        except UnknownSubject:
            return html(request, viewer.part("_answer.html", error=None, message=subject[:80], done=False), 404)
        return html(request, viewer.part("_dialog.html", row=shown, missing=missing, longest=LONGEST_REASON))

    async def _preview(self, verb: str, subject: str, kind: str) -> Preview:
        history = await self._reader.versions(subject) if verb in {"rollback", "resume"} else ()
        return preview(await self._feed.current(), verb, subject, kind, history)
