"""What is left on the machine: of the disk of a store, of memory-backed storage, of memory. Figures, no judgement."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from pathlib import Path

_MEMORY = "/proc/meminfo"
Figures = tuple[int, int]
"""What is left, and how much there is in all."""


class Capacity:
    """What is left now, in bytes and inodes; None where it cannot be told. No dataclass: their module costs 8 ms."""

    def __init__(
        self,
        store: Figures | None = None,
        inodes: Figures | None = None,
        shared: Figures | None = None,
        memory: Figures | None = None,
    ) -> None:
        self.store = store
        self.inodes = inodes
        self.shared = shared
        self.memory = memory


def capacity_of(store: Path, images: Path) -> Capacity:
    """Return what is left for a store, and where its `run/images` are."""
    disk, inodes = _file_system(store)
    shared, _ = _file_system(images)
    return Capacity(disk, inodes, shared, _memory())


def _file_system(path: Path) -> tuple[Figures | None, Figures | None]:
    """Return bytes and inodes that are left to us; a file system that counts no inodes has no figures of them."""
    try:
        state = os.statvfs(path)
    except OSError:
        return None, None
    size = state.f_frsize
    inodes = (state.f_favail, state.f_files) if state.f_files else None
    return (state.f_bavail * size, state.f_blocks * size), inodes


def _memory() -> Figures | None:
    try:
        with open(_MEMORY, "rb") as file:  # noqa: PTH123 - pathlib would cost every command 4 ms
            lines = dict(line.split(b":", 1) for line in file)
        return _kib(lines[b"MemAvailable"]), _kib(lines[b"MemTotal"])
    except (OSError, KeyError, ValueError):
        return None


def _kib(text: bytes) -> int:
    return int(text.split()[0]) * 1024
