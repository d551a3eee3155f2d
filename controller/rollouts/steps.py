"""A deployment's strategy as a rollout pins it at its start: which steps, in which order the PIDs move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.model.desired import Deployment
from controller.model.rollout import PictureTerms, PinnedStrategy, Step
from controller.model.strategy import CanaryStep, DefectComparison, PictureLimits
from controller.rollouts.cohorts import rollout_sequence


def pin_strategy(deployment: Deployment, held: Iterable[str] = ()) -> PinnedStrategy:
    """Return a deployment's strategy as a rollout pins it: steps that reach 100 %, and who moves when.

    A held PID does not count, as a pinned one does not.
    """
    strategy, held = deployment.spec.strategy, frozenset(held)
    canary = strategy.canary
    return PinnedStrategy(
        steps=_steps(deployment),
        sequence=tuple(pid for pid in rollout_sequence(deployment.spec) if pid not in held),
        min_healthy_time=strategy.min_healthy_time,
        progress_deadline=strategy.progress_deadline,
        auto_revert=strategy.auto_revert,
        on_inconclusive=canary.analysis.on_inconclusive if canary else "promote",
        rollback_window=deployment.spec.rollback_window,
        initial_delay=canary.analysis.initial_delay if canary else 0.0,
        min_samples=canary.analysis.min_samples if canary else None,
    )


def _steps(deployment: Deployment) -> tuple[Step, ...]:
    """The steps, ended by 100 %; without autoPromote a wait before that, unless one is there already."""
    strategy = deployment.spec.strategy
    steps = [_step(step) for step in (strategy.canary.steps if strategy.canary else ())]
    everywhere = Step("weight", weight=100)
    if everywhere not in steps:
        steps.append(everywhere)
    full = steps.index(everywhere)
    if not strategy.auto_promote and (full == 0 or steps[full - 1] != Step("pause")):
        steps.insert(full, Step("pause"))
    return tuple(steps)


def _step(step: CanaryStep) -> Step:
    if step.set_weight is not None:
        return Step("weight", weight=step.set_weight)
    if step.replay is not None:
        return Step("replay", pictures=PictureTerms(**_limits(step.replay), last=step.replay.last))
    if step.shadow is not None:
        shadow = step.shadow
        terms = PictureTerms(
            **_limits(shadow), duration=shadow.duration, min_samples=shadow.min_samples, sample=shadow.sample
        )
        return Step("shadow", weight=shadow.weight, pictures=terms)
    return Step("pause", pause=step.pause.duration if step.pause else None)


def _limits(step: PictureLimits) -> dict[str, Any]:
    iou = step.compare.defects.iou if isinstance(step.compare, DefectComparison) else None
    return {"max_newly_ok": step.max_newly_ok, "max_newly_ng": step.max_newly_ng, "iou": iou}
