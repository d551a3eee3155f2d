"""`GET /openapi.json`: the document of what there is, generated from the endpoints and their types."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from controller import __version__
from controller.http.resource import EVENTS, JSON, JSON_LINES, Content, Endpoint
from controller.station.port import WORKER

_DEFINITIONS = "#/components/schemas/{model}"
_WORKER_MEANS = "For whom this is done, percent-encoded; believed of the store's owner and root, for the audit."
_STATUS_WORDS = {
    400: "The request or an image is not valid (1001–1003, 1007).",
    404: "No such resource, no such PID, or no active version (1012).",
    403: "The caller has not the access that this needs.",
    406: "The answer is not to be had in a media type that the caller takes.",
    408: "The request did not arrive in time.",
    409: "Not possible in the present state.",
    410: "What was asked for is not there any more.",
    413: "The request is too large.",
    415: "The body is neither multipart nor JSON.",
    422: "The package or the desired state is not valid (2001–2005).",
    429: "Too much waits already (1011); Retry-After says when to try again.",
    500: "The controller or the algorithm failed without a more precise reason (1000).",
    502: "The process died, raised or spoke garbage (1006, 1009, 1010).",
    503: "No process was ready in time (1004), no room for the image (1007), or the controller stopped meanwhile.",
    504: "No answer in time (1005).",
}


class ErrorBody(TypedDict):
    """What is wrong, where, and what to do next."""

    code: int
    name: str
    message: str
    details: dict[str, object]


class ErrorDocument(TypedDict):
    """Every error, in every interface."""

    error: ErrorBody


class OpenApi:
    """The resource; the document is made when it is first asked for."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = (*endpoints, *self.endpoints())
        self._text = b""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        answers = {200: Content(dict[str, object], "The OpenAPI 3.1 document.")}
        return (Endpoint("GET", "/openapi.json", self.openapi, "Return this document.", answers=answers),)

    async def openapi(self, _: Request) -> Response:
        self._text = self._text or orjson.dumps(document(self._endpoints))
        return Response(self._text, media_type=JSON)


def document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """Return the OpenAPI document of endpoints."""
    schemas = _Schemas(endpoints)
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _describe(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "procvision-controller", "version": __version__},
        "servers": [{"url": "http://station", "description": "the Unix socket run/runner.sock of the store"}],
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }


def _adapter(kind: object) -> TypeAdapter[object]:
    return TypeAdapter(kind)  # type: ignore[arg-type]  # any type, bytes and generic ones too


class _Schemas:
    """The schemas of every type that the endpoints name; answers in the form that they have as JSON."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        wanted: list[tuple[object, str, TypeAdapter[object]]] = [
            (ErrorDocument, "serialization", TypeAdapter(ErrorDocument))
        ]
        for endpoint in endpoints:
            wanted += [(body.type, "validation", _adapter(body.type)) for body in endpoint.bodies]
            forms = [form for answer in endpoint.answers.values() for form in answer.forms]
            wanted += [(each.type, "serialization", _adapter(each.type)) for each in forms]
        self._found, rest = TypeAdapter.json_schemas(wanted, ref_template=_DEFINITIONS)  # type: ignore[arg-type]
        self.definitions = rest.get("$defs", {})

    def content(self, content: Content, mode: str) -> dict[str, object]:
        """Return each form of a body by its media type; a stream is text, and its lines have the schema."""
        found: dict[str, object] = {}
        for each in content.forms:
            schema = self._found[(each.type, mode)]  # type: ignore[index]
            stream = each.media_type in {EVENTS, JSON_LINES}
            found[each.media_type] = {"schema": {"type": "string", "x-line": schema} if stream else schema}
        return found

    def error(self) -> dict[str, object]:
        return self.content(Content(ErrorDocument), "serialization")


def _describe(endpoint: Endpoint, schemas: _Schemas) -> dict[str, object]:
    described: dict[str, object] = {"summary": endpoint.summary, "operationId": _identifier(endpoint)}
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    if names or endpoint.query or endpoint.on_record:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True,
             "schema": {"type": "string"}}
            for name in names
        ] + [
            {"name": each.name, "in": "query", "required": each.required, "description": each.description,
             "schema": each.schema}
            for each in endpoint.query
        ] + [
            {"name": WORKER, "in": "header", "required": False, "description": _WORKER_MEANS,
             "schema": {"type": "string"}}
            for _ in range(endpoint.on_record)
        ]  # fmt: skip
    if endpoint.bodies:
        bodies = [schemas.content(body, "validation") for body in endpoint.bodies]
        described["requestBody"] = {
            "description": " ".join(body.description for body in endpoint.bodies),
            "content": {key: value for body in bodies for key, value in body.items()},
        }
    if endpoint.access:
        described["x-access"] = endpoint.access
    described["responses"] = {
        **{
            str(status): {"description": answer.description, "content": schemas.content(answer, "serialization")}
            for status, answer in endpoint.answers.items()
        },
        **{
            str(status): {"description": _STATUS_WORDS[status], "content": schemas.error()}
            for status in endpoint.errors
        },
    }
    return described


def _identifier(endpoint: Endpoint) -> str:
    words = endpoint.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
    return "_".join([endpoint.method.lower(), *words])
