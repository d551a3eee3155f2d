"""`POST /algorithms/install`: take a zip straight to the disk, and install it: an operation."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message

from controller.errors import CallError, Code, StoreError
from controller.http.failures import CLOSE, Refused
from controller.http.operations import LongActs, Usual, long_endpoint
from controller.http.peers import acting_caller_of
from controller.http.request_body import MIB
from controller.http.resource import Content, Endpoint, Parameter
from controller.station.commands.packages import Install, is_zip_name
from controller.station.port import Station

ZIP = "application/zip"
_LARGEST = 4096 * MIB
"""Bytes of a zip at most: what may be unpacked from one in all (design 3.5)."""
_SILENCE = 60.0
"""Seconds within which a further piece of the zip has to arrive."""


class InstallResource:
    """The resource, for one station. `folder` is where uploads stand until they are installed."""

    def __init__(self, station: Station, folder: Path, largest: int = _LARGEST) -> None:
        self._long = LongActs(station)
        self._folder = folder
        self._largest = largest

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = Install.operation
        (route,) = operation.routes
        bodies = (Content(bytes, "The package.", ZIP),)
        endpoint = long_endpoint(operation, route, self.install, Usual.operation, bodies)
        name = Parameter("name", "The zip's file name, which it keeps in algorithms/zips: no folder in it.")
        return (replace(endpoint, query=(name,)),)

    async def install(self, request: Request) -> Response:
        """Receive the zip, then answer with the operation that installs it."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != ZIP:
            raise Refused(415, f"Content-Type {kind[:80]!r} is not taken here", next_step=f"send {ZIP}")
        name = request.query_params.get("name", "")
        if not is_zip_name(name):
            raise CallError(
                Code.invalid_params,
                f"{name[:80]!r} is no file name of a zip",
                next_step="pass ?name=FILE.zip, without a folder and not beginning with a dot",
            )
        caller = acting_caller_of(request)
        upload = _Upload(self._folder, name)
        try:
            await upload.receive(request, self._largest)
        except BaseException:
            upload.remove()
            raise
        return await self._long.answer(request, Install(upload.path), caller, Usual.operation, upload.remove)


class _Upload:
    """A zip on its way in: a file of the given name in a folder of its own, which goes away with `remove`."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=folder, prefix="upload-", ignore_cleanup_errors=True)
        except OSError as error:
            raise _cannot_take(error) from None
        self.path = Path(self._folder.name) / name

    def remove(self) -> None:
        """Remove it, where it has not been kept elsewhere."""
        self._folder.cleanup()

    async def receive(self, request: Request, largest: int) -> None:
        """Write the body to the file as it comes; the disk does not hold up the event loop.

        Raises:
            Refused: 413, 408; StoreError; ClientDisconnect.
        """
        try:
            with self.path.open("wb") as file:
                size, more = 0, True
                while more:
                    message = await _next_piece(request)
                    size += len(message["body"])
                    if size > largest:
                        raise Refused(413, f"the zip has more than {largest / MIB:.3g} MiB", headers=CLOSE)
                    await asyncio.to_thread(file.write, message["body"])
                    more = message["more_body"]
        except OSError as error:
            raise _cannot_take(error) from None


async def _next_piece(request: Request) -> Message:
    try:
        async with asyncio.timeout(_SILENCE):
            message = await request.receive()
    except TimeoutError:
        raise Refused(408, f"no more of the zip arrived for {_SILENCE:g} s", headers=CLOSE) from None
    if message["type"] != "http.request":
        raise ClientDisconnect
    return message


def _cannot_take(error: OSError) -> StoreError:
    return StoreError(f"cannot take the zip: {error.strerror}", next_step="check the disk and its free space")
