"""How much of a PID's recordings is kept. Light: the daemon says it, and has no SQLite."""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """How much of one PID is kept: calls, bytes, and for how long (s)."""

    keep: int
    max_size: int
    max_age: float


class Total(NamedTuple):
    """What there is of one PID, or of all; a guide that calls share is counted once."""

    calls: int
    size: int
