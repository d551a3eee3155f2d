"""The health section of a deployment: what is measured on every PID, over which window, and how much is too much."""

from __future__ import annotations

from pydantic import Field

from controller.model.document import Part
from controller.model.units import Duration, Integer, Load, Ratio, Size

_WINDOW = (
    "How far back calls are counted where no rollout judges them: in the status, for versions that a rollout did not "
    "touch, and after the rollback window."
)

_FEEDBACK = (
    "Fewer verdicts with feedback than this is inconclusive. 0: feedback, which may come hours later, holds up no "
    "rollout."
)


class RateLimit(Part):
    """A share of calls that may go wrong. A rollout is judged by all its calls, not by the window."""

    max: Ratio = Field(description="Largest share of calls that may go wrong, such as 5%.")
    window: Duration = Field(default=300.0, gt=0, description=_WINDOW)
    min_samples: Integer = Field(default=50, ge=1, description="Fewer calls than this is inconclusive.")


class ErrorRateLimit(RateLimit):
    """Calls that ended in ERROR or in a failure of the process."""

    max: Ratio = Field(default=0.05, description="Largest share of calls that may go wrong, such as 5%.")


class TimeoutRateLimit(RateLimit):
    """Calls that ran into their deadline."""

    max: Ratio = Field(default=0.01, description="Largest share of calls that may time out, such as 1%.")


class EscapesLimit(RateLimit):
    """Parts that were NG and were called OK, among the verdicts about which feedback told the truth."""

    max: Ratio = Field(description="Largest share of the verdicts with feedback, such as 0.5%.")
    window: Duration = Field(default=86400.0, gt=0, description=_WINDOW)
    min_samples: Integer = Field(default=0, ge=0, description=_FEEDBACK)


class OverkillLimit(RateLimit):
    """Parts that were OK and were called NG, among the verdicts about which feedback told the truth."""

    max: Ratio = Field(description="Largest share of the verdicts with feedback, such as 3%.")
    window: Duration = Field(default=86400.0, gt=0, description=_WINDOW)
    min_samples: Integer = Field(default=0, ge=0, description=_FEEDBACK)


class LatencyLimit(Part):
    """The 95th percentile of the call latency. A rollout is judged by all its calls, not by the window."""

    max: Duration = Field(gt=0, description="Longest acceptable latency, such as 800ms.")
    window: Duration = Field(default=300.0, gt=0, description=_WINDOW)
    min_samples: Integer = Field(default=50, ge=1, description="Fewer calls than this is inconclusive.")


class ChangeLimit(Part):
    """How far the share of NG verdicts may move, either way, against the stable PIDs over the same time."""

    max_change: Ratio = Field(description="Largest difference of the shares, such as 10%.")
    min_samples: Integer = Field(default=50, ge=1, description="Fewer calls than this is inconclusive.")


class MemoryLimit(Part):
    """Resident memory of a process and its descendants, sampled every second."""

    max: Size = Field(gt=0, description="Most memory that may be used, such as 2GiB.")


class CpuLimit(Part):
    """Processor time of a process and its descendants over a window."""

    max: Load = Field(gt=0, description="Share of one core, such as 95%; 400% is four cores.")
    window: Duration = Field(default=60.0, gt=0, description="How long the average is taken over.")


class Heartbeat(Part):
    """Pings of an idle process: `maxMissed` late pongs in a row are a lost heartbeat."""

    interval: Duration = Field(default=5.0, gt=0, description="Time between two pings.")
    grace: Duration = Field(default=2.0, gt=0, description="How late a pong may be.")
    max_missed: Integer = Field(default=2, ge=1, description="Missed pongs in a row that end the process.")


class RestartLimit(Part):
    """More than `max` restarts within `window` open the breaker: the version counts as failed."""

    max: Integer = Field(default=5, ge=0, description="Restarts that are tolerated within the window.")
    window: Duration = Field(default=60.0, gt=0, description="How far back restarts are counted.")


class Health(Part):
    """What is watched on every PID. The four with defaults are always judged, the others only when given."""

    added_keys = frozenset({"escapes", "overkill"})

    error_rate: ErrorRateLimit = Field(default=ErrorRateLimit(), description="ERROR results and failures.")
    timeout_rate: TimeoutRateLimit = Field(default=TimeoutRateLimit(), description="Calls over their deadline.")
    latency_p95: LatencyLimit | None = Field(
        default=None, alias="latencyP95", description="95th percentile of the latency; not judged when absent."
    )
    ng_rate: ChangeLimit | None = Field(
        default=None, description="Change of the NG share, canary against stable; not judged when absent."
    )
    escapes: EscapesLimit | None = Field(
        default=None, description="Bad parts called OK, by feedback; not judged when absent."
    )
    overkill: OverkillLimit | None = Field(
        default=None, description="Good parts called NG, by feedback; not judged when absent."
    )
    memory: MemoryLimit | None = Field(default=None, description="Resident memory; not judged when absent.")
    cpu: CpuLimit | None = Field(default=None, description="Processor time; not judged when absent.")
    heartbeat: Heartbeat = Field(default=Heartbeat(), description="Pings of an idle process.")
    restarts: RestartLimit = Field(default=RestartLimit(), description="Restarts after crashes.")


class Timeouts(Part):
    """Deadlines of a process."""

    start: Duration = Field(default=30.0, gt=0, description="From the start of a process to its first pong.")
    call: Duration = Field(default=30.0, gt=0, description="One call, from its dispatch to the process.")
    drain: Duration = Field(default=30.0, ge=0, description="Finishing the calls in flight of an old version.")
