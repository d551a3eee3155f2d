"""Query parameters: made of the fields of a command, each read by its type, and described for the OpenAPI document."""

from __future__ import annotations

import dataclasses
import types
from functools import cached_property
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from controller.errors import CallError, Code
from controller.http.arguments import not_known
from controller.http.resource import Parameter
from controller.station.port import Command, Route


class Query:
    """The query parameters of one route of a command."""

    def __init__(self, command: type[Command[object]], route: Route) -> None:
        self._read: dict[str, _Reader] = {}
        if not route.query:
            return
        hints = get_type_hints(command, include_extras=True)
        fields = {each.name: each for each in dataclasses.fields(cast("type", command))}
        for name, meaning in route.query.items():
            field = fields[route.fields.get(name, name)]
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            self._read[name] = _Reader(name, field.name, hints[field.name], meaning, required=required)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what the OpenAPI document says of them."""
        return tuple(reader.parameter for reader in self._read.values())

    def arguments(self, request: Request) -> dict[str, object]:
        """Return the fields that a request's query gives. Raises CallError 1003 naming every mistake."""
        given = request.query_params
        problems = [not_known(name, self._read) for name in given if name not in self._read]
        found = {}
        for name, reader in self._read.items():
            texts = given.getlist(name)
            try:
                if texts or reader.parameter.required:
                    found[reader.field] = reader(texts)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise CallError(
                Code.invalid_params,
                f"the query is not valid: {'; '.join(problems)}",
                next_step="see /openapi.json for what it may hold",
            )
        return found


class _Reader:
    """Reads the texts of one parameter: `true` or `false`, a number, a text; a tuple by naming it more than once."""

    def __init__(self, name: str, field: str, hint: object, meaning: str, *, required: bool) -> None:
        self.field = field
        hint = _without_none(hint)
        self._many = get_origin(hint) is tuple
        self._item: Any = get_args(hint)[0] if self._many else hint
        self._is_text = _is_text(self._item)
        self.parameter = Parameter(name, meaning, required, hint)

    @cached_property
    def _adapter(self) -> TypeAdapter[object]:
        return TypeAdapter(self._item)  # made by the first request: most are never named

    def __call__(self, texts: list[str]) -> object:
        """Return the value. Raises ValueError saying what is wrong."""
        if not texts:
            raise ValueError("is missing")
        if self._many:
            return tuple(self._one(text) for text in texts)
        if len(texts) > 1:
            raise ValueError("is given more than once")
        return self._one(texts[0])

    def _one(self, text: str) -> object:
        try:
            if self._is_text:
                return self._adapter.validate_python(text, strict=True)
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            wrong = f"{text[:80]!r} is not valid JSON for it" if first["type"] == "json_invalid" else first["msg"]
            raise ValueError(wrong) from None


def _without_none(hint: object) -> object:
    """Return the type of a field that may also be None: that is, left out."""
    if get_origin(hint) in {Union, types.UnionType}:
        kept = [each for each in get_args(hint) if each is not type(None)]
        return kept[0] if len(kept) == 1 else hint
    return hint


def _is_text(hint: object) -> bool:
    """Whether the values of a type are texts, which stand in a query as they are and not as JSON."""
    if get_origin(hint) is Annotated:
        return _is_text(get_args(hint)[0])
    return hint is str or (get_origin(hint) is Literal and all(isinstance(each, str) for each in get_args(hint)))
