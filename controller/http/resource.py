"""What a resource is made of: endpoints with their documentation, answered with JSON, errors included.

The routes and the OpenAPI document are both made of the endpoints, and these of the rows of `station/commands/`, so
that none of them can say what another does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.errors import ControllerError, our_fault
from controller.http.failures import CLOSE, Refused, error_response
from controller.station.port import RECORDINGS, Operation, Route

Handler = Callable[[Request], Awaitable[Response | None]]
"""Answers a request; None where whoever asked is gone."""

LOG = logging.getLogger(__name__)
JSON = "application/json"
EVENTS = "text/event-stream"
JSON_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its type (for the schema), its media type, and what it means. Of a stream, the type of each line.

    `also`: further forms of the same answer. `required`: of a request, it may not be left out.
    """

    type: object
    description: str = ""
    media_type: str = JSON
    also: tuple[Content, ...] = ()
    required: bool = False

    @property
    def forms(self) -> tuple[Content, ...]:
        """Every form, this one first."""
        return (self, *self.also)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or the head: name, meaning, and the type of its value; a tuple's may be repeated."""

    name: str
    description: str
    required: bool = True
    type: object = str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `bodies` are the forms that a request may have, `errors` the statuses of refusals.

    `access` and `grant`: what a caller needs. `on_record`: the caller may name the worker for whom it is done. `keyed`:
    a request that is repeated with its Idempotency-Key is carried out once. `secret`: the answer is told once and kept
    nowhere.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    bodies: tuple[Content, ...] = ()
    answers: Mapping[int, Content] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    access: str = ""
    grant: str = ""
    on_record: bool = False
    keyed: bool = False
    secret: bool = False

    @classmethod
    def of(
        cls,
        operation: Operation,
        route: Route,
        handler: Handler,
        answer: Content,
        bodies: tuple[Content, ...] = (),
        query: tuple[Parameter, ...] = (),
    ) -> Endpoint:
        """Return the endpoint of a row; what it answers when all went well is described by the route."""
        described = replace(answer, description=route.answer)
        return cls(
            route.method, route.path, handler, operation.summary, bodies, {200: described}, (*route.errors, 403),
            query=query, access=operation.access.name,
            grant=RECORDINGS if operation.recordings else "", keyed=route.method != "GET", secret=operation.secret,
        )  # fmt: skip


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as JSON; numbers that JSON does not have become null, text keys are made of other keys."""
    content = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    return Response(content, status_code=status, headers=headers, media_type=JSON)


class Resource:
    """The ASGI application of one path: its endpoints by method. No exception leaves it."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = dict(handlers)
        if "GET" in self._handlers:
            self._handlers.setdefault("HEAD", self._handlers["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"], self._not_allowed)
        response = await answered(handler, Request(scope, receive))
        if response is not None:
            await response(scope, receive, send)

    async def _not_allowed(self, request: Request) -> Response:
        allowed = ", ".join(sorted(self._handlers))
        raise Refused(
            405, f"{request.url.path} has no {request.method}", next_step=f"use {allowed}", headers={"Allow": allowed}
        )


async def answered(handler: Handler, request: Request) -> Response | None:
    """Return what a handler answers; an error is an answer, too. None where whoever asked is gone."""
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


class Missing:
    """The ASGI application for every path that there is not. `paths` are those that there are."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [path.strip("/").split("/") for path in paths]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        *before, last = scope["path"].strip("/").split("/")
        siblings = sorted({path[-1] for path in self._paths if _lead_to(path[:-1], before) and path[-1][:1] != "{"})
        refusal = Refused(404, f"there is no {scope['path']}", next_step="see /openapi.json for what there is")
        if before and siblings:
            refusal = Refused(404, f"there is no {last[:80]!r} here", next_step=f"use {', '.join(siblings)}")
        await error_response(refusal)(scope, receive, send)


def _lead_to(template: list[str], parts: list[str]) -> bool:
    """Whether a path's parts are those of a template; a parameter of it is any part."""
    return len(template) == len(parts) and all(
        expected == part or expected.startswith("{") for expected, part in zip(template, parts, strict=True)
    )
