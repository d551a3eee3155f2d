"""The strategy section of a deployment: how a new version reaches its PIDs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from controller.model.document import Conflict, Part, refuse
from controller.model.units import Boolean, Duration, Integer, Pid, Weight


class Pause(Part):
    """A pause of a canary; without `duration` it lasts until `pvctl promote`."""

    duration: Duration | None = Field(default=None, description="How long, such as 10m.")


class CanaryStep(Part):
    """One step of a canary: either `setWeight` or `pause`."""

    set_weight: Weight | None = Field(
        default=None, description="Percent of the unpinned PIDs that have the new version."
    )
    pause: Pause | None = Field(default=None, description="Wait for a time, or for `pvctl promote`.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.set_weight is None) == (self.pause is None):
            message = "a step is either setWeight or pause (expected exactly one of them, such as pause: {})"
            refuse([Conflict((), message)])
        return self


class Analysis(Part):
    """How the canary is judged while it bakes."""

    initial_delay: Duration = Field(default=0.0, description="Calls of this first time are not counted.")
    min_samples: Integer = Field(default=50, ge=1, description="Fewer calls are inconclusive, never a pass.")
    on_inconclusive: Literal["wait", "promote", "revert"] = Field(
        default="wait", description="What happens when the pause is over and samples are too few."
    )


class Canary(Part):
    """PIDs that go first and last, and the steps between."""

    order: tuple[Pid, ...] = Field(default=(), description="PIDs that go first; the others follow as listed.")
    critical: tuple[Pid, ...] = Field(default=(), description="PIDs that go last.")
    steps: tuple[CanaryStep, ...] = Field(default=(), description="Weights and pauses, one after the other.")
    analysis: Analysis = Field(default=Analysis(), description="How the canary is judged while it bakes.")


class Strategy(Part):
    """How a new version reaches the PIDs. Without `canary`: all at once."""

    canary: Canary | None = Field(default=None, description="In steps; without it all PIDs at once.")
    min_healthy_time: Duration = Field(
        default=0.0, description="How long a PID must be healthy on the new version to count as done."
    )
    progress_deadline: Duration = Field(
        default=600.0, gt=0, description="Time without progress, pauses excluded, after which a rollout fails."
    )
    auto_promote: Boolean = Field(default=True, description="false: wait for `pvctl promote` before 100 %.")
    auto_revert: Boolean = Field(default=True, description="false: on failure stop and report Degraded.")

    @model_validator(mode="after")
    def _progress_is_possible(self) -> Self:
        if self.progress_deadline <= self.min_healthy_time:
            message = "must be longer than minHealthyTime, else every rollout fails (expected a longer time)"
            refuse([Conflict(("progressDeadline",), message)])
        return self
