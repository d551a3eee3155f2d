"""The page's resources put together into one ASGI application; who asks, the gateway has found out before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from controller.page import assets
from controller.page.acting import Acting
from controller.page.feed import Feed
from controller.page.reading import StationReader
from controller.page.records import Records
from controller.page.rendering import HEADERS, html
from controller.page.sessions import LOGIN, REFUSALS, STATIC, session_of
from controller.page.viewers import LANGUAGE_COOKIE, Viewer, viewer_of
from controller.station.port import Station

_YEAR = 365 * 24 * 3600


class Page:
    """The page of one station."""

    def __init__(self, station: Station) -> None:
        self._reader = StationReader(station)
        self.feed = Feed(self._reader)
        acting, records = Acting(station, self.feed, self._reader), Records(self._reader, self.feed)
        shown: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._station,
            LOGIN: _login,
            "/page/language": _language,
            "/page/events": self._events,
            **acting.resources(),
            **records.resources(),
        }
        self.application = Router(
            [
                Route(STATIC + "{name}", assets.serve, methods=["GET"]),
                *(Route(path, handler, methods=["POST"]) for path, handler in acting.posted().items()),
                *(Route(path, handler, methods=["GET"]) for path, handler in shown.items()),
            ],
            redirect_slashes=False,
            default=_nowhere,
        )

    async def close(self) -> None:
        """End what runs beside the requests."""
        await self.feed.close()

    async def _station(self, request: Request) -> Response:
        viewer = viewer_of(request)
        look = await self.feed.look(viewer.language, viewer.access)
        many = len(self.feed.snapshot.status["pids"]) if self.feed.snapshot.status else 0
        page = viewer.page("station.html", "station", look=look, place=self.feed.place(), many=many)
        return html(request, page)

    async def _events(self, request: Request) -> Response:
        viewer = viewer_of(request)
        look = await self.feed.look(viewer.language, viewer.access)
        place = request.headers.get("last-event-id") or request.query_params.get("place", "")
        scope = request.query_params.get("scope", "station")[:20]

        async def events() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            async for message in self.feed.follow(look, scope, place):
                yield message.encoded()

        return StreamingResponse(
            events(), headers=HEADERS | {"X-Accel-Buffering": "no"}, media_type="text/event-stream"
        )


async def _login(request: Request) -> Response:
    refused = request.query_params.get("refused", "")
    viewer = Viewer.of(request, session_of(request))
    page = viewer.page(
        "login.html", "login", refused=refused if refused in REFUSALS else "",
        after=request.query_params.get("next", "/")[:200],
    )  # fmt: skip
    return html(request, page, 401 if refused else 200)


async def _language(request: Request) -> Response:
    """Keep the language that somebody chose, and go back to where they were. It changes nothing at the station."""
    after = request.query_params.get("next", "/")
    answer = RedirectResponse(after if after.startswith("/") and not after.startswith("//") else "/", 303)
    answer.set_cookie(
        LANGUAGE_COOKIE, request.query_params.get("to", "")[:5], max_age=_YEAR, samesite="strict", path="/"
    )
    return answer


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    viewer = Viewer.of(request, session_of(request))
    page = viewer.page("failure.html", "", status=404, message=request.url.path[:200], next_step="")
    await html(request, page, 404)(scope, receive, send)
