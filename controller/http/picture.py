"""`GET /v1/pids/{pid}/picture`: the picture of a part, for whoever may see it and nobody's cache to share."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from controller.http.failures import Refused
from controller.http.peers import caller_of
from controller.http.query import Query
from controller.http.resource import Content, Endpoint, Parameter
from controller.station.commands.parts import JPEG, GetPicture, NoPicture
from controller.station.port import Station

_Binary = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
_HEADERS = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}


class PictureResource:
    """The resource, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        (self._route,) = GetPicture.operation.routes
        self._query = Query(GetPicture, self._route)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        answer, query = Content(_Binary, media_type=JPEG), self._query.parameters
        endpoint = Endpoint.of(GetPicture.operation, self._route, self.picture, answer, query=query)
        known = Parameter("If-None-Match", "The ETag of the picture that the caller has.", required=False)
        return (replace(endpoint, headers=(known,), errors=(304, *endpoint.errors)),)

    async def picture(self, request: Request) -> Response:
        """Answer with the picture, or with 304 where the caller has it already."""
        part = str(self._query.arguments(request).get("request_id", ""))
        command = GetPicture(request.path_params["pid"], part)
        try:
            found = await self._station.execute(command, caller_of(request))
        except NoPicture as none:
            raise Refused(410 if none.gone else 404, none.message, next_step=none.next_step) from None
        headers = {**_HEADERS, "ETag": f'"{found.request_id}"'}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type=JPEG)
