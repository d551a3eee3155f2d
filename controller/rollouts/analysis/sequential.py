"""The test of a share as it goes on from look to look, and how what it says is told: what all such metrics have in
common. The numbers are those of `rates.py`."""

from __future__ import annotations

import math

from controller.model.analysis import Outcome, RateTest
from controller.rollouts.analysis.rates import advance_rate


def gone_on(test: RateTest | None, fresh: RateTest, calls: int, failures: int) -> RateTest:
    """Go on with a test where it is still the same one over the same calls; else begin anew with all of them.

    Another limit is another test; counts go back when a PID leaves the rollout.
    """
    same = test is not None and _kind(test) == _kind(fresh)
    if test is not None and same and 0 <= failures - test.failures <= calls - test.calls:
        return advance_rate(test, calls, failures)
    return advance_rate(fresh, calls, failures)


def _kind(test: RateTest) -> tuple[object, ...]:
    """What makes a test another one: its limit, what a failure is, and how many bets there are."""
    return test.limit, test.slower_than, len(test.bets)


def chance(log_evidence: float) -> float:
    """Ville's inequality: how likely such evidence ever is for a version within its limit, at most."""
    return math.exp(-max(log_evidence, 0.0))


def progress(log_evidence: float, needed: float) -> float:
    """How much of the evidence that a fail needs is there, 0 to 1."""
    return min(max(log_evidence / needed, 0.0), 1.0)


def odds(needed: float) -> int:
    """The odds against chance at which a test fails that needs so much log evidence."""
    return round(math.exp(needed))


def by_chance(outcome: Outcome, likely: float) -> str:
    """Return how unlikely a fail is by chance, as the end of a sentence; nothing of another outcome."""
    if outcome in {"inconclusive", "pass"} or likely == 0:
        return ""
    against = min(1 / likely, 1e15)
    rounded = int(against // (size := 10 ** math.floor(math.log10(against))) * size)
    return f" (would happen by chance less than once in {rounded:,} rollouts)"


def percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share * 100:.3g} %"


def on(where: tuple[str, ...]) -> str:
    return f" on {', '.join(where)}" if where else ""
