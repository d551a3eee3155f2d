"""The OpenAPI document of what there is, generated from the endpoints and their types, for `make openapi` to keep.

No daemon makes it: it serves the file (`openapi_file.py`), since what making it takes would stay in memory for good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from controller import __version__
from controller.http.idempotency import KEY, KEY_PATTERN, REPLAYED
from controller.http.openapi_words import ABOUT, BODIES, EVERYWHERE, PATH, STATUS, TAGS, tag_of
from controller.http.resource import EVENTS, JSON, JSON_LINES, Content, Endpoint
from controller.station.commands.every import COMMANDS
from controller.station.port import WORKER

_DEFINITIONS = "#/components/schemas/{model}"
_WORKER_MEANS = "For whom this is done, for the audit, percent-encoded; only the store's owner and root may send it."
_KEY_MEANS = (
    "Names this request: sent again with its key, query and body within 24 hours, it is answered as the first time "
    "and not carried out again. 409: it is under way, or a restart cut it off and its outcome is unknown."
)
_PREFER_MEANS = "`respond-async`: answer at once with the operation (202)."
_TEXT = {"type": "string"}
_RETRIES = {409, 429, 503}
"""Statuses whose answer may say when to try again."""


class ErrorBody(TypedDict):
    """What is wrong, where, and what to do next."""

    code: int
    name: str
    message: str
    details: dict[str, object]


class ErrorDocument(TypedDict):
    """Every error, in every interface."""

    error: ErrorBody


def document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """Return the OpenAPI document of endpoints."""
    schemas = _Schemas(endpoints)
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _describe(endpoint, schemas)
    refusals = {status for endpoint in endpoints for status in _refusals(endpoint)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "procvision-controller", "version": __version__, "description": ABOUT},
        "servers": [
            {"url": "http://station", "description": "the Unix socket run/runner.sock of the store; no token"},
            {
                "url": "https://{host}:{port}",
                "description": "`pvctl run --listen HOST:PORT`; a bearer token",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "8443"}},
            },
        ],
        "security": [{}, {"bearer": []}],
        "tags": [{"name": name, "description": meaning} for name, meaning in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "responses": {str(status): _refusal(status, schemas) for status in sorted(refusals)},
            "headers": {
                "Location": {"description": "Where the operation can be asked for.", "schema": _TEXT},
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
                REPLAYED: {
                    "description": "The first answer to this Idempotency-Key, given again.",
                    "schema": {"type": "string", "const": "true"},
                },
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `pvctl token create`; over the network. Its role is x-access or more.",
                }
            },
        },
    }


def _event(data: object) -> dict[str, object]:
    """Return the schema of one event of a stream; what `data` says is JSON."""
    told = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    return {
        "type": "object",
        "description": "One event of the stream.",
        "properties": {"id": _TEXT, "event": _TEXT, "data": told, "retry": {"type": "integer"}},
    }


def _line(line: object) -> dict[str, object]:
    """Return the schema of a stream of lines; each of them says what `x-line` describes."""
    return {"type": "string", "x-line": line}


_STREAMED: Mapping[str, Callable[[object], object]] = {EVENTS: _event, JSON_LINES: _line}


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
            streamed = _STREAMED.get(each.media_type)
            found[each.media_type] = {"schema": schema if streamed is None else streamed(schema)}
        return found

    def error(self) -> dict[str, object]:
        return self.content(Content(ErrorDocument), "serialization")


def _describe(endpoint: Endpoint, schemas: _Schemas) -> dict[str, object]:
    name = identifier(endpoint)
    described: dict[str, object] = {
        "operationId": name, "summary": endpoint.summary, "tags": [tag_of(endpoint.path)],
    }  # fmt: skip
    if endpoint.access:
        described["x-access"] = endpoint.access
    if endpoint.grant:
        described["x-grant"] = endpoint.grant
    if parameters := [*_in_path(endpoint), *_in_query(endpoint), *_in_headers(endpoint)]:
        described["parameters"] = parameters
    if endpoint.bodies:
        described["requestBody"] = _body(endpoint, schemas, BODIES.get(name))
    answers = {str(status): _answer(endpoint, status, schemas) for status in endpoint.answers}
    refusals = {str(each): {"$ref": f"#/components/responses/{each}"} for each in _refusals(endpoint)}
    described["responses"] = {**answers, **refusals}
    return described


def _refusals(endpoint: Endpoint) -> list[int]:
    """Return the statuses of refusals that the document promises, beside the endpoint's own answers."""
    found = {*EVERYWHERE, *endpoint.errors}
    if endpoint.bodies:
        found |= {408, 413}
    if endpoint.keyed:
        found |= {409, 422}
    if "{" in endpoint.path:
        found.add(404)
    return sorted(found - endpoint.answers.keys())


def _refusal(status: int, schemas: _Schemas) -> dict[str, object]:
    if status < 400:
        return {"description": STATUS[status]}
    headers = {"headers": {"Retry-After": _header("Retry-After")}} if status in _RETRIES else {}
    return {"description": STATUS[status], **headers, "content": schemas.error()}


def _answer(endpoint: Endpoint, status: int, schemas: _Schemas) -> dict[str, object]:
    answer = endpoint.answers[status]
    names = ["Location"] if 202 in endpoint.answers else []
    names += [REPLAYED] if endpoint.keyed else []
    headers = {"headers": {name: _header(name) for name in names}} if names else {}
    return {"description": answer.description, **headers, "content": schemas.content(answer, "serialization")}


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _body(endpoint: Endpoint, schemas: _Schemas, example: object) -> dict[str, object]:
    content = {kind: each for body in endpoint.bodies for kind, each in schemas.content(body, "validation").items()}
    if example is not None and JSON in content:
        content[JSON] = {**cast("dict[str, object]", content[JSON]), "example": example}
    return {
        "description": " ".join(body.description for body in endpoint.bodies),
        "required": any(body.required for body in endpoint.bodies),
        "content": content,
    }


def _in_path(endpoint: Endpoint) -> Iterator[dict[str, object]]:
    for part in endpoint.path.split("/"):
        if part.startswith("{"):
            pattern, meaning, example = PATH[part[1:-1]]
            yield {
                "name": part[1:-1], "in": "path", "required": True, "description": meaning,
                "schema": {"type": "string", "pattern": f"^(?:{pattern})$"}, "example": example,
            }  # fmt: skip


def _in_query(endpoint: Endpoint) -> Iterator[dict[str, object]]:
    for each in endpoint.query:
        yield {
            "name": each.name, "in": "query", "required": each.required, "description": each.description,
            "schema": _adapter(each.type).json_schema(),
        }  # fmt: skip


def _in_headers(endpoint: Endpoint) -> Iterator[dict[str, object]]:
    offered = [
        (KEY, _KEY_MEANS, {"type": "string", "pattern": f"^{KEY_PATTERN}$", "maxLength": 200}, endpoint.keyed),
        (WORKER, _WORKER_MEANS, {"type": "string", "pattern": "^[!-~]{1,768}$"}, endpoint.on_record),
        ("Prefer", _PREFER_MEANS, _TEXT, 202 in endpoint.answers),
        *((each.name, each.description, _adapter(each.type).json_schema(), True) for each in endpoint.headers),
    ]
    for name, meaning, schema, there in offered:
        if there:
            yield {"name": name, "in": "header", "required": False, "description": meaning, "schema": schema}


_COMMANDS = {(route.method, route.path): each for each in reversed(COMMANDS) for route in each.operation.routes}


def identifier(endpoint: Endpoint) -> str:
    """Return the operationId: the command's name, and where it has several routes on what it is asked."""
    command = _COMMANDS.get((endpoint.method, endpoint.path))
    words = [re.sub(r"\W+", "_", part).strip("_") for part in endpoint.path.strip("/").split("/")]
    if command is None:
        return "_".join([endpoint.method.lower(), *words])
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", command.__name__).lower()
    routes = command.operation.routes
    if len(routes) == 1:
        return name
    told_by_first = len({route.path.split("/")[2] for route in routes}) == len(routes)
    told = (words[1].removesuffix("s"), words[-1])
    news = (each for each in (told if told_by_first else told[::-1]) if each not in name.split("_"))
    return f"{name}_{next(news, told[0])}"
