"""Which counts of calls may still be asked for: every version a PID has had would else be counted for ever."""

from __future__ import annotations

from collections.abc import Iterator

from controller.model.desired import Revision
from controller.model.observed import Observed
from controller.model.rollout import Rollout
from controller.model.tally import Counted


def no_longer_counted(revision: Revision, observed: Observed) -> frozenset[Counted]:
    """Return the PIDs and versions of which there are counts that no verdict and no status will ask for again.

    Asked for are the versions that answer, those that are desired, pinned or held, and what the latest rollout of a
    deployment was about: its target, the stable versions, and the ways back for as long as it is remembered. Where a
    rollout cannot be read, everything may be asked for.
    """
    if observed.lost:
        return frozenset()
    idle = {(pid, ref) for pid, ref in observed.tallies if observed.mapped_ref(pid) != ref}
    return frozenset(idle.difference(_wanted(revision, observed), _rolled_out(observed)) if idle else ())


def _wanted(revision: Revision, observed: Observed) -> Iterator[Counted]:
    for deployment in revision.deployments:
        yield from deployment.spec.wanted.items()
    for hold in observed.holds.values():
        yield hold.pid, hold.package


def _rolled_out(observed: Observed) -> Iterator[Counted]:
    for record in observed.records.values():
        if record.rollout is not None:
            yield from _of_rollout(record.rollout)


def _of_rollout(rollout: Rollout) -> Iterator[Counted]:
    yield from rollout.stable.items()
    yield from rollout.back.items()
    for pid in {*rollout.strategy.sequence, *rollout.stable, *rollout.back}:
        yield pid, rollout.target
