"""PIDs that no deployment has and a version answers: kept ready as long as the mapping is there, and repaired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from controller.model.actions import Switch
from controller.model.observed import BrokenMapping
from controller.model.package import PackageRef
from controller.model.unmanaged import stand_in
from controller.planning.part import Part, joined
from controller.planning.serving import preheated, ready_after
from controller.planning.situation import Situation
from controller.rollouts.resolution import resolve


def keep_unmanaged(situation: Situation) -> Part:
    """Keep what answers unmanaged PIDs ready, and put mappings that are damaged back as somebody had made them.

    A mapping that somebody else made, of a package that is not installed or does not support the PID, is let alone.
    """
    if not situation.serve:
        return Part()
    wanted: dict[PackageRef, list[str]] = defaultdict(list)
    for pid, ref in _answering(situation):
        if situation.station.supports(resolve(ref, None, situation.observed), pid):
            wanted[ref].append(pid)
    return joined(Part(), *(_serve(situation, ref, pids) for ref, pids in wanted.items()))


def _answering(situation: Situation) -> Iterator[tuple[str, PackageRef]]:
    """Yield each PID that no deployment has or had last, with the installed version that answers it, or did."""
    observed = situation.observed
    for pid, mapping in observed.active.items():
        if pid in situation.revision.by_pid or observed.managed(pid):
            continue
        damaged = isinstance(mapping, BrokenMapping)
        ref = observed.activated_by_hand(pid) if damaged else observed.active_ref(pid)
        if ref is not None and ref in observed.installed:
            yield pid, ref


def _serve(situation: Situation, ref: PackageRef, pids: list[str]) -> Part:
    observed = situation.observed
    deployment = stand_in(situation.revision, ref.name, pids)
    ready = ready_after(situation, deployment, ref)
    damaged = [pid for pid in pids if observed.active_ref(pid) is None]
    repairs = tuple(
        Switch(
            pid, None, None, ref, f"active/{pid}.json is damaged; restored from its history", ready,
            observed.installed[ref].receipt.digest, diverges=True,
        )
        for pid in damaged
        if ready is not None
    )  # fmt: skip
    return joined(
        preheated(situation, deployment, ref, ()),
        *(situation.failed(each.object, "") for each in repairs),
        Part(actions=tuple(each for each in repairs if not situation.backs_off(each.object, ""))),
    )
