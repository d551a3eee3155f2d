"""Which version a PID goes back to: one rule for a rollback that is decided here and one that an operator asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

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


def earlier_versions(history: Iterable[HistoryEntry], *, with_trials: bool = False) -> Iterator[PackageRef | None]:
    """Yield the versions that a PID has had, the latest first; `with_trials`: also those that only a hold gave it.

    What somebody tried under a hold was never deployed there, so nothing goes back to it by itself.
    """
    entries = tuple(history)
    passed_over = frozenset() if with_trials else trials(entries)
    return (entry.ref for entry in reversed(entries) if entry.ref not in passed_over)


def trials(history: Sequence[HistoryEntry]) -> frozenset[PackageRef | None]:
    """Return the versions that only holds gave a PID."""
    held = {entry.ref for entry in history if entry.held}
    return frozenset(held - {entry.ref for entry in history if not entry.held})
