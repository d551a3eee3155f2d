"""`GET /openapi.json`: the document of what there is, generated from the operations and their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from controller import __version__
from controller.http.resource import JSON, Content, Operation

_DEFINITIONS = "#/components/schemas/{model}"
_STATUS_WORDS = {
    400: "The request or an image is not valid (1001–1003, 1007).",
    404: "No such resource, no such PID, or no active version (1012).",
    408: "The request did not arrive in time.",
    409: "Not possible in the present state.",
    413: "The request is too large.",
    415: "The body is neither multipart nor JSON.",
    422: "The package or the desired state is not valid (2001–2005).",
    429: "Too much waits already (1011); Retry-After says when to try again.",
    500: "The controller or the algorithm failed without a more precise reason (1000).",
    502: "The process died, raised or spoke garbage (1006, 1009, 1010).",
    503: "No process could be made ready in time (1004), or the controller stopped meanwhile.",
    504: "No answer in time (1005).",
}


class ErrorBody(TypedDict):
    """What is wrong, where, and what to do next."""

    code: int
    name: str
    message: str
    details: dict[str, Any]


class ErrorDocument(TypedDict):
    """Every error, in every interface."""

    error: ErrorBody


class OpenApi:
    """The resource; the document is made when it is first asked for."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = (*operations, *self.operations())
        self._text = b""

    def operations(self) -> tuple[Operation, ...]:
        """Return what the resource offers."""
        answers = {200: Content(dict[str, Any], "The OpenAPI 3.1 document.")}
        return (Operation("GET", "/openapi.json", self.openapi, "Return this document.", answers=answers),)

    async def openapi(self, _: Request) -> Response:
        self._text = self._text or orjson.dumps(document(self._operations))
        return Response(self._text, media_type=JSON)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of operations."""
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "procvision-controller", "version": __version__},
        "servers": [{"url": "http://station", "description": "the Unix socket run/runner.sock of the store"}],
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }


class _Schemas:
    """The schemas of every type that the operations name; answers in the form that they have as JSON."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        wanted = [(ErrorDocument, "serialization", TypeAdapter(ErrorDocument))]
        for operation in operations:
            wanted += [(body.type, "validation", TypeAdapter(body.type)) for body in operation.bodies]
            wanted += [(each.type, "serialization", TypeAdapter(each.type)) for each in operation.answers.values()]
        self._found, rest = TypeAdapter.json_schemas(wanted, ref_template=_DEFINITIONS)  # type: ignore[arg-type]
        self.definitions = rest.get("$defs", {})

    def content(self, content: Content, mode: str) -> dict[str, Any]:
        return {content.media_type: {"schema": self._found[(content.type, mode)]}}  # type: ignore[index]

    def error(self) -> dict[str, Any]:
        return self.content(Content(ErrorDocument), "serialization")


def _describe(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "operationId": _identifier(operation)}
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True,
             "schema": {"type": "string", **operation.parameters.get(name, {})}}
            for name in names
        ]  # fmt: skip
    if operation.bodies:
        bodies = [schemas.content(body, "validation") for body in operation.bodies]
        described["requestBody"] = {
            "description": " ".join(body.description for body in operation.bodies),
            "content": {key: value for body in bodies for key, value in body.items()},
        }
    described["responses"] = {
        **{
            str(status): {"description": answer.description, "content": schemas.content(answer, "serialization")}
            for status, answer in operation.answers.items()
        },
        **{
            str(status): {"description": _STATUS_WORDS[status], "content": schemas.error()}
            for status in operation.errors
        },
    }
    return described


def _identifier(operation: Operation) -> str:
    words = operation.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
    return "_".join([operation.method.lower(), *words])
