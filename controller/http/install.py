"""`POST /algorithms/install`: install a zip that comes with the request, or one that the store has: an operation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from controller.http.arguments import reader
from controller.http.operations import LongActs, Usual, long_endpoint
from controller.http.peers import acting_caller_of
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Endpoint, Parameter
from controller.http.upload import FORM, LARGEST, ZIP, ZIP_BYTES, ZIP_NAME, Uploads, ZipForm, media_type, named
from controller.station.commands.packages import Install, InstallStored
from controller.station.port import Station

NAME = Parameter(
    "name",
    "The zip's file name; left out of a form: that of its file. No folder in it.",
    required=False,
    type=ZIP_NAME,
)


@dataclass(frozen=True, slots=True)
class StoredZip:
    """Names a zip in algorithms/zips by its file name."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    zip: ZIP_NAME


class InstallResource:
    """The resource, for one station. `folder` is where uploads stand until they are installed."""

    def __init__(self, station: Station, folder: Path, limits: BodyLimits, largest: int = LARGEST) -> None:
        self._long = LongActs(station)
        self._uploads = Uploads(folder, largest)
        self._limits = limits
        self._read = reader(StoredZip, "the request")

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = Install.operation
        (route,) = operation.routes
        bodies = (
            Content(ZIP_BYTES, "The package as the whole body,", ZIP, required=True),
            Content(ZipForm, "or in a form,", FORM),
            Content(StoredZip, "or the name of one that is in the store.", JSON),
        )  # fmt: skip
        endpoint = long_endpoint(operation, route, self.install, Usual.operation, bodies)
        return (replace(endpoint, query=(NAME,)),)

    async def install(self, request: Request) -> Response:
        """Receive the zip, or its name; then answer with the operation that installs it."""
        caller = acting_caller_of(request)
        if media_type(request) == JSON:
            named(request)  # it says nothing here, and is to be right all the same
            async with self._limits.body(request) as body:
                stored = self._read(body)
            return await self._long.answer(request, InstallStored(stored.zip), caller, Usual.operation)
        upload = await self._uploads.receive(request)
        return await self._long.answer(request, Install(upload.path), caller, Usual.operation, upload.remove)
