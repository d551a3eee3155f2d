"""`GET /healthz` and `GET /readyz`: whether the daemon lives, and whether every active version can answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from controller.http.peers import caller_of
from controller.http.resource import Content, Endpoint, json_response
from controller.station.commands.reconciling import GetReadiness, Readiness
from controller.station.port import Station


@dataclass(frozen=True, slots=True)
class Life:
    """A sign of life."""

    alive: bool = True


class Health:
    """Both resources, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resources offer."""
        operation = GetReadiness.operation
        (route,) = operation.routes
        ready = Endpoint.of(operation, route, self.readyz, Content(Readiness))
        answers = {**ready.answers, 503: Content(Readiness, "It cannot, for this reason.")}
        alive = {200: Content(Life, "It is.")}
        return (
            Endpoint("GET", "/healthz", self.healthz, "Say that the daemon is alive.", answers=alive),
            replace(ready, answers=answers),
        )

    async def healthz(self, _: Request) -> Response:
        return json_response(asdict(Life()))

    async def readyz(self, request: Request) -> Response:
        readiness = await self._station.execute(GetReadiness(), caller_of(request))
        return json_response(asdict(readiness), 200 if readiness.ready else 503)
