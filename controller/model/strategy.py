"""The strategy section of a deployment: how a new version reaches its PIDs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from controller.model.document import Conflict, Part, refuse
from controller.model.units import Boolean, Duration, Integer, Pid, Ratio, Weight


class Pause(Part):
    """A pause of a canary; without `duration` it lasts until `pvctl promote`."""

    duration: Duration | None = Field(default=None, description="How long, such as 10m.")


class DefectMatch(Part):
    """When two defect rectangles are the same one."""

    iou: Ratio = Field(default=0.5, gt=0, description="Smallest intersection over union of the two rectangles.")


class DefectComparison(Part):
    """Two versions agree where their verdicts and the places of their defects do."""

    defects: DefectMatch = Field(default=DefectMatch(), description="When two defects are the same one.")


class PictureLimits(Part):
    """How often a new version may say something else of a picture than the version before."""

    max_newly_ok: Ratio = Field(
        default=0.002,
        alias="maxNewlyOK",
        description="Largest share of the compared pictures that were NG and are OK now, such as 0.2%.",
    )
    max_newly_ng: Ratio = Field(
        default=0.02,
        alias="maxNewlyNG",
        description="Largest share of the compared pictures that were OK and are NG now, such as 2%.",
    )
    compare: Literal["verdict"] | DefectComparison = Field(
        default="verdict",
        description="verdict: OK against NG. defects: a defect that is not found any more counts as newly OK, one that "
        "is found now as newly NG.",
    )


class ReplayStep(PictureLimits):
    """Recorded pictures are shown to the new version, in processes of its own; no PID is touched."""

    last: Integer = Field(default=500, ge=1, le=100_000, description="Newest recorded pictures of the PIDs.")


class ShadowStep(PictureLimits):
    """The new version also gets pictures of the line, after the answer; what it says is compared and never returned."""

    weight: Weight = Field(default=100, description="Percent of the unpinned PIDs whose pictures it gets.")
    duration: Duration = Field(default=900.0, ge=0, description="How long at least, such as 15m.")
    min_samples: Integer = Field(default=300, ge=1, description="Fewer compared pictures are inconclusive.")
    sample: Ratio = Field(default=1.0, gt=0, description="Share of the calls whose pictures it gets.")


class CanaryStep(Part):
    """One step of a canary: `setWeight`, `pause`, `replay` or `shadow`."""

    added_keys = frozenset({"replay", "shadow"})

    set_weight: Weight | None = Field(
        default=None, description="Percent of the unpinned PIDs that have the new version."
    )
    pause: Pause | None = Field(default=None, description="Wait for a time, or for `pvctl promote`.")
    replay: ReplayStep | None = Field(default=None, description="Judge it by recorded pictures; no PID is touched.")
    shadow: ShadowStep | None = Field(default=None, description="Judge it by pictures of the line, beside the line.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(each is not None for each in (self.set_weight, self.pause, self.replay, self.shadow)) != 1:
            message = "a step is setWeight, pause, replay or shadow (expected exactly one of them, such as pause: {})"
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

    @model_validator(mode="after")
    def _pictures_can_be_compared(self) -> Self:
        refuse(tuple(_picture_conflicts(self.steps)))
        return self


def _picture_conflicts(steps: Sequence[CanaryStep]) -> Iterator[Conflict]:
    """Yield the steps that would compare nothing, or count what cannot be added; relative to the canary."""
    everywhere, compare = False, None
    for index, step in enumerate(steps):
        everywhere = everywhere or step.set_weight == 100
        kind = "replay" if step.replay is not None else "shadow"
        if everywhere and (step.replay or step.shadow) is not None:
            message = "comes after setWeight: 100, when every PID has the new version (expected it before)"
            yield Conflict(("steps", index, kind), message)
        if step.shadow is None:
            continue
        if step.shadow.weight == 0:
            message = "of 0 % of the PIDs no picture is shown (expected 1 to 100)"
            yield Conflict(("steps", index, "shadow", "weight"), message)
        if compare not in {None, step.shadow.compare}:
            message = "is not that of the shadow step before (expected the same: their pictures count together)"
            yield Conflict(("steps", index, "shadow", "compare"), message)
        compare = step.shadow.compare


def cohort_size(total: int, weight: int) -> int:
    """Return how many of `total` PIDs a weight (percent, 0–100) takes.

    Half rounds up. From 1 to 99 % it is never none and, where there are two or more, never all.
    """
    if weight <= 0 or total == 0:
        return 0
    if weight >= 100:
        return total
    rounded = (total * weight * 2 + 100) // 200
    return max(1, min(rounded, max(1, total - 1)))


def unseen_conflicts(steps: Sequence[CanaryStep], total: int) -> Iterator[Conflict]:
    """Yield the shadow steps all of whose PIDs have the new version by then, of `total`. Relative to the canary.

    They would compare nothing, and wait for ever. Cohorts are prefixes, so the sizes say it.
    """
    moved = weight = 0
    for index, step in enumerate(steps):
        if step.set_weight is not None:
            moved, weight = max(moved, cohort_size(total, step.set_weight)), max(weight, step.set_weight)
        elif step.shadow is not None and weight < 100 and 0 < cohort_size(total, step.shadow.weight) <= moved:
            message = (
                f"shows it nothing: after setWeight: {weight}, {moved} of {total} PIDs have the new version, "
                "all that it is for among them (expected it before, or a larger weight)"
            )
            yield Conflict(("steps", index, "shadow"), message)


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
