"""`GET /openapi.json`: the document of what there is, from the file that was made of the endpoints (`openapi.py`)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from controller.http.resource import JSON, Content, Endpoint

_FILE = Path(__file__).with_name("openapi.json")
"""In a checkout a link to docs/openapi.json, in a wheel the file itself."""


class OpenApiFile:
    """The resource."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        answers = {200: Content(dict[str, object], "The OpenAPI 3.1 document.")}
        return (Endpoint("GET", "/openapi.json", self.openapi, "Return this document.", answers=answers),)

    async def openapi(self, _: Request) -> Response:
        return Response(await asyncio.to_thread(_FILE.read_bytes), media_type=JSON)
