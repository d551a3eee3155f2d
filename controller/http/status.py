"""`GET /v1/status`: the status document (design 3.3)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from controller.http.peers import caller_of
from controller.http.resource import Content, Endpoint, json_response
from controller.model.status import Status
from controller.station.commands.status import GetStatus
from controller.station.port import Station


class StatusResource:
    """The resource, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = GetStatus.operation
        return tuple(Endpoint.of(operation, route, self.status, Content(Status)) for route in operation.routes)

    async def status(self, request: Request) -> Response:
        return json_response(await self._station.execute(GetStatus(), caller_of(request)))
