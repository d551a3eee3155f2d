"""Random histories of a simulated station. A breach prints the seed that tells the history again.

PVCTL_SIMULATE=SECONDS runs new seeds for that long; PVCTL_SEED=N runs exactly that one.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulator.history import run_history

FIXED = 120
"""Histories of `make test`: always the same ones."""

EXPECTED = {
    ("stepping", "baking"),
    ("baking", "paused"),
    ("paused", "stepping"),
    ("stepping", "reverted"),
    ("stepping", "reverting"),
    ("reverting", "reverted"),
    ("promoted", "completed"),
    ("sampling", "stepping"),
    ("waiting", "stepping"),
    ("replaying", "stepping"),
    ("replaying", "reverted"),
    ("shadowing", "stepping"),
    ("shadowing", "reverted"),
    ("any", "rolled back by hand"),
}
"""Changes of state, from one write to the next, that must have been seen for the histories to say anything."""


def _visited(seed: int) -> set[tuple[str, str]]:
    watch = run_history(seed)
    return watch.visited | ({("any", "rolled back by hand")} if watch.rollbacks else set())


def _fresh_histories(seconds: float) -> Iterator[set[tuple[str, str]]]:
    """Run histories from new seeds on every core until the time is over."""
    until, fresh = time.monotonic() + seconds, random.SystemRandom()
    with ProcessPoolExecutor() as pool:
        while time.monotonic() < until:
            yield from pool.map(_visited, [fresh.randrange(1 << 48) for _ in range(100)], chunksize=5)


def _histories() -> Iterator[set[tuple[str, str]]]:
    """Run what was asked for: one seed, new ones for a time, or the fixed ones."""
    seconds = float(os.environ.get("PVCTL_SIMULATE", "0"))
    if one := os.environ.get("PVCTL_SEED"):
        yield _visited(int(one))
    elif seconds:
        yield from _fresh_histories(seconds)
    else:
        yield from map(_visited, range(FIXED))


@pytest.mark.timeout(0)
def test_every_invariant_holds_after_every_step_of_random_histories() -> None:
    visited: Counter[tuple[str, str]] = Counter()
    histories = 0
    for seen in _histories():
        visited.update(seen)
        histories += 1

    sys.stdout.write(f"{histories} histories; changes of state: {dict(visited)}\n")
    if not os.environ.get("PVCTL_SEED"):
        assert visited.keys() >= EXPECTED, "the histories have become too tame to say anything"
