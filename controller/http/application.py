"""The resources put together into one ASGI application: a router without middleware."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from starlette.routing import Route, Router

from controller.host.clock import epoch_seconds
from controller.http.commands import CommandResource
from controller.http.events import EventsResource
from controller.http.execute import Execute
from controller.http.health import Health
from controller.http.idempotency import Idempotency
from controller.http.install import InstallResource
from controller.http.logs import LogsResource
from controller.http.metrics import MetricsResource
from controller.http.openapi_file import OpenApiFile
from controller.http.operations import LongActs, OperationEvents
from controller.http.peers import admitted
from controller.http.picture import PictureResource
from controller.http.quick import QuickHandler
from controller.http.reconcile import ReconcileResource
from controller.http.recordings import RecordingsResource
from controller.http.request_body import BodyLimits
from controller.http.resource import Endpoint, Handler, Missing, Resource
from controller.http.status import StatusResource
from controller.http.validate import ValidateResource
from controller.images.uploads import Uploads
from controller.station.commands.detecting import Detect
from controller.station.commands.events import FollowEvents
from controller.station.commands.every import COMMANDS
from controller.station.commands.measuring import GetMetrics
from controller.station.commands.operations import FollowOperation
from controller.station.commands.packages import Install, InstallStored
from controller.station.commands.parts import GetPicture
from controller.station.commands.reconciling import GetReadiness, Reconcile
from controller.station.commands.recordings import ExportRecordings, ImportRecordings, ShowRecording
from controller.station.commands.records import ReadLogs
from controller.station.commands.status import GetStatus
from controller.station.commands.validating import Validate, ValidateStored
from controller.station.port import Access, Station
from controller.store.idempotency import IdempotencyKeys
from controller.store.layout import StoreLayout

_OWN_RESOURCE = {
    Detect, GetStatus, GetReadiness, Reconcile, Install, InstallStored, Validate, ValidateStored, GetPicture,
    FollowOperation, FollowEvents, GetMetrics, ReadLogs, ShowRecording, ExportRecordings, ImportRecordings,
}  # fmt: skip
"""Commands whose request or answer is more than plain JSON."""


def endpoints(station: Station, uploads: Path, limits: BodyLimits) -> tuple[Endpoint, ...]:
    """Return everything that the surface offers; what is called most often first, which is how routes are found."""
    resources = (
        Execute(station, limits),
        StatusResource(station),
        MetricsResource(station),
        Health(station),
        ReconcileResource(station, limits),
        PictureResource(station),
        InstallResource(station, uploads, limits),
        ValidateResource(station, uploads, limits),
        OperationEvents(station),
        EventsResource(station),
        LogsResource(station),
        RecordingsResource(station, uploads),
    )
    plain = (
        CommandResource(station, limits, command, route).endpoint()
        for command in COMMANDS
        for route in command.operation.routes
        if command not in _OWN_RESOURCE
    )
    own = (endpoint for resource in resources for endpoint in resource.endpoints())
    return (*own, *plain, *OpenApiFile().endpoints())


class Application(Router):
    """The resources as an ASGI application, and what answers a quick detection without it.

    `uploads`: the files of pictures that came in forms, to be closed at the end.
    """

    def __init__(self, routes: Sequence[Route], paths: Iterable[str], quick: QuickHandler, uploads: Uploads) -> None:
        super().__init__(routes, redirect_slashes=False, default=Missing(paths))
        self.quick = quick
        self.uploads = uploads


def application(station: Station, layout: StoreLayout, limits: BodyLimits | None = None) -> Application:
    """Return the application for the station of a store, where uploads and the keys of requests are kept."""
    limits = limits or BodyLimits()
    uploads = limits.uploads = Uploads(layout.images)
    idempotency = Idempotency(IdempotencyKeys(layout, epoch_seconds), LongActs(station))
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in endpoints(station, layout.staging, limits):
        handler = idempotency.guard(endpoint) if endpoint.keyed else endpoint.handler
        needed = Access[endpoint.access] if endpoint.access else Access.viewer
        by_path.setdefault(endpoint.path, {})[endpoint.method] = admitted(handler, needed)
    routes = [Route(path, Resource(handlers)) for path, handlers in by_path.items()]
    return Application(routes, by_path, Execute(station, limits).execute_quick, uploads)
