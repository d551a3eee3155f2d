"""`POST /algorithms/validate`: check a zip that comes with the request, or one that the store has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from controller.http.arguments import reader
from controller.http.install import NAME
from controller.http.operations import LongActs, Usual, long_endpoint
from controller.http.peers import acting_caller_of
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Endpoint, Parameter
from controller.http.upload import FORM, LARGEST, ZIP, ZIP_BYTES, Uploads, ZipForm, flag, media_type, named
from controller.station.commands.validating import Validate, ValidateStored
from controller.station.port import Station

PROVE = Parameter(
    "prove", "Also build its environment and start its entry point; a JSON body may say it, too.", required=False,
    type=bool,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPackage:
    """Names a zip in algorithms/zips by its file name, or by the package in it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    zip: str | None = None
    name: str | None = None
    version: str | None = None
    prove: bool = False


class ValidateResource:
    """The resource, for one station. `folder` is where uploads stand until they are checked."""

    def __init__(self, station: Station, folder: Path, limits: BodyLimits, largest: int = LARGEST) -> None:
        self._long = LongActs(station)
        self._uploads = Uploads(folder, largest)
        self._limits = limits
        self._read = reader(StoredPackage, "the request")

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = Validate.operation
        (route,) = operation.routes
        bodies = (
            Content(ZIP_BYTES, "The package as the whole body,", ZIP, required=True),
            Content(ZipForm, "or in a form,", FORM),
            Content(StoredPackage, "or the name of one that is in the store.", JSON),
        )  # fmt: skip
        endpoint = long_endpoint(operation, route, self.validate, Usual.result, bodies)
        return (replace(endpoint, query=(NAME, PROVE)),)

    async def validate(self, request: Request) -> Response:
        """Receive the zip, or its name; then answer with the report."""
        caller = acting_caller_of(request)
        prove = flag(request, "prove")
        if media_type(request) == JSON:
            named(request)  # it says nothing here, and is to be right all the same
            async with self._limits.body(request) as body:
                said = self._read(body)
            stored = ValidateStored(said.zip, said.name, said.version, prove or said.prove)
            return await self._long.answer(request, stored, caller)
        upload = await self._uploads.receive(request)
        return await self._long.answer(request, Validate(upload.path, prove), caller, at_end=upload.remove)
