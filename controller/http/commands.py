"""Commands whose request and answer are plain JSON: one class for all of them, made of their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from controller.http.arguments import reader
from controller.http.operations import LongActs, Usual, long_endpoint
from controller.http.peers import acting_caller_of
from controller.http.query import Query
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Endpoint, json_response
from controller.station.port import Access, Command, Route, Station


class CommandResource:
    """One route of one command."""

    def __init__(self, station: Station, limits: BodyLimits, command: type[Command[object]], route: Route) -> None:
        self._station = station
        self._long = LongActs(station)
        self._limits = limits
        self._command = command
        self._route = route
        self._arguments = _arguments_of(command, route)
        self._query = Query(command, route)
        self._read: Callable[[bytes | bytearray], object] = reader(self._arguments, "the request")

    def endpoint(self) -> Endpoint:
        """Return the endpoint of the route."""
        has_body = self._route.method == "POST" and bool(dataclasses.fields(self._arguments))
        operation = self._command.operation
        needed = any(each.default is dataclasses.MISSING for each in dataclasses.fields(self._arguments))
        what = "The command's arguments" + ("." if needed else "; may be left out.")
        bodies = (Content(self._arguments, what, JSON, required=needed),) if has_body else ()
        if operation.long:
            endpoint = long_endpoint(operation, self._route, self.handle, Usual.result, bodies)
        else:
            endpoint = Endpoint.of(operation, self._route, self.handle, Content(operation.result), bodies)
        return dataclasses.replace(
            endpoint, on_record=operation.access > Access.viewer, query=self._query.parameters
        )  # fmt: skip

    async def handle(self, request: Request) -> Response:
        """Answer a request with the command's result."""
        in_query = self._query.arguments(request)
        async with self._limits.body(request) as body:
            arguments = self._read(body)
        said = ((field.name, getattr(arguments, field.name)) for field in dataclasses.fields(self._arguments))
        given = {name: value for name, value in said if value is not None}  # null: left out
        in_path = {field: request.path_params[name] for name, field in self._route.in_path.items()}
        make: Callable[..., Command[object]] = self._command
        command = make(**{**given, **in_query, **in_path, **self._route.fixed})
        caller = acting_caller_of(request)
        if command.operation.long:
            return await self._long.answer(request, command, caller)
        return json_response(await self._station.execute(command, caller))


def _as_argument(field: dataclasses.Field[object]) -> tuple[str, object]:
    """Return the type and the default of a command's field in a body: null counts as left out, where it may be."""
    if field.default is dataclasses.MISSING:
        return str(field.type), dataclasses.field()
    return f"{field.type} | None", dataclasses.field(default=field.default)


def _arguments_of(command: type[Command[object]], route: Route) -> type:
    """Return a type of the command's fields that neither path nor query says: what the body of a POST may hold."""
    fields = [
        (each.name, *_as_argument(each))
        for each in dataclasses.fields(cast("type", command))
        if route.method == "POST" and each.name not in route.outside
    ]
    return dataclasses.make_dataclass(
        f"{command.__name__}Arguments", fields, kw_only=True,
        init=False, repr=False, eq=False,  # pydantic alone makes one, and methods of so many would only take memory
        namespace={
            "__pydantic_config__": command.__pydantic_config__,
            "__doc__": command.__doc__,
            "__module__": command.__module__,
        },
    )  # fmt: skip
