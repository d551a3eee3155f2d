"""Zips on their way in: straight to the disk and bounded, as the whole body or as the one file of a form."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import WithJsonSchema
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message
from typing_extensions import TypedDict

from controller.errors import CallError, Code, StoreError
from controller.http.failures import CLOSE, Refused
from controller.http.request_body import MIB
from controller.http.resource import JSON
from controller.station.commands.packages import is_zip_name

ZIP = "application/zip"
FORM = "multipart/form-data"
LARGEST = 4096 * MIB
"""Bytes of a zip at most: what may be unpacked from one in all (design 3.5)."""
ZIP_BYTES = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
ZIP_NAME = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[^/.][^/]*\\.zip$", "maxLength": 200})]
"""A zip's file name; its characters must be printable, too."""
_SILENCE = 60.0
"""Seconds within which a further piece of the zip has to arrive."""
_NAMED = "pass ?name=FILE.zip, without a folder and not beginning with a dot"


def media_type(request: Request) -> str:
    """Return the media type of a request's body. Raises Refused 415 where it is neither a zip nor names one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {ZIP, FORM, JSON}:
        raise Refused(415, f"Content-Type {kind[:80]!r} is not taken here", next_step=f"send {ZIP}, {FORM} or {JSON}")
    return kind


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is true or false; false where it is left out. Raises CallError 1003."""
    text = request.query_params.get(name, "false")
    if text not in {"true", "false"}:
        raise CallError(Code.invalid_params, f"{name}: {text[:80]!r} is neither true nor false", next_step="say true")
    return text == "true"


class ZipForm(TypedDict):
    """A form with a zip as its one part, as `curl -F file=@package.zip` sends it."""

    file: ZIP_BYTES


class Uploads:
    """Takes zips into a folder; `largest` bytes each. `name`: what all are called, where their own does not matter."""

    def __init__(self, folder: Path, largest: int = LARGEST, name: str = "") -> None:
        self._folder = folder
        self._largest = largest
        self._name = name

    async def receive(self, request: Request) -> Upload:
        """Return the zip of a request once it is there. Its name is that of `?name=`, or of the file in the form.

        Raises:
            CallError: 1003, it has no name that a zip can have, or the form holds something else.
            Refused: 413, 408; StoreError; ClientDisconnect.
        """
        upload = _begin(request, self._folder, self._name or named(request))
        try:
            size = 0
            async for piece in _pieces(request):
                size += len(piece)
                if size > self._largest:
                    raise Refused(413, f"the zip has more than {self._largest / MIB:.3g} MiB", headers=CLOSE)
                await upload.take(piece)
            upload.finish()
        except BaseException:
            upload.remove()
            raise
        return upload


def named(request: Request) -> str:
    """Return `?name=`; empty where it is left out. Raises CallError 1003: it is no file name of a zip."""
    name = request.query_params.get("name")
    return "" if name is None else _required(name)


def _begin(request: Request, folder: Path, name: str) -> Upload:
    if media_type(request) == FORM:
        options = parse_options_header(request.headers["content-type"])[1]
        if not (boundary := options.get(b"boundary")):
            raise _malformed("has no boundary in its Content-Type")
        return _FormUpload(folder, boundary, name)
    return Upload(folder, _required(name))


def _required(name: str) -> str:
    if not is_zip_name(name):
        raise CallError(Code.invalid_params, f"{name[:80]!r} is no file name of a zip", next_step=_NAMED)
    return name


class Upload:
    """A zip on its way in: a file of the given name in a folder of its own, which goes away with `remove`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=folder, prefix="upload-", ignore_cleanup_errors=True)
            self._file = Path(self._folder.name, "arriving").open("xb")  # noqa: SIM115 - until `finish` or `remove`
        except OSError as error:
            raise _cannot_take(error) from None

    @property
    def path(self) -> Path:
        """Where the zip is, once it is finished."""
        return Path(self._folder.name) / self.name

    async def take(self, piece: bytes) -> None:
        """Write a piece of the body to the file; the disk does not hold up the event loop. Raises StoreError."""
        try:
            await asyncio.to_thread(self._file.write, piece)
        except OSError as error:
            raise _cannot_take(error) from None

    def finish(self) -> None:
        """Give the file its name. Raises StoreError."""
        try:
            self._file.close()
            Path(self._file.name).rename(self.path)
        except OSError as error:
            raise _cannot_take(error) from None

    def remove(self) -> None:
        """Remove it, where it has not been kept elsewhere."""
        with suppress(OSError):  # a full disk refuses the rest that is buffered once more
            self._file.close()
        self._folder.cleanup()


class _FormUpload(Upload):
    """A zip as the part `file` of a form; its name is that of the form's file where none is given."""

    def __init__(self, folder: Path, boundary: bytes, name: str) -> None:
        super().__init__(folder, name)
        self._parts = 0
        self._complete = False
        self._field = self._value = b""
        self._data: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
                "on_end": self._end,
            },
        )

    async def take(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _malformed(f"is malformed: {error}") from None
        for each in self._drained():
            await super().take(each)

    def finish(self) -> None:
        if not self._complete or not self._parts:
            raise _malformed("is cut off")
        self.name = _required(self.name)
        super().finish()

    def _drained(self) -> Iterator[bytes]:
        pieces, self._data = self._data, []
        yield from pieces

    def _part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise _malformed("has more than one part")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            options = parse_options_header(self._value)[1]
            if (part := options.get(b"name", b"")) != b"file":
                raise _malformed(f"has a part {part[:80].decode('utf-8', 'replace')!r}, where only 'file' is known")
            self.name = self.name or options.get(b"filename", b"").decode("utf-8", "replace")
        self._field = self._value = b""

    def _end(self) -> None:
        self._complete = True


def _malformed(what: str) -> CallError:
    return CallError(
        Code.invalid_params, f"the multipart body {what}", next_step="send it as `curl -F file=@package.zip` does"
    )


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await _next_message(request)
        yield message["body"]
        more = message["more_body"]


async def _next_message(request: Request) -> Message:
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
