"""The recording section of a deployment, and what is remembered of a recorded call. Frozen data, no files.

Pictures stand in files of `recordings/`; how, is said there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from math import inf
from typing import Any, Self

from pydantic import Field, TypeAdapter, model_validator

from controller.model.document import Conflict, Part, refuse
from controller.model.last_part import PartOutcome
from controller.model.names import PID_PATTERN
from controller.model.package import PackageRef
from controller.model.recorded import KINDS, RecordingFilter, RecordingKind
from controller.model.units import Duration, Integer, Ratio, Size

__all__ = ["ID_PATTERN", "KINDS", "RecordedCall", "RecordedPicture", "Recording", "RecordingFilter", "RecordingKind"]

ID_PATTERN = r"\d{17}-[0-9a-f]{10}"
"""Of the id of a recorded call: when it ended, UTC, to the millisecond, and chance."""
_END_OF_TIME = 1e11
"""Seconds since 1970, some three thousand years: beyond it, moments are no dates."""


class Recording(Part):
    """Which calls of each PID are recorded, with their pictures, and how much of it is kept."""

    keep: Integer = Field(default=500, ge=1, le=1_000_000, description="Newest recorded calls that are kept per PID.")
    max_size: Size = Field(default=2 * 2**30, gt=0, description="Most bytes that a PID's recordings may have.")
    max_age: Duration = Field(default=30 * 86400.0, gt=0, description="How long a recorded call is kept.")
    only: tuple[RecordingKind, ...] = Field(
        default=("NG", "ERROR", "disagreement", "sample"),
        description="Which calls are recorded; []: none, where the station has a default.",
    )
    sample: Ratio = Field(default=0.01, description="Share of all calls that are recorded, whatever came of them.")

    @model_validator(mode="after")
    def _something_is_meant(self) -> Self:
        if not self.sample and set(self.only) == {"sample"}:
            message = "records nothing: only has nothing but sample (expected more than 0%, or only: [])"
            refuse([Conflict(("sample",), message)])
        return self


@dataclass(frozen=True, slots=True)
class RecordedPicture:
    """A picture as the algorithm was handed it: `shape` H×W or H×W×C of uint8, `color_space` the order of channels.

    `conversion`: what it was told in its `image_meta` that was done to it; None: nothing.
    """

    shape: tuple[int, ...]
    color_space: str = "RGB"
    conversion: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One recorded call: what was asked, and what the version said. `at` and `epoch`: when it ended.

    `id` is unique on all stations and sorts by time. `arguments` are those of the request, as JSON has them. `verdict`
    FAILED: the call came to the error whose document is `error`; else `data` is the algorithm's own. `kinds` says why
    it is recorded, `size` how many bytes it has on disk; `guide` None: no guide image of its own was handed over
    (`guide_is_image`: the camera picture was the guide too). `swapped`: the camera picture was handed over as the
    guide, and the guide as the picture (`spec.input.swap`); None: that is not known, as in files of earlier releases.
    """

    id: str
    pid: str
    deployment: str
    package: PackageRef
    digest: str
    request_id: str
    at: str
    epoch: float
    verdict: PartOutcome
    kinds: tuple[RecordingKind, ...]
    image: RecordedPicture
    guide: RecordedPicture | None = None
    guide_is_image: bool = False
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    latency_ms: float | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    swapped: bool | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the plain form that `from_document` reads back."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: object) -> RecordedCall:
        """Return the call of a document, whoever wrote it. Raises ValueError."""
        call = _reader().validate_python(document)
        if not re.fullmatch(ID_PATTERN, call.id, re.ASCII) or not re.fullmatch(PID_PATTERN, call.pid):
            raise ValueError(f"{call.id[:40]!r} of PID {call.pid[:80]!r} cannot be a recorded call")
        if not 0 <= call.epoch < _END_OF_TIME:
            raise ValueError(f"recorded call {call.id} ended at {call.epoch!r} s since 1970, which is no time")
        if call.latency_ms is not None and not 0 <= call.latency_ms < inf:
            raise ValueError(f"recorded call {call.id} took {call.latency_ms!r} ms, which is no time")
        return call


@cache
def _reader() -> TypeAdapter[RecordedCall]:
    """Return what checks documents: made with the first of them, since it takes a while."""
    return TypeAdapter(RecordedCall)
