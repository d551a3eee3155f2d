"""The comparison of two NG shares, which may be looked at after every verdict about a part, for ever. Pure numbers.

An e-process as that of a rate is (`rates.py`), against a hypothesis that is a region. Formulas and sources:
docs/analysis.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

from controller.model.analysis import Arms, ChangeTest, Start
from controller.rollouts.analysis.rates import FROM_START, later_share, log_power, log_sum

EPOCH = 100
"""Verdicts of the canary between two starts of a comparison."""


def advance_change(test: ChangeTest, arms: Arms) -> ChangeTest:
    """Return the test after these counts in all. Raises ValueError if they cannot be later ones of the same."""
    if not arms.since(test.arms).possible:
        raise ValueError(f"{arms} cannot come after {test.arms}")
    newest = test.starts[-1]
    if arms.canary - newest.until.canary < EPOCH:
        return replace(test, arms=arms)
    kept = (each for each in test.starts if _kept(each.number, newest.number + 1))
    return replace(test, arms=arms, starts=(*kept, Start(newest.number + 1, arms)))


def change_evidence(test: ChangeTest) -> float:
    """Return the log of the e-process against "the shares differ by no more than the limit"."""
    return log_sum(
        math.log(later_share(start.number - 1, start.number) if start.number else FROM_START)
        + log_change(test.limit, test.arms.since(start.until))
        for start in test.starts
    )


def _kept(number: int, newest: int) -> bool:
    """Whether a start is kept: fewer the older they are, always the first, and never one that was not kept before."""
    return number % (1 << max(0, (newest - number).bit_length() - 2)) == 0


def log_change(limit: float, arms: Arms) -> float:
    """Return the log e-value of two-sided evidence that two shares differ by more than `limit`.

    The marginal likelihood of both sides under independent Beta(1/2, 1/2) rates, over the largest likelihood that two
    rates no further apart than `limit` can have. Whatever these rates are, it is at most the likelihood ratio of the
    mixture against them, a martingale (Robbins 1970; Wasserman, Ramdas, Balakrishnan 2020).
    """
    mixture = _log_marginal(arms.canary, arms.canary_ng) + _log_marginal(arms.stable, arms.stable_ng)
    return mixture - _log_largest_within(limit, arms)


def _log_marginal(calls: int, ng: int) -> float:
    ok = calls - ng
    return math.lgamma(ng + 0.5) + math.lgamma(ok + 0.5) - math.lgamma(calls + 1) - math.log(math.pi)


def _log_largest_within(limit: float, arms: Arms) -> float:
    """The log likelihood at the most likely pair of rates that differ by at most `limit`."""
    canary, stable = arms.canary_ng / max(arms.canary, 1), arms.stable_ng / max(arms.stable, 1)
    if not (arms.canary and arms.stable) or abs(canary - stable) <= limit:
        return _log_likelihood(arms, canary, stable)
    if canary > stable:
        lower = _most_likely_lower(limit, arms)
        return _log_likelihood(arms, lower + limit, lower)
    lower = _most_likely_lower(limit, Arms(arms.stable, arms.stable_ng, arms.canary, arms.canary_ng))
    return _log_likelihood(arms, lower, lower + limit)


def _most_likely_lower(limit: float, arms: Arms) -> float:
    """The stable rate p at which (p + limit, p) is most likely: the likelihood is concave, its slope is bisected."""
    low, high = 0.0, 1 - limit
    for _ in range(50):
        middle = (low + high) / 2
        slope = _slope(arms.canary, arms.canary_ng, middle + limit) + _slope(arms.stable, arms.stable_ng, middle)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return (low + high) / 2


def _slope(calls: int, ng: int, rate: float) -> float:
    rate = min(max(rate, 1e-15), 1 - 1e-15)
    return ng / rate - (calls - ng) / (1 - rate)


def _log_likelihood(arms: Arms, canary: float, stable: float) -> float:
    return (
        log_power(canary, arms.canary_ng)
        + log_power(1 - canary, arms.canary - arms.canary_ng)
        + log_power(stable, arms.stable_ng)
        + log_power(1 - stable, arms.stable - arms.stable_ng)
    )
