"""What a resource is made of: operations with their documentation, answered with JSON, errors included.

The routes and the OpenAPI document are both made of the operations, so neither can say what the other does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.errors import ControllerError
from controller.http.failures import CLOSE, Refused, error_response, our_fault

Handler = Callable[[Request], Awaitable[Response | None]]
"""Answers a request; None where whoever asked is gone."""

LOG = logging.getLogger(__name__)
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its type (for the schema), its media type, and what it means."""

    type: Any
    description: str = ""
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `bodies` are the forms that a request may have, `errors` the statuses of refusals."""

    method: str
    path: str
    handler: Handler
    summary: str
    bodies: tuple[Content, ...] = ()
    answers: Mapping[int, Content] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


def json_response(document: Any, status: int = 200) -> Response:
    """Return a document as JSON; numbers that JSON does not have become null, text keys are made of other keys."""
    return Response(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS), status_code=status, media_type=JSON)


class Resource:
    """The ASGI application of one path: its operations by method. No exception leaves it."""

    def __init__(self, operations: Mapping[str, Handler]) -> None:
        self._handlers = dict(operations)
        if "GET" in self._handlers:
            self._handlers.setdefault("HEAD", self._handlers["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"], self._not_allowed)
        response = await _answer(handler, Request(scope, receive))
        if response is not None:
            await response(scope, receive, send)

    async def _not_allowed(self, request: Request) -> Response:
        allowed = ", ".join(sorted(self._handlers))
        raise Refused(
            405, f"{request.url.path} has no {request.method}", next_step=f"use {allowed}", headers={"Allow": allowed}
        )


async def _answer(handler: Handler, request: Request) -> Response | None:
    try:
        return await handler(request)
    except ControllerError as error:
        return error_response(error)
    except ClientDisconnect:
        return None
    except asyncio.CancelledError:  # the server's own end: whoever still waits is told that nobody knows
        return error_response(
            Refused(503, "the controller stopped before the answer came", headers=CLOSE, details={"outcome": "unknown"})
        )
    except Exception:
        LOG.exception("%s %s failed", request.method, request.url.path)
        return error_response(our_fault())


async def no_such_resource(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for every path that there is not."""
    refusal = Refused(404, f"there is no {scope['path']}", next_step="see /openapi.json for what there is")
    await error_response(refusal)(scope, receive, send)
