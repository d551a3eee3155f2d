"""What calls came to over time, and everything that is measured, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import TypedDict

from controller.errors import Code, CodedError
from controller.station.port import Access, Command, Operation, Route

Role = Literal["stable", "canary", "other"]
"""What a version is to its deployment: the one that is known to be good, the one that is judged or failed, an older."""


class VersionSeries(TypedDict):
    """The line of one version.

    A point is [epoch_s, calls, errors, timeouts, p50_ms, p95_ms], oldest first: when its interval began (seconds since
    1970), what came to pass in it, and the latencies that 50 and 95 % of its calls did not exceed (null: none was
    answered). An interval without calls has no point; the last one may not be over yet.
    """

    version: str
    role: Role
    package: str
    points: list[tuple[int, int, int, int, float | None, float | None]]


@dataclass(frozen=True, slots=True)
class DeploymentSeries:
    """What the calls of a deployment came to, by version, in intervals of `interval_s` seconds."""

    deployment: str
    interval_s: int
    versions: tuple[VersionSeries, ...]


@dataclass(frozen=True, slots=True)
class GetSeries(Command[DeploymentSeries]):
    """What a deployment's calls came to over the last `seconds` (two hours at most), by version: stable ones first.

    Raises CodedError 1003: there is no such deployment, or `seconds` is not positive.
    """

    deployment: str
    seconds: Annotated[int, Ge(1)] = 3600

    def __post_init__(self) -> None:
        if self.seconds < 1:
            message = f"seconds: {self.seconds} is not positive"
            raise CodedError(Code.invalid_params, message, next_step="pass 3600, say")

    operation: ClassVar = Operation(
        Access.viewer,
        "Return what a deployment's calls came to over time, by version.",
        (
            Route(
                "GET", "/v1/deployments/{name}/series", "A line for each version.", (400, 500, 503),
                {"name": "deployment"}, query={"seconds": "How far back; an hour where it is left out, two at most."},
            ),
        ),
        DeploymentSeries,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricsText:
    """All metrics as text in UTF-8, and the media type of the format that they are in.

    A megabyte for a thousand PIDs: it is handed on as it was made, for the sake of the calls beside it.
    """

    content_type: str
    content: bytes | memoryview

    @property
    def text(self) -> str:
        return bytes(self.content).decode()


@dataclass(frozen=True, slots=True)
class GetMetrics(Command[MetricsText]):
    """Everything that is measured; in OpenMetrics where `accept` names it, else in the text format of Prometheus."""

    accept: str = ""
    operation: ClassVar = Operation(
        Access.viewer,
        "Return everything that is measured, for Prometheus.",
        (Route("GET", "/metrics", "Metrics in the text format, or in OpenMetrics where that is accepted.", (500,)),),
    )
