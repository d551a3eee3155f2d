"""Weight → PIDs: which PIDs have the new version at a step of a canary (design section 3.1)."""

from __future__ import annotations

from controller.model.desired import Canary, DeploymentSpec
from controller.model.strategy import cohort_size


def rollout_sequence(spec: DeploymentSpec) -> tuple[str, ...]:
    """Return the unpinned PIDs in the order in which they move: `order`, then as listed, then `critical`."""
    canary = spec.strategy.canary or Canary()
    listed = [pid for pid in spec.pids if pid not in canary.order and pid not in canary.critical]
    return tuple(pid for pid in (*canary.order, *listed, *canary.critical) if pid not in spec.pinned)


def cohort(sequence: tuple[str, ...], weight: int) -> tuple[str, ...]:
    """Return the PIDs of a weight. A larger weight's always contain a smaller one's: both are a prefix."""
    return sequence[: cohort_size(len(sequence), weight)]
