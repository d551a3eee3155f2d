"""A detection as asked for and as answered (design 3.6), and what of it each SDK generation can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.errors import CallError, Code
from controller.images.formats import ImageSource
from controller.wire.messages import Generation, Phase, Result, SharedImage, execute_data, phase_data


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """One detection. `guide_image` None: the image itself. `timeout`: seconds that the caller waits for the answer.

    `step_desc` and `guide_info` are for 0.3.x algorithms, `params`, `session` and `phase` (None: pre, then execute)
    for 0.0.x ones; what a generation has no place for must be well-formed and is not passed on.
    """

    pid: str
    image: ImageSource
    guide_image: ImageSource | None = None
    step_index: int = 1
    step_desc: str = ""
    guide_info: Any = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    phase: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer. `status` ERROR: the algorithm failed; a part's verdict stands in `data`, as the algorithm gave it."""

    request_id: str
    pid: str
    name: str
    version: str
    status: str
    message: str
    data: dict[str, Any]
    latency_ms: float

    def to_document(self) -> dict[str, Any]:
        """Return the object of the contract."""
        return {name: getattr(self, name) for name in self.__slots__}


def _require(holds: bool, what: str, need: str) -> None:
    if not holds:
        raise CallError(Code.invalid_params, f"{what} is not valid", next_step=f"pass {need}")


def check_arguments(request: DetectionRequest) -> None:
    """Raise CallError 1003 where an argument is malformed, whatever algorithm it is for."""
    index, timeout, session = request.step_index, request.timeout, request.session
    _require(type(index) is int and index >= 1, "step_index", "a whole number from 1")
    _require(isinstance(request.step_desc, str), "step_desc", "text")
    _require(isinstance(request.guide_info, (list, tuple, dict)), "guide_info", "a list, or an object")
    _require(isinstance(request.params, Mapping), "params", "an object")
    _require(isinstance(session, Mapping) and _is_session(session), "session", 'an object {"id": text, "context": {…}}')
    _require(
        timeout is None or (isinstance(timeout, (int, float)) and timeout is not True and 0 < timeout < 1e9),
        "timeout", "a positive number of seconds",
    )  # fmt: skip


def phases_of(request: DetectionRequest, generation: Generation) -> tuple[Phase, ...]:
    """Return the phases of a well-formed request. Raises CallError 1003 where the generation does not have them."""
    match request.phase:
        case None:
            return ("pre", "execute") if generation == "0.0" else ("execute",)
        case "execute":
            return ("execute",)
        case "pre" if generation == "0.0":
            return ("pre",)
        case "pre":
            raise CallError(
                Code.invalid_params, "this algorithm (SDK 0.3.x) has no phase 'pre'", next_step="leave phase out"
            )
    raise CallError(Code.invalid_params, "phase is not valid", next_step="pass pre or execute, or leave it out")


def _is_session(session: Mapping[str, Any]) -> bool:
    return (
        session.keys() <= {"id", "context"}
        and isinstance(session.get("id", ""), str)
        and isinstance(session.get("context", {}), Mapping)
    )


@dataclass(frozen=True, slots=True)
class SharedImages:
    """The images of a detection where the adapter finds them, and when they were put there (ms since 1970)."""

    image: SharedImage
    guide: SharedImage
    timestamp_ms: int


def call_data(
    request: DetectionRequest, request_id: str, images: SharedImages, generation: Generation, phase: Phase
) -> dict[str, Any]:
    """Return the data of the call frame for one phase of a detection."""
    if generation == "0.3":
        return execute_data(
            images.image, images.guide, images.timestamp_ms,
            request.step_index, request.step_desc, request.guide_info,
        )  # fmt: skip
    step = {
        "step_index": request.step_index,
        "session": {"id": request.session.get("id", request_id), "context": request.session.get("context", {})},
        "user_params": request.params,
    }
    return phase_data(phase, request.pid, images.image, images.timestamp_ms, step)


def status_of(result: Result) -> tuple[str, str]:
    """Return a result's status and message, where any status but OK is ERROR and an unusual one is told."""
    if result.status in {"OK", "ERROR"}:
        return result.status, result.message
    return "ERROR", f"the algorithm answered with status {result.status!r}: {result.message}".removesuffix(": ")
