"""Tests that may be looked at after every call, for ever: e-processes and what is spent on them. Pure numbers.

An e-process is a number that starts at 1 or less and, while the hypothesis "within the limit" holds, is expected never
to grow, whenever one looks. By Ville's inequality it ever reaches 1/a with a probability of at most a. Formulas,
sources and the operating curve: docs/analysis.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

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


@dataclass(frozen=True, slots=True)
class RateTest:
    """Whether calls fail more often than `limit` (0–1): Wald's likelihood ratio, mixed over rates and over starts.

    `calls` and `failures` are those seen so far; `bets` holds, for each alternative, the log of what the bets on it
    have grown to, whichever call they started at. `slower_than` keeps what a failure meant where that is a latency.
    """

    limit: float
    calls: int = 0
    failures: int = 0
    bets: tuple[float, ...] = ()
    slower_than: float | None = None

    @classmethod
    def begin(cls, limit: float, slower_than: float | None = None) -> Self:
        bets = (math.log(FROM_START),) * len(alternatives(limit))
        return cls(limit, bets=bets, slower_than=slower_than)

    def seen(self, calls: int, failures: int) -> RateTest:
        """Return the test after so many calls and failures in all (not since the last time).

        Raises ValueError if these cannot be later counts of the same calls.
        """
        new, bad = calls - self.calls, failures - self.failures
        if not 0 <= bad <= new:
            raise ValueError(f"{failures} of {calls} cannot come after {self.failures} of {self.calls}")
        if new == 0:
            return self
        late = math.log(later_share(self.calls, calls))
        grown = (
            _log_sum((bet + log_ratio(self.limit, each.rate, new, bad), late))
            for bet, each in zip(self.bets, alternatives(self.limit), strict=True)
        )
        return replace(self, calls=calls, failures=failures, bets=tuple(grown))

    @property
    def log_evidence(self) -> float:
        """Log of the e-process: above log(1/a), the calls seen have a probability below a within the limit."""
        if self.limit <= 0:
            return math.inf if self.failures else 0.0
        if self.limit >= 1:
            return 0.0
        weighed = zip(alternatives(self.limit), self.bets, strict=True)
        return _log_sum(math.log(each.weight) + bet for each, bet in weighed)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form that `from_document` reads back."""
        return {
            "limit": self.limit,
            "calls": self.calls,
            "failures": self.failures,
            "bets": list(self.bets),
            "slower_than": self.slower_than,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError if the document is not such a test."""
        test = cls(**{**document, "bets": tuple(map(float, document["bets"]))})
        if len(test.bets) != len(alternatives(test.limit)):
            raise ValueError(f"a test of limit {test.limit} has {len(alternatives(test.limit))} bets")
        return test


def log_ratio(limit: float, rate: float, calls: int, failures: int) -> float:
    """Return the log likelihood ratio of `rate` against `limit` (both above 0, limit below 1); Wald 1945."""
    return _log_power(rate / limit, failures) + _log_power((1 - rate) / (1 - limit), calls - failures)


class Arms(NamedTuple):
    """Verdicts about parts on both sides of a rollout: how many, and how many of them NG."""

    canary: int = 0
    canary_ng: int = 0
    stable: int = 0
    stable_ng: int = 0

    def since(self, earlier: Arms) -> Arms:
        return Arms(*(now - then for now, then in zip(self, earlier, strict=True)))

    @property
    def possible(self) -> bool:
        """Whether these can be counts at all."""
        return 0 <= self.canary_ng <= self.canary and 0 <= self.stable_ng <= self.stable


class Start(NamedTuple):
    """A moment from which the two sides are compared: its number, from 0, and the counts until then."""

    number: int
    until: Arms


EPOCH = 100
"""Verdicts of the canary between two starts of a comparison."""


@dataclass(frozen=True, slots=True)
class ChangeTest:
    """Whether the NG shares of canary and stable differ by more than `limit` (0–1), in either direction.

    The comparison is made from several starts, the first call and about two for each doubling of the time since, so
    that a long equal past does not hide a change: a bounded number, whatever the length.
    """

    limit: float
    arms: Arms = field(default_factory=Arms)
    starts: tuple[Start, ...] = field(default_factory=lambda: (Start(0, Arms()),))

    def seen(self, arms: Arms) -> ChangeTest:
        """Return the test after these counts in all. Raises ValueError if they cannot be later ones of the same."""
        if not arms.since(self.arms).possible:
            raise ValueError(f"{arms} cannot come after {self.arms}")
        newest = self.starts[-1]
        if arms.canary - newest.until.canary < EPOCH:
            return replace(self, arms=arms)
        kept = (each for each in self.starts if _kept(each.number, newest.number + 1))
        return replace(self, arms=arms, starts=(*kept, Start(newest.number + 1, arms)))

    @property
    def log_evidence(self) -> float:
        """Log of the e-process against "the shares differ by no more than the limit"."""
        return _log_sum(
            math.log(later_share(start.number - 1, start.number) if start.number else FROM_START)
            + log_change(self.limit, self.arms.since(start.until))
            for start in self.starts
        )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form that `from_document` reads back."""
        starts = [[start.number, *start.until] for start in self.starts]
        return {"limit": self.limit, "arms": list(self.arms), "starts": starts}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError if the document is not such a test."""
        starts = tuple(Start(int(number), Arms(*until)) for number, *until in document["starts"])
        if not starts:
            raise ValueError("a comparison has at least its first start")
        return cls(float(document["limit"]), Arms(*document["arms"]), starts)


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
        _log_power(canary, arms.canary_ng)
        + _log_power(1 - canary, arms.canary - arms.canary_ng)
        + _log_power(stable, arms.stable_ng)
        + _log_power(1 - stable, arms.stable - arms.stable_ng)
    )


def _log_power(base: float, exponent: int) -> float:
    """log(base ** exponent), with 0 ** 0 = 1."""
    if exponent == 0:
        return 0.0
    return exponent * math.log(base) if base > 0 else -math.inf


def _log_sum(logs: Iterable[float]) -> float:
    """log(sum(exp(x))), without overflow."""
    logs = tuple(logs)
    top = max(logs, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(each - top) for each in logs))
