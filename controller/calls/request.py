"""A detection as asked for and as answered (design 3.6), and what of it each SDK generation can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.client.arguments import CallArguments
from controller.errors import CallError, Code
from controller.images.formats import ImageSource
from controller.model.names import NAME_PATTERN, PID_PATTERN, VERSION_PATTERN
from controller.model.package import PackageRef
from controller.model.parameters import Steps, completed
from controller.wire.messages import Generation, Phase, Result, SharedImage, Taken, execute_data, phase_data

_is_pid = re.compile(PID_PATTERN).fullmatch
_is_package = re.compile(f"{NAME_PATTERN}@{VERSION_PATTERN}").fullmatch
_PLAIN = CallArguments()


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """One detection, well-formed.

    `image` is the camera picture of the part; only phase `info` goes without. `guide_image` is what it is compared
    with; None: what `spec.input.guide` of the deployment says.

    `package` asks for one version, by its name and version: it answers while it is active for `pid`, or, where that is
    empty, for any PID. None: whatever version is active for `pid`.

    Raises:
        CallError: 1001, `pid` cannot be a PID; 1003, an argument is malformed, whatever algorithm it is for, `package`
            cannot be a package, or there is no image.
    """

    pid: str
    image: ImageSource | None
    guide_image: ImageSource | None = None
    arguments: CallArguments = _PLAIN
    package: PackageRef | None = None

    def __post_init__(self) -> None:
        if self.package is not None:
            _require_package(self.package)
        if self.package is None or self.pid:
            require_pid(self.pid)
        self.arguments.check()
        if self.image is None and not self.is_info:
            raise CallError(
                Code.invalid_params,
                "there is no image",
                next_step="pass image (over HTTP a part 'image', or an image_ref)",
            )

    @property
    def is_info(self) -> bool:
        """Whether it asks what the algorithm says of itself: then no part is looked at."""
        return self.arguments.phase == "info"


def require_pid(pid: str) -> None:
    """Raise CallError 1001 where a text cannot be a PID, whether any is served or not."""
    if not _is_pid(pid):
        raise CallError(Code.invalid_pid, f"{pid[:80]!r} cannot be a PID", next_step="see `pvctl status` for the PIDs")


def _require_package(package: PackageRef) -> None:
    if not _is_package(str(package)):
        raise CallError(
            Code.invalid_params,
            f"{str(package)[:130]!r} cannot be a package's NAME@VERSION",
            next_step="see `pvctl status -o json` for the names and versions of packages",
        )


_PHASES: dict[tuple[Generation, str | None], tuple[Phase, ...]] = {
    ("0.3", None): ("execute",),
    ("0.3", "execute"): ("execute",),
    ("0.0", None): ("pre", "execute"),
    ("0.0", "pre"): ("pre",),
    ("0.0", "execute"): ("execute",),
    ("0.0", "info"): ("info",),
}


def phases_of(request: DetectionRequest, generation: Generation) -> tuple[Phase, ...]:
    """Return the phases of a request. Raises CallError 1003 where the generation does not have them."""
    phases = _PHASES.get((generation, request.arguments.phase))
    if phases is None:
        raise CallError(
            Code.invalid_params,
            f"this algorithm (SDK {generation}.x) has no phase {request.arguments.phase!r}",
            next_step="leave phase out",
        )
    return phases


def params_of(request: DetectionRequest, steps: Steps, generation: Generation) -> Mapping[str, Any]:
    """Return the parameters of a request as the algorithm gets them: with the defaults that its manifest declares.

    Raises:
        CallError: 1003, a value is not what the manifest declares for it. The algorithm never sees it.
    """
    given = request.arguments.params or {}
    if generation != "0.0":
        return given
    try:
        return completed(steps, request.arguments.step_index, given)
    except ValueError as error:
        raise CallError(
            Code.invalid_params,
            f"params: {error}",
            next_step="see the steps in `pvctl package show` for what the algorithm takes",
        ) from None


@dataclass(frozen=True, slots=True)
class SharedImages:
    """The images of a detection where the adapter finds them, and when they were put there (ms since 1970).

    `swapped`: the algorithm wants the camera picture as its `guide_image`.
    """

    image: SharedImage
    guide: SharedImage
    timestamp_ms: int
    swapped: bool = False


def call_data(
    request: DetectionRequest,
    request_id: str,
    images: SharedImages,
    generation: Generation,
    phase: Phase,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the data of the call frame for one phase of a detection."""
    given = request.arguments
    taken = Taken(images.timestamp_ms if given.timestamp_ms is None else given.timestamp_ms, given.camera_id or "")
    if generation == "0.3":
        guide_info = [] if given.guide_info is None else given.guide_info
        current, guide = (images.guide, images.image) if images.swapped else (images.image, images.guide)
        return execute_data(current, guide, taken, given.step_index, given.step_desc, guide_info)
    session = given.session or {}
    step = {
        "step_index": given.step_index,
        "session": {"id": session.get("id", request_id), "context": session.get("context", {})},
        "user_params": params,
    }
    return phase_data(phase, request.pid, images.image, taken, step)


def status_of(result: Result) -> tuple[str, str]:
    """Return a result's status and message, where any status but OK is ERROR and an unusual one is told."""
    if result.status in {"OK", "ERROR"}:
        return result.status, result.message
    return "ERROR", f"the algorithm answered with status {result.status!r}: {result.message}".removesuffix(": ")
