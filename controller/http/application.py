"""The resources put together into one ASGI application: a router without middleware."""

from __future__ import annotations

from starlette.routing import Route, Router

from controller.http.down import Down
from controller.http.execute import Execute
from controller.http.health import Health
from controller.http.openapi import OpenApi
from controller.http.ports import Control, DataPlane
from controller.http.reconcile import ReconcileResource
from controller.http.request_body import BodyLimits
from controller.http.resource import Handler, Operation, Resource, no_such_resource
from controller.http.status import StatusResource
from controller.http.verbs import Verbs


def operations(plane: DataPlane, control: Control, limits: BodyLimits) -> tuple[Operation, ...]:
    """Return everything that the surface offers; what is called most often first, which is how routes are found."""
    resources = (
        Execute(plane, limits),
        StatusResource(control),
        Health(control),
        ReconcileResource(control, limits),
        Verbs(control, limits),
        Down(control),
    )
    offered = tuple(operation for resource in resources for operation in resource.operations())
    return (*offered, *OpenApi(offered).operations())


def application(plane: DataPlane, control: Control, limits: BodyLimits | None = None) -> Router:
    """Return the ASGI application for a data plane and the daemon's control."""
    by_path: dict[str, dict[str, Handler]] = {}
    for operation in operations(plane, control, limits or BodyLimits()):
        by_path.setdefault(operation.path, {})[operation.method] = operation.handler
    routes = [Route(path, Resource(handlers)) for path, handlers in by_path.items()]
    return Router(routes, redirect_slashes=False, default=no_such_resource)
