"""Which version a PID goes back to: one rule for a rollback that is decided here and one that an operator asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from controller.model.observed import HistoryEntry
from controller.model.package import PackageRef


def choose(
    candidates: Iterable[PackageRef | None], usable: Callable[[PackageRef], bool], proven: Callable[[PackageRef], bool]
) -> PackageRef | None:
    """Return the first usable candidate that has ever answered a call, else the first usable one.

    A version that was promoted before anybody called it is not known to be good.
    """
    able = [ref for ref in dict.fromkeys(candidates) if ref is not None and usable(ref)]
    return next((ref for ref in able if proven(ref)), able[0] if able else None)


def earlier_versions(history: Iterable[HistoryEntry]) -> Iterator[PackageRef | None]:
    """Yield the versions that a PID has had, the latest first."""
    return (entry.ref for entry in reversed(tuple(history)))
