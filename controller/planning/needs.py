"""Who needs an installed version, and why: the one answer that retention and `pvctl uninstall` both go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.model.desired import Revision
from controller.model.objects import is_unmanaged
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord
from controller.rollouts.by_hand import way_back


@dataclass(frozen=True, slots=True)
class Need:
    """One reason for which a version must stay. As text: `it answers PID A01`.

    `yields`: not to somebody who insists: nothing that is desired or under way needs it.
    """

    package: PackageRef
    reason: str
    subject: object
    yields: bool = False

    def __str__(self) -> str:
        return self.reason.format(self.subject)


def needs(revision: Revision | None, observed: Observed) -> Iterator[Need]:
    """Yield every need of every version: active, running, desired, pinned, held, in a rollout, or some PID's way back.

    Every PID's history must have been observed for the ways back.
    """
    for pid in observed.active:
        if (ref := observed.mapped_ref(pid)) is not None:
            unmanaged = revision is None or pid not in revision.by_pid
            yield Need(ref, "it answers PID {}", pid, yields=unmanaged)
    for key in observed.processes:
        yield Need(key.ref, "process {} runs it", key, yields=is_unmanaged(key.deployment))
    yield from _desired(revision)
    for pid, hold in observed.holds.items():
        yield Need(hold.package, "PID {} is held on it", pid)
    yield from _in_rollouts(observed)
    yield from _ways_back(revision, observed)
    for why in observed.forgotten:  # it may name any version
        for ref in observed.installed:
            yield Need(ref, "{}", why)


def why_needed(
    package: PackageRef, revision: Revision | None, observed: Observed, *, force: bool = False
) -> tuple[str, ...]:
    """Return everything that still needs a version, with `force` what does not yield; empty: it may be uninstalled."""
    found = (need for need in needs(revision, observed) if need.package == package and not (force and need.yields))
    return tuple(dict.fromkeys(map(str, found)))


def _desired(revision: Revision | None) -> Iterator[Need]:
    for deployment in revision.deployments if revision is not None else ():
        yield Need(deployment.spec.ref, "deployment {} desires it", deployment.name)
        for pid in deployment.spec.pinned:
            if (pinned := deployment.spec.pinned_ref(pid)) is not None:
                yield Need(pinned, f"deployment {deployment.name} pins {{}} to it", pid)


def _in_rollouts(observed: Observed) -> Iterator[Need]:
    for name, record in observed.records.items():
        if (rollout := record.rollout) is not None:
            yield Need(rollout.target, "the rollout of {} is of it", name)
            if rollout.state == "completed":
                continue  # its rollback window is over
            for ref in dict.fromkeys((*rollout.stable.values(), *rollout.back.values())):
                yield Need(ref, "the rollout of {} may go back to it", name)


def _ways_back(revision: Revision | None, observed: Observed) -> Iterator[Need]:
    """Yield the version that each PID would go back to now."""
    for pid in observed.history:
        deployment = revision.by_pid.get(pid) if revision is not None else None
        record = observed.records.get(deployment.name) if deployment is not None else None
        if (ref := way_back(pid, observed, record or RolloutRecord())) is not None:
            yield Need(ref, "it is the way back of PID {}", pid, yields=True)
