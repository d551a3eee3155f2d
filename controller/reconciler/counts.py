"""What passes and acts came to since the controller began: counts and durations, for metrics.

Nothing is decided by them. They begin at nothing with every start, as counters of a process do; what has to outlive
one stands in `rollouts/`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from controller.model.actions import Switch
from controller.model.objects import unmanaged_name
from controller.model.rollout import Rollout, RolloutRecord
from controller.reconciler.acts import Act, ActionResult

_PASSES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ACTS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Durations:
    """How long something took (seconds), in buckets: `counts` has one for each of the `bounds`, and what was longer."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Note how long the block takes, however it ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - began
            self.counts[bisect_left(self.bounds, took)] += 1
            self.seconds += took


class ActCounts:
    """Acts of one controller's life: `ended` by kind and whether they succeeded, `switches` by deployment.

    A switch diverges where it goes another way than the desired state: back, to a hold, or as a repair.
    """

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, bool]] = Counter()
        self.switches: Counter[tuple[str, bool]] = Counter()
        self.installs = Durations(_ACTS)
        self.starts = Durations(_ACTS)

    def take(self, act: Act, result: ActionResult) -> None:
        """Count an act that has ended."""
        if not result.begun:
            return
        action, succeeded = act.action, result.error is None
        self.ended[action.kind, succeeded] += 1
        if isinstance(action, Switch) and succeeded:
            self.switches[action.deployment or unmanaged_name(action.target.name), action.diverges] += 1


class PassCounts:
    """Passes of one controller's life, and what became of rollouts and revisions from one to the next.

    `rollouts` counts how many ended in each way, by deployment; `quarantined` versions put into quarantine, `refused`
    desired trees that were refused.
    """

    def __init__(self) -> None:
        self.finished = 0
        self.failed = 0
        self.durations = Durations(_PASSES)
        self.rollouts: Counter[tuple[str, str]] = Counter()
        self.quarantined: Counter[str] = Counter()
        self.refused = 0
        self._records: Mapping[str, RolloutRecord] | None = None
        self._problems: tuple[str, ...] = ()

    def took(self, problems: Sequence[str]) -> None:
        """Take what is wrong with the desired tree that was read last; nothing where it is valid."""
        self.refused += bool(problems) and tuple(problems) != self._problems
        self._problems = tuple(problems)

    def saw(self, records: Mapping[str, RolloutRecord]) -> None:
        """Take what is remembered of rollouts as of a pass. What an earlier life saw is not counted again."""
        if self._records is not None:
            for name, record in records.items():
                self._compare(name, self._records.get(name, RolloutRecord()), record)
        self._records = records

    def _compare(self, name: str, before: RolloutRecord, now: RolloutRecord) -> None:
        end, former = _end_of(now.rollout), before.rollout
        same = former is not None and now.rollout is not None and former.started_at == now.rollout.started_at
        if end and not (same and _end_of(former) == end):
            self.rollouts[name, end] += 1
        known = {(each.package, each.digest) for each in before.quarantine}
        self.quarantined[name] += sum((each.package, each.digest) not in known for each in now.quarantine)


def _end_of(rollout: Rollout | None) -> str:
    """Say how a rollout ended; empty where it goes on."""
    if rollout is None or rollout.under_way:
        return ""
    if rollout.state in {"promoted", "completed"}:
        return "promoted"
    if rollout.state == "stopped":
        return "stopped"
    return "aborted" if rollout.aborted else "rolled_back"
