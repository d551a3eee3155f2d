"""One detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from controller.station.port import Access, Command, Operation, Route

if TYPE_CHECKING:
    from controller.calls.request import DetectionRequest
    from controller.client.answers import Detection  # noqa: F401 - named in quotes below

_ERRORS = (400, 404, 408, 413, 415, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Detect(Command["Detection"]):
    """One detection through the version that is active for the PID."""

    request: DetectionRequest
    operation: ClassVar = Operation(
        Access.operator,
        "Run one detection through the PID's active version.",
        (Route("POST", "/v1/pids/{pid}/execute", "The algorithm's answer; data as it returned it.", _ERRORS),),
    )
