"""`GET /metrics`: everything that is measured, as Prometheus reads it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from controller.http.peers import caller_of
from controller.http.resource import Content, Endpoint
from controller.station.commands.measuring import GetMetrics
from controller.station.port import Station


class MetricsResource:
    """The resource, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation, content = GetMetrics.operation, Content(str, media_type="text/plain")
        return tuple(Endpoint.of(operation, route, self.metrics, content) for route in operation.routes)

    async def metrics(self, request: Request) -> Response:
        found = await self._station.execute(GetMetrics(request.headers.get("accept", "")), caller_of(request))
        return Response(found.content, headers={"Content-Type": found.content_type})
