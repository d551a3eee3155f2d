"""The arguments of a detection beside its images (design 3.6): one value, from who asks to the algorithm.

It stands in the client's room because that is the lowest one that all who carry it may import: host applications must
load neither `model` nor pydantic, and the command line, HTTP and calls lie above. Bounds stand in the fields' metadata
under the names that pydantic gives them, so that HTTP reads a body, and documents it, by this very class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.client.pixel_formats import PATTERN, PixelFormat, pixel_format
from controller.errors import CallError, Code

_PHASE = "^(pre|execute|info)$"
_COLOR_SPACE = "^(RGB|BGR)$"
_CAMERA_ID = 200
_LONGEST = 1e9
_SIDE = 2**24
"""Pixels that no picture's side has."""


@dataclass(frozen=True, slots=True)
class CallArguments:
    """What a detection is asked with. What is None is left out.

    `step_desc` and `guide_info` are for 0.3.x algorithms, `params`, `session` and `phase` (left out: pre, then execute)
    for 0.0.x ones; what a generation has no place for must be well-formed and is not passed on. Phase `info` asks for
    the algorithm's `get_info()` and needs no image. `timeout`: seconds that the caller waits for the answer.

    `color_space` is the order of the channels of arrays and `.npy` files (BGR: as OpenCV has them; left out: as the
    deployment says, else RGB); PNG, JPEG, BMP and TIFF have an order of their own. Algorithms see RGB. `pixel_format`
    is what a camera calls its format (GenICam's PFNC: Mono12, BayerRG8, BGR8 …): of arrays, `.npy` and one-channel
    files; with `width` and `height`, of bytes that are pixels and nothing else. `camera_id` and `timestamp_ms` (ms
    since 1970, left out: now) reach the algorithm's side of the SDK with the image.
    """

    step_index: int = field(default=1, metadata={"ge": 1})
    step_desc: str = ""
    guide_info: list[Any] | dict[str, Any] | None = None
    params: Mapping[str, Any] | None = None
    session: Mapping[str, Any] | None = None
    phase: str | None = field(default=None, metadata={"pattern": _PHASE})
    timeout: float | None = field(default=None, metadata={"gt": 0, "lt": _LONGEST, "allow_inf_nan": False})
    color_space: str | None = field(default=None, metadata={"pattern": _COLOR_SPACE})
    camera_id: str | None = field(default=None, metadata={"max_length": _CAMERA_ID})
    timestamp_ms: int | None = field(default=None, metadata={"ge": 0, "lt": 2**63})

    pixel_format: str | None = field(default=None, metadata={"pattern": PATTERN})
    width: int | None = field(default=None, metadata={"ge": 1, "lt": _SIDE})
    height: int | None = field(default=None, metadata={"ge": 1, "lt": _SIDE})

    @property
    def format(self) -> PixelFormat | None:
        """The format that `pixel_format` names."""
        return None if self.pixel_format is None else pixel_format(self.pixel_format)

    def channel_order(self, usual: str) -> str:
        """Return the order of channels of arrays, which is `usual` where the call does not say: RGB or BGR."""
        found = self.format
        return self.color_space or (found and found.order) or usual

    def to_document(self) -> dict[str, Any]:
        """Return what is to be sent: everything that is not left out."""
        found = {name: getattr(self, name) for name in CallArguments.__slots__}
        return {name: value for name, value in found.items() if value is not None}

    def check(self) -> None:
        """Raise CallError 1003 where an argument is malformed, whatever algorithm it is for."""
        index, guide, params, session, timeout = (
            self.step_index, self.guide_info, self.params, self.session, self.timeout,
        )  # fmt: skip
        _require(type(index) is int and index >= 1, "step_index", "a whole number from 1")
        _require(isinstance(self.step_desc, str), "step_desc", "text")
        _require(guide is None or isinstance(guide, (list, tuple, dict)), "guide_info", "a list, or an object")
        _require(params is None or isinstance(params, Mapping), "params", "an object")
        _require(session is None or _is_session(session), "session", 'an object {"id": text, "context": {…}}')
        _require(self.phase is None or _matches(_PHASE, self.phase), "phase", "pre, execute or info, or leave it out")
        _require(timeout is None or _is_time(timeout), "timeout", "a positive number of seconds")
        color_space, camera_id, taken = self.color_space, self.camera_id, self.timestamp_ms
        _require(color_space is None or _matches(_COLOR_SPACE, color_space), "color_space", "RGB or BGR")
        _require(
            camera_id is None or (isinstance(camera_id, str) and len(camera_id) <= _CAMERA_ID),
            "camera_id", f"text of at most {_CAMERA_ID} characters",
        )  # fmt: skip
        _require(
            taken is None or (type(taken) is int and 0 <= taken < 2**63),
            "timestamp_ms", "a whole number of milliseconds since 1970",
        )  # fmt: skip
        if self.pixel_format is not None or self.width is not None or self.height is not None:
            self._check_format()

    def _check_format(self) -> None:
        name, width, height = self.pixel_format, self.width, self.height
        _require(
            name is None or _matches(PATTERN, name),
            "pixel_format", "a name of GenICam's, such as Mono8, Mono12, BayerRG8, RGB8 or BGR8",
        )  # fmt: skip
        for side, what in ((width, "width"), (height, "height")):
            _require(side is None or (type(side) is int and 1 <= side < _SIDE), what, "a whole number of pixels")
        _require((width is None) == (height is None), "width" if height is None else "height", "both, or none of them")
        _require(
            name is not None or width is None, "pixel_format",
            "it beside width and height, which say that the image is pixels and nothing else",
        )  # fmt: skip
        order = self.format.order if self.format else None
        if order is not None and self.color_space not in {None, order}:
            raise CallError(
                Code.invalid_params,
                f"pixel_format {name} and color_space {self.color_space} contradict each other",
                next_step="leave color_space out",
            )


def _require(holds: bool, what: str, need: str) -> None:
    if not holds:
        raise CallError(Code.invalid_params, f"{what} is not valid", next_step=f"pass {need}")


def _is_session(session: object) -> bool:
    return (
        isinstance(session, Mapping)
        and session.keys() <= {"id", "context"}
        and isinstance(session.get("id", ""), str)
        and isinstance(session.get("context", {}), Mapping)
    )


def _matches(pattern: str, word: object) -> bool:
    return isinstance(word, str) and re.fullmatch(pattern, word) is not None


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, (int, float)) and seconds is not True and 0 < seconds < _LONGEST
