"""One detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from controller.station.port import Access, Command, Operation, Route

if TYPE_CHECKING:
    from controller.calls.request import DetectionRequest
    from controller.client.answers import Detection  # noqa: F401 - named in quotes below

_ANSWER = "The algorithm's answer; data as it returned it."
_ERRORS = (400, 404, 408, 413, 415, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Detect(Command["Detection"]):
    """One detection through the version that is active for the PID, or through a version that is active for any."""

    request: DetectionRequest
    operation: ClassVar = Operation(
        Access.operator,
        "Run one detection through the PID's active version, or through one that is named and active.",
        (
            Route("POST", "/v1/pids/{pid}/execute", _ANSWER, _ERRORS),
            Route("POST", "/v1/packages/{name}/{version}/execute", _ANSWER, _ERRORS),
        ),
    )
