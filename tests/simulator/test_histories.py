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
}
"""Changes of state, from one write to the next, that must have been seen for the histories to say anything."""


def _seeds() -> Iterator[int]:
    """The seeds to run: one that was asked for, new ones for a time, or the fixed ones."""
    if one := os.environ.get("PVCTL_SEED"):
        yield int(one)
        return
    seconds = float(os.environ.get("PVCTL_SIMULATE", "0"))
    if not seconds:
        yield from range(FIXED)
        return
    until, fresh = time.monotonic() + seconds, random.SystemRandom()
    while time.monotonic() < until:
        yield fresh.randrange(1 << 48)


@pytest.mark.timeout(0)
def test_every_invariant_holds_after_every_step_of_random_histories() -> None:
    visited: Counter[tuple[str, str]] = Counter()
    histories = 0
    for seed in _seeds():
        visited.update(run_history(seed).visited)
        histories += 1

    sys.stdout.write(f"{histories} histories; changes of state: {dict(visited)}\n")
    if not os.environ.get("PVCTL_SEED"):
        assert visited.keys() >= EXPECTED, "the histories have become too tame to say anything"
