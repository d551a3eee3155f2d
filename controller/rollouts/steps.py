"""A deployment's strategy as a rollout pins it at its start: which steps, in which order the PIDs move."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.desired import Deployment
from controller.model.rollout import PinnedStrategy, Step
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
    steps = [
        Step("weight", weight=step.set_weight)
        if step.set_weight is not None
        else Step("pause", pause=step.pause.duration if step.pause else None)
        for step in (strategy.canary.steps if strategy.canary else ())
    ]
    if not any(step.weight == 100 for step in steps):
        steps.append(Step("weight", weight=100))
    full = next(index for index, step in enumerate(steps) if step.weight == 100)
    if not strategy.auto_promote and (full == 0 or steps[full - 1] != Step("pause")):
        steps.insert(full, Step("pause"))
    return tuple(steps)
