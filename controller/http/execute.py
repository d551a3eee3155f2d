"""`POST /v1/pids/{pid}/execute`, `POST /v1/packages/{name}/{version}/execute`: one detection.

The hot path: no middleware, no form objects, images uncopied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Annotated, TypeVar

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from controller.calls.request import DetectionRequest, require_pid
from controller.client.answers import Detection
from controller.errors import CallError, Code
from controller.http.arguments import DetectionArguments, PackageDetectionArguments, reader
from controller.http.failures import Refused
from controller.http.landing import LandedForm
from controller.http.multipart import parts_of
from controller.http.peers import caller_of
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Endpoint, json_response
from controller.images.formats import ImageRef, ImageSource
from controller.model.package import PackageRef
from controller.station.commands.detecting import Detect
from controller.station.port import Station, require

MULTIPART = "multipart/form-data"
PARTS = ("image", "guide_image", "request")
_NPY = b"\x93NUMPY"
_UNWATCHED = 0.02
"""Seconds that a call may take before anybody looks whether its caller is still there: most are answered sooner."""
Body = bytes | bytearray | LandedForm
_Work = TypeVar("_Work")
_Arguments = TypeVar("_Arguments", bound=DetectionArguments)
_Binary = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
_read_arguments = reader(DetectionArguments, "the request")
_read_package_arguments = reader(PackageDetectionArguments, "the request")


class DetectionForm(TypedDict, total=False):
    """The multipart body, for its schema."""

    image: _Binary
    guide_image: _Binary
    request: DetectionArguments


class PackageDetectionForm(TypedDict, total=False):
    """The multipart body where a package is asked."""

    image: _Binary
    guide_image: _Binary
    request: PackageDetectionArguments


class Execute:
    """The resource, for one station."""

    def __init__(self, station: Station, limits: BodyLimits) -> None:
        self._station = station
        self._limits = limits

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation, answer = Detect.operation, Content(Detection)
        by_pid, by_package = operation.routes
        package_bodies = _bodies(PackageDetectionForm, PackageDetectionArguments)
        offered = (
            Endpoint.of(operation, by_pid, self.execute, answer, _bodies(DetectionForm, DetectionArguments)),
            Endpoint.of(operation, by_package, self.execute_package, answer, package_bodies),
        )
        return tuple(replace(each, keyed=False) for each in offered)  # a part may be looked at twice

    async def execute(self, request: Request) -> Response | None:
        """Answer a detection for a PID; None where the caller left before, which has cancelled it."""
        return await self._answer(request, partial(pid_request, request.path_params["pid"]))

    async def execute_quick(self, request: Request, body: bytes | None) -> Response | None:
        """Answer a detection for a PID; it is cancelled where the caller leaves. `body`: JSON, None: a form to come."""
        require(Detect.operation.access, caller := caller_of(request))
        pid = request.path_params["pid"]
        if body is not None:
            asked = pid_request(pid, JSON, body)
            return json_response((await self._station.execute(Detect(asked), caller)).to_document())
        async with self._limits.form(request) as form:
            asked = pid_request(pid, request.headers["content-type"], form)
            return json_response((await self._station.execute(Detect(asked), caller)).to_document())

    async def execute_package(self, request: Request) -> Response | None:
        """Answer a detection through a package, like `execute`."""
        package = PackageRef(request.path_params["name"], request.path_params["version"])
        return await self._answer(request, partial(package_request, package))

    async def _answer(self, request: Request, read: Callable[[str, Body], DetectionRequest]) -> Response | None:
        held = self._limits.form(request)
        async with held as body:
            asked = read(request.headers.get("content-type", ""), body)
            detection = await unless_gone(request, self._station.execute(Detect(asked), caller_of(request)))
            held.left = detection is None
        return None if detection is None else json_response(detection.to_document())


def _bodies(form: object, arguments: type[DetectionArguments]) -> tuple[Content, ...]:
    return (
        Content(
            form,
            "Images as PNG, JPEG, BMP, TIFF or .npy bytes, or as pixels in a pixel_format; request is JSON.",
            MULTIPART,
            required=True,
        ),
        Content(arguments, "An image that stands in run/images already, by image_ref.", required=True),
    )


def pid_request(pid: str, content_type: str, body: Body) -> DetectionRequest:
    """Return the detection for a PID that a request's body asks for.

    Raises:
        Refused: 415, the body is neither multipart nor JSON.
        CallError: 1001, the PID cannot be one; 1003, the body or its JSON is malformed, or no image is given.
    """
    image, guide_image, arguments = _read(content_type, body, _read_arguments)
    return DetectionRequest(pid, image, guide_image, arguments)


def package_request(package: PackageRef, content_type: str, body: Body) -> DetectionRequest:
    """Return the detection through a package that a request's body asks for. Raises like `pid_request`."""
    image, guide_image, arguments = _read(content_type, body, _read_package_arguments)
    if arguments.pid is not None:
        require_pid(arguments.pid)
    return DetectionRequest(arguments.pid or "", image, guide_image, arguments, package)


def _read(
    content_type: str, body: Body, read: Callable[[bytes | bytearray | memoryview], _Arguments]
) -> tuple[ImageSource | None, ImageSource | None, _Arguments]:
    kind = content_type.partition(";")[0].strip().lower()
    text, images = body.text if isinstance(body, LandedForm) else body, dict[str, memoryview | ImageRef]()
    if kind == MULTIPART:
        parts = parts_of(text, content_type, PARTS)
        arguments = read(parts.get("request", b""))
        images |= parts
        if isinstance(body, LandedForm):
            images[body.name] = body.picture if arguments.pixel_format is None else body.pixels()
    elif kind == JSON:
        arguments = read(text)
    else:
        raise Refused(415, f"Content-Type {kind[:80]!r} is not taken here", next_step=f"send {MULTIPART} or {JSON}")
    image = _image(images.get("image"), arguments.image_ref, "image")
    return image, _image(images.get("guide_image"), arguments.guide_image_ref, "guide_image"), arguments


def _image(part: memoryview | ImageRef | None, ref: str | None, what: str) -> ImageSource | None:
    if part is not None and ref is not None:
        raise CallError(Code.invalid_params, f"both {what} and {what}_ref are given", next_step="pass one of them")
    if ref is not None:
        return ImageRef(ref)
    if part is None or isinstance(part, ImageRef) or part[: len(_NPY)] == _NPY:
        return part
    return bytes(part)  # encoded, so small; as bytes the runner decodes it off the event loop


async def unless_gone(request: Request, work: Coroutine[object, object, _Work]) -> _Work | None:
    """Return what `work` returns; where the caller leaves before, cancel it and return None."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  (every request is a task)
    watch: asyncio.Task[None] | None = None

    def begin() -> None:
        nonlocal watch
        watch = loop.create_task(_cancel_when_gone(request, task))

    timer = loop.call_later(_UNWATCHED, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if watch is None or not watch.done():  # the server's own end
            raise
        task.uncancel()
        return None
    finally:
        timer.cancel()
        if watch is not None:
            watch.cancel()


async def _cancel_when_gone(request: Request, task: asyncio.Task[object]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    task.cancel()
