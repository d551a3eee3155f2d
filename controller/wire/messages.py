"""What the frames say, as frozen values, and the messages that we send, as plain objects ready to be encoded.

Source of every field: the SDK's adapter, generations 0.3.x and 0.0.x. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from controller import __version__
from controller.errors import ProtocolViolation

_LINES, _LINE = 40, 500
"""Lines of a traceback that are kept, and characters of each."""
RAISED = "1009"
"""The code of an `error` frame that says that the algorithm raised."""
Generation = Literal["0.3", "0.0"]
Phase = Literal["pre", "execute", "info"]


@dataclass(frozen=True, slots=True)
class Hello:
    """The adapter runs. It has not imported the algorithm yet: this is not readiness."""

    sdk_version: str
    generation: Generation


@dataclass(frozen=True, slots=True)
class Pong:
    """The algorithm is loaded and idle."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Result:
    """The algorithm's answer to a call. `status` is as it returned it, mostly OK or ERROR; `data` may be empty."""

    request_id: str
    status: str
    message: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """An `error` frame about one call. `traceback`: the algorithm's own frames, the raising one last, where known."""

    request_id: str
    message: str
    error_code: str
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StartupError:
    """An `error` frame about no call: the algorithm could not be loaded, and the adapter exits (with status 0)."""

    message: str
    error_code: str


@dataclass(frozen=True, slots=True)
class ShutdownAck:
    """The adapter exits now."""


Answer = Pong | Result | CallFailed
Message = Hello | Answer | StartupError | ShutdownAck


def parse(document: Mapping[str, Any]) -> Message:
    """Return the message that a JSON object from the adapter stands for.

    Raises:
        ProtocolViolation: it is none that the protocol knows.
    """
    kind = document.get("type")
    parser = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        raise ProtocolViolation(f"the algorithm process sent a message of unknown type {_shorten(kind)}")
    return parser(document)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + " …"


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else "" if value is None else str(value)


def _hello(document: Mapping[str, Any]) -> Hello:
    version = _text(document, "sdk_version")
    capabilities = document.get("capabilities")
    if not isinstance(capabilities, list):
        capabilities = []
    if "execute" in capabilities:
        return Hello(version, "0.3")
    if "info" in capabilities or version.startswith("0.0."):
        return Hello(version, "0.0")
    raise ProtocolViolation(
        f"the algorithm's SDK {version or '(unknown)'} is of no known generation: it offers {_shorten(capabilities)}",
        next_step="package the algorithm with procvision-algorithm-sdk 0.3.x or 0.0.x",
    )


def _result(document: Mapping[str, Any]) -> Result | CallFailed:
    """Return the result; what cannot be handed on to any caller is the algorithm's failure, and said as one."""
    data = document.get("data")
    try:
        orjson.dumps([[data]])  # what HTTP puts round it counts too
    except TypeError as error:
        return CallFailed(_text(document, "request_id"), f"the algorithm's result cannot be passed on: {error}", RAISED)
    return Result(
        _text(document, "request_id"),
        _text(document, "status"),
        _text(document, "message"),
        data if isinstance(data, dict) else {},
    )


def _error(document: Mapping[str, Any]) -> CallFailed | StartupError:
    message, code = _text(document, "message"), _text(document, "error_code")
    if document.get("request_id") is None:
        return StartupError(message, code)
    traceback = document.get("traceback")
    lines = tuple(str(line)[:_LINE] for line in traceback[-_LINES:]) if isinstance(traceback, list) else ()
    return CallFailed(_text(document, "request_id"), message, code, lines)


def _pong(document: Mapping[str, Any]) -> Pong:
    return Pong(_text(document, "request_id"))


def _shutdown_ack(_: Mapping[str, Any]) -> ShutdownAck:
    return ShutdownAck()


_PARSERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "hello": _hello,
    "pong": _pong,
    "result": _result,
    "error": _error,
    "shutdown": _shutdown_ack,
}


def hello(heartbeat_interval_ms: int, grace_ms: int) -> dict[str, Any]:
    """Return our greeting; it tells the adapter how often it will be asked for a sign of life."""
    return {
        "type": "hello",
        "runner_version": __version__,
        "heartbeat_interval_ms": heartbeat_interval_ms,
        "heartbeat_grace_ms": grace_ms,
    }


def ping(request_id: str) -> dict[str, Any]:
    return {"type": "ping", "request_id": request_id}


def call(request_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call with the data of `execute_data` or `phase_data`."""
    return {"type": "call", "request_id": request_id, "data": data}


def shutdown() -> dict[str, Any]:
    return {"type": "shutdown"}


@dataclass(frozen=True, slots=True)
class SharedImage:
    """An image in shared storage: the id under which the adapter finds it, its size in pixels, its channels' order.

    `conversion`: what was done to make it what it is, in keys that its `*_meta` has beside the usual ones.

    The SDK turns BGR into RGB, so an algorithm sees RGB whatever `color_space` is. `zero_copy`: whoever would write
    over it respects a lock, so the adapter (`host/adapter_pictures.py`) may map it.
    """

    id: str
    width: int
    height: int
    color_space: str = "RGB"
    zero_copy: bool = False
    conversion: Mapping[str, Any] | None = None


NO_IMAGE = SharedImage("none", 0, 0)
"""What reaches an algorithm as None: without a width and a height the SDK passes no image at all."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Where and when (ms since 1970) the camera picture was taken, as an algorithm is told."""

    timestamp_ms: int
    camera_id: str = ""

    def meta(self, image: SharedImage) -> dict[str, Any]:
        """Return the `*_meta` object of an image."""
        meta = {
            "width": image.width,
            "height": image.height,
            "timestamp_ms": self.timestamp_ms,
            "camera_id": self.camera_id,
            "color_space": image.color_space,
        }
        if image.zero_copy:
            meta["zero_copy"] = True
        return meta if image.conversion is None else {**meta, **image.conversion}


def execute_data(
    current: SharedImage, guide: SharedImage, taken: Taken, step_index: int, step_desc: str, guide_info: Any
) -> dict[str, Any]:
    """Return the data of a call to a 0.3.x algorithm, the images in the order in which its `execute` has them."""
    return {
        "step_index": step_index,
        "step_desc": step_desc,
        "guide_info": guide_info,
        "cur_image_shm_id": current.id,
        "cur_image_meta": taken.meta(current),
        "guide_image_shm_id": guide.id,
        "guide_image_meta": taken.meta(guide),
    }


def phase_data(phase: Phase, pid: str, image: SharedImage, taken: Taken, step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a call to a 0.0.x algorithm; `step` holds `step_index`, `session` and `user_params`."""
    return {
        "phase": phase,
        "pid": pid,
        "shared_mem_id": image.id,
        "image_meta": taken.meta(image),
        **step,
    }
