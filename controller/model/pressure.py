"""When little is left on the host: conditions with figures, before anything fails. As of Kubernetes' nodes.

Imports next to nothing: `pvctl status` must answer at once.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Collection

    from controller.host.capacity import Capacity, Figures

MIB, GIB = 2**20, 2**30


class Threshold:
    """Pressure: less is left than `share` of all or than `least`; never while more than `plenty` or half is left."""

    def __init__(self, share: float, least: int, plenty: int) -> None:
        self.share = share
        self.least = least
        self.plenty = plenty

    def holds(self, figures: Figures, *, before: bool) -> bool:
        """Whether there is pressure; where there was some before, until a tenth more than the limit is left."""
        left, size = figures
        limit = min(max(self.share * size, self.least), self.plenty, size / 2)
        return left < limit * (1.1 if before else 1.0)


STORE = Threshold(0.10, 512 * MIB, 100 * GIB)
INODES = Threshold(0.05, 1000, 1_000_000)
SHARED = Threshold(0.10, 16 * MIB, 4 * GIB)
MEMORY = Threshold(0.05, 256 * MIB, 4 * GIB)

Pressure = tuple[str, bool, str, str]
"""Type, whether it holds, reason and message of a condition."""


def pressures(capacity: Capacity, before: Collection[str] = ()) -> list[Pressure]:
    """Return the conditions of a host. `before` are the types of those that held when it was looked at last."""
    disk = "DiskPressure" in before
    found = [_disk(capacity, before=disk)] if capacity.store else []
    for kind, figures, threshold, where in (
        ("SharedMemoryPressure", capacity.shared, SHARED, "the memory-backed storage for images (/dev/shm)"),
        ("MemoryPressure", capacity.memory, MEMORY, "memory"),
    ):
        if figures:
            holds, message = threshold.holds(figures, before=kind in before), f"{_bytes(figures)} of {where} are free"
            found.append((kind, holds, "LittleLeft" if holds else "EnoughLeft", message))
    return found


def tokens(trouble: str | None) -> list[Pressure]:
    """Return the condition of the store's tokens. `trouble`: why none is accepted; empty: all are; None: none are."""
    if trouble is None:
        return []
    if trouble:
        return [("TokensUnreadable", True, "Unreadable", f"nobody is let in over the network: {trouble}")]
    return [("TokensUnreadable", False, "Readable", "the tokens of the network can be read")]


def _disk(capacity: Capacity, *, before: bool) -> Pressure:
    store, inodes = capacity.store or (0, 0), capacity.inodes
    message = f"{_bytes(store)} of the store's disk are free"
    short_of_bytes = STORE.holds(store, before=before)
    short_of_inodes = inodes is not None and INODES.holds(inodes, before=before)
    if inodes is not None and short_of_inodes:
        message += f", and {inodes[0]} of {inodes[1]} inodes"
    holds = short_of_bytes or short_of_inodes
    if holds:
        message += "; see 'Full disk' in docs/operations.md for what may go"
    reason = "LittleLeft" if short_of_bytes else "FewInodesLeft" if short_of_inodes else "EnoughLeft"
    return "DiskPressure", holds, reason, message


def _bytes(figures: Figures) -> str:
    left, size = figures
    percent = 100 * left / size if size else 0.0
    return f"{_size(left)} of {_size(size)} ({percent:.0f} %)"


def _size(count: int) -> str:
    for unit, factor in (("TiB", 2**40), ("GiB", GIB), ("MiB", MIB)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1024:.0f} KiB"
