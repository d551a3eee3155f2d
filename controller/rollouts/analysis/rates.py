"""The test of a rate, which may be looked at after every call, for ever: an e-process and what is spent on it.

An e-process is a number that starts at 1 or less and, while the hypothesis "within the limit" holds, is expected never
to grow, whenever one looks. By Ville's inequality it ever reaches 1/a with a probability of at most a. Formulas,
sources and the operating curve: docs/analysis.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from controller.model.analysis import RateTest

FALSE_REVERTS = 0.01
"""Probability that a version which is exactly at its limits is ever rolled back, in its rollout and after it."""

FROM_START = 0.85
"""Share of the evidence that bets on a version being bad from its first call; the rest bets on a later change."""

_WEIGHTS = (0.70, 0.08, 0.04, 0.18)


class Alternative(NamedTuple):
    """A rate that a bad version may have, and how much is bet on it."""

    weight: float
    rate: float


def alternatives(limit: float) -> tuple[Alternative, ...]:
    """Return the failure rates that are bet on: twice the limit, all calls, and two between in equal ratios.

    From a third upwards, half of the way from the limit to 1 takes the place of twice the limit. A limit of 0 or 1
    needs no bet.
    """
    if not 0 < limit < 1:
        return ()
    first = min(2 * limit, (1 + limit) / 2)
    last = len(_WEIGHTS) - 1
    return tuple(Alternative(weight, first ** (1 - index / last)) for index, weight in enumerate(_WEIGHTS))


def threshold(metrics: int) -> float:
    """Return the log evidence at which one of so many metrics fails, so that all of them keep `FALSE_REVERTS`."""
    return math.log(max(metrics, 1) / FALSE_REVERTS)


def later_share(first: int, last: int) -> float:
    """Return how much is bet on a change that comes after `first` and until `last` (calls, or starts of a test).

    The tail of the bet is 1 / log2(2 + n): proper, so that it adds up to 1 - `FROM_START` over any number of calls,
    and thinner by no more than log² n than the same amount for every call, so that a change after a long healthy time
    costs little more than log n to see.
    """
    ahead = math.log1p((last - first) / (2 + first)) / math.log(2)  # the difference of the logs, without cancellation
    return (1 - FROM_START) * ahead / (math.log2(2 + first) * math.log2(2 + last))


def begin_rate(limit: float, slower_than: float | None = None) -> RateTest:
    """Return a test of `limit` that has seen nothing yet."""
    return RateTest(limit, bets=(math.log(FROM_START),) * len(alternatives(limit)), slower_than=slower_than)


def advance_rate(test: RateTest, calls: int, failures: int) -> RateTest:
    """Return the test after so many calls and failures in all (not since the last time).

    Raises ValueError if these cannot be later counts of the same calls.
    """
    new, bad = calls - test.calls, failures - test.failures
    if not 0 <= bad <= new:
        raise ValueError(f"{failures} of {calls} cannot come after {test.failures} of {test.calls}")
    if new == 0:
        return test
    late = math.log(later_share(test.calls, calls))
    grown = (
        log_sum((bet + log_ratio(test.limit, each.rate, new, bad), late))
        for bet, each in zip(test.bets, alternatives(test.limit), strict=True)
    )
    return replace(test, calls=calls, failures=failures, bets=tuple(grown))


def rate_evidence(test: RateTest) -> float:
    """Return the log of the e-process: above log(1/a), such calls have a probability below a within the limit."""
    if test.limit <= 0:
        return math.inf if test.failures else 0.0
    if test.limit >= 1:
        return 0.0
    weighed = zip(alternatives(test.limit), test.bets, strict=True)
    return log_sum(math.log(each.weight) + bet for each, bet in weighed)


def log_ratio(limit: float, rate: float, calls: int, failures: int) -> float:
    """Return the log likelihood ratio of `rate` against `limit` (both above 0, limit below 1); Wald 1945."""
    return log_power(rate / limit, failures) + log_power((1 - rate) / (1 - limit), calls - failures)


def log_power(base: float, exponent: int) -> float:
    """log(base ** exponent), with 0 ** 0 = 1."""
    if exponent == 0:
        return 0.0
    return exponent * math.log(base) if base > 0 else -math.inf


def log_sum(logs: Iterable[float]) -> float:
    """log(sum(exp(x))), without overflow."""
    logs = tuple(logs)
    top = max(logs, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(each - top) for each in logs))
