"""A rollback that an operator asks for: which PIDs it moves, and which it lets alone. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.model.desired import Deployment
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord
from controller.rollouts.ways_back import choose, earlier_versions


@dataclass(frozen=True, slots=True)
class HandRollback:
    """What becomes of a deployment's PIDs when it is rolled back as a whole.

    Only PIDs on the version that is left move: `moves` says where to, `stuck` names those that have nowhere to go.
    `stays` are the others' versions. Pinned PIDs, and held ones on another version, are in none of them.
    """

    left: PackageRef | None
    moves: Mapping[str, PackageRef]
    stays: Mapping[str, PackageRef]
    stuck: tuple[str, ...]


def of_deployment(deployment: Deployment, observed: Observed, to: str | None) -> HandRollback:
    """Return what a rollback of a whole deployment does, to the version `to` or each PID's way back."""
    spec, record = deployment.spec, observed.records.get(deployment.name, RolloutRecord())
    present = {pid: _present(observed, pid) for pid in spec.pids if pid not in spec.pinned}
    left = _left(record, (ref for ref in present.values() if ref is not None and ref.version != to))
    victims = [pid for pid, ref in present.items() if ref is not None and ref == left]
    own = {pid: way_back(pid, observed, record, to) for pid in victims}
    usual = Counter(ref for ref in own.values() if ref is not None).most_common(1)
    moves = {
        pid: ref
        for pid in victims
        if (ref := own[pid] or next((each for each, _ in usual if _supports(observed, each, pid)), None)) is not None
    }
    stays = {
        pid: ref
        for pid, here in present.items()
        if here != left and pid not in observed.holds
        if (ref := here or next((each for each, _ in usual if _supports(observed, each, pid)), None)) is not None
    }
    return HandRollback(left, moves, stays, tuple(pid for pid in victims if pid not in moves))


def way_back(pid: str, observed: Observed, record: RolloutRecord, to: str | None = None) -> PackageRef | None:
    """Return the version that a PID had before and can have again: `to`, else its way back. None: there is none."""
    present = _present(observed, pid)

    def usable(ref: PackageRef) -> bool:
        installation = observed.installed.get(ref)
        if installation is None or not _supports(observed, ref, pid):
            return False
        if to is not None:
            return ref.version == to
        return ref != present and record.quarantined(ref, installation.receipt.digest) is None

    had = earlier_versions(observed.history.get(pid, ()), with_trials=to is not None)
    return choose(had, usable, observed.proven)


def _present(observed: Observed, pid: str) -> PackageRef | None:
    """The version that a PID has: by its mapping, where that can be read, else by its history."""
    history = observed.history.get(pid, ())
    if pid not in observed.active:
        return None
    return observed.mapped_ref(pid) or (history[-1].ref if history else None)


def _left(record: RolloutRecord, present: Iterable[PackageRef]) -> PackageRef | None:
    """The version that a rollback leaves: what is being rolled out where a PID has it, else what most PIDs have."""
    counts = Counter(present)
    if record.rollout is not None and record.rollout.target in counts:
        return record.rollout.target
    usual = counts.most_common(1)
    return usual[0][0] if usual else None


def _supports(observed: Observed, ref: PackageRef, pid: str) -> bool:
    pids = observed.installed[ref].receipt.supported_pids
    return pids is None or pid in pids
