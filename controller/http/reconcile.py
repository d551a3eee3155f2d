"""`POST /v1/reconcile`: have the daemon reconcile, and hear of it as it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from controller.http.arguments import ReconcileArguments, reader
from controller.http.operations import LongActs, Usual, long_endpoint
from controller.http.peers import acting_caller_of
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Endpoint
from controller.model.status import Status
from controller.station.commands.reconciling import Reconcile
from controller.station.port import Station

_read_arguments = reader(ReconcileArguments, "the request")


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """How a reconcile ended: the exit code of `pvctl reconcile`, and the status document."""

    exit: int
    status: Status


class ReconcileResource:
    """The resource, for one station."""

    def __init__(self, station: Station, limits: BodyLimits) -> None:
        self._long = LongActs(station)
        self._limits = limits

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = Reconcile.operation
        bodies = (Content(ReconcileArguments, "How to reconcile.", JSON),)
        (route,) = operation.routes
        return (long_endpoint(operation, route, self.reconcile, Usual.lines, bodies, ReconcileResult),)

    async def reconcile(self, request: Request) -> Response:
        async with self._limits.body(request) as body:
            arguments = _read_arguments(body)
        command = Reconcile(arguments.allow_empty, arguments.wait, arguments.timeout, plan=arguments.plan)
        return await self._long.answer(request, command, acting_caller_of(request), Usual.lines)
