"""`POST /v1/reconcile`: have the daemon reconcile, and hear of it line by line."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from controller.http.arguments import ReconcileArguments, reader
from controller.http.peers import acting_caller_of
from controller.http.progress_lines import JSON_LINES, Line, progress_response
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Endpoint
from controller.station.commands.reconciling import Reconcile
from controller.station.port import Station

_read_arguments = reader(ReconcileArguments, "the request")


class ReconcileResource:
    """The resource, for one station."""

    def __init__(self, station: Station, limits: BodyLimits) -> None:
        self._station = station
        self._limits = limits

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = Reconcile.operation
        bodies = (Content(ReconcileArguments, "How to reconcile.", JSON),)
        answer = Content(Line, media_type=JSON_LINES)
        endpoints = (Endpoint.of(operation, route, self.reconcile, answer, bodies) for route in operation.routes)
        return tuple(replace(each, on_record=True) for each in endpoints)

    async def reconcile(self, request: Request) -> Response:
        async with self._limits.body(request) as body:
            arguments = _read_arguments(body)
        command = Reconcile(arguments.allow_empty, arguments.wait, arguments.timeout, plan=arguments.plan)
        caller = acting_caller_of(request)
        return progress_response(lambda report: self._station.execute(command, caller, report))
