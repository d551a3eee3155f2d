"""A deployment's strategy as a rollout pins it at its start: which stages, in which order the PIDs move."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.desired import Deployment
from controller.model.rollout import Stage, Terms
from controller.planning.cohorts import rollout_sequence


def terms_of(deployment: Deployment, held: Iterable[str] = ()) -> Terms:
    """Return a deployment's strategy as a rollout pins it: stages that reach 100 %, and who moves when.

    A held PID does not count, as a pinned one does not.
    """
    strategy, held = deployment.spec.strategy, frozenset(held)
    canary = strategy.canary
    return Terms(
        stages=_stages(deployment),
        sequence=tuple(pid for pid in rollout_sequence(deployment.spec) if pid not in held),
        min_healthy_time=strategy.min_healthy_time,
        progress_deadline=strategy.progress_deadline,
        auto_revert=strategy.auto_revert,
        on_inconclusive=canary.analysis.on_inconclusive if canary else "promote",
        rollback_window=deployment.spec.rollback_window,
        initial_delay=canary.analysis.initial_delay if canary else 0.0,
        min_samples=canary.analysis.min_samples if canary else None,
    )


def _stages(deployment: Deployment) -> tuple[Stage, ...]:
    """The steps, ended by 100 %; without autoPromote a wait before that, unless one is there already."""
    strategy = deployment.spec.strategy
    stages = [
        Stage("weight", weight=step.set_weight)
        if step.set_weight is not None
        else Stage("pause", pause=step.pause.duration if step.pause else None)
        for step in (strategy.canary.steps if strategy.canary else ())
    ]
    if not any(stage.weight == 100 for stage in stages):
        stages.append(Stage("weight", weight=100))
    full = next(index for index, stage in enumerate(stages) if stage.weight == 100)
    if not strategy.auto_promote and (full == 0 or stages[full - 1] != Stage("pause")):
        stages.insert(full, Stage("pause"))
    return tuple(stages)
