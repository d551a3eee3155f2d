"""The page's resources put together into one ASGI application; who asks, the gateway has found out before."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from controller.page.sessions import LOGIN, REFUSALS, session_of
from controller.station.commands.status import GetStatus
from controller.station.port import Station


class Page:
    """The page of one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self.application = Router([Route("/", self._show), Route(LOGIN, self._login)])

    async def close(self) -> None:
        """End what runs beside the requests."""

    async def _show(self, request: Request) -> Response:
        session = session_of(request)
        assert session is not None  # noqa: S101 - the gateway lets nobody else through
        status = await self._station.execute(GetStatus(), session.caller)
        return PlainTextResponse(f"{session.caller.name}: revision {status['revision']['id']}")

    async def _login(self, request: Request) -> Response:
        refused = request.query_params.get("refused", "")
        return PlainTextResponse("POST a token here", 401 if refused in REFUSALS else 200)
