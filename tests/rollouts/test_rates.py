"""The test of a rate: what it promises, by simulation with fixed seeds and by exact cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.operating_curve import NEVER, RateRuns, calls_to_revert, wald
from controller.rollouts.analysis.rates import (
    FALSE_REVERTS,
    FROM_START,
    advance_rate,
    alternatives,
    begin_rate,
    later_share,
    log_ratio,
    rate_evidence,
    threshold,
)

LIMITS = st.sampled_from([0.001, 0.01, 0.05, 0.2, 1 / 3, 0.5, 0.9])


def after(limit: float, calls: int, failures: int) -> float:
    return rate_evidence(advance_rate(begin_rate(limit), calls, failures))


@pytest.mark.parametrize(("limit", "calls"), [(0.01, 3000), (0.05, 2000), (0.2, 1000)])
def test_at_the_limit_one_rollout_in_a_hundred_is_reverted_at_most_whenever_one_looks(limit: float, calls: int) -> None:
    count, metrics = 4000, 1
    runs = RateRuns(limit, count)
    reverted = calls_to_revert(runs, count, [limit] * calls, threshold(metrics), np.random.default_rng(1))
    tolerance = 3 * math.sqrt(FALSE_REVERTS * (1 - FALSE_REVERTS) / count)
    assert np.mean(reverted < NEVER) <= FALSE_REVERTS + tolerance


def test_a_rate_that_varies_below_the_limit_does_not_fool_it() -> None:
    count, rates = 4000, [0.05 if (call // 100) % 2 else 0.01 for call in range(1500)]
    reverted = calls_to_revert(RateRuns(0.05, count), count, rates, threshold(1), np.random.default_rng(2))
    assert np.mean(reverted < NEVER) <= FALSE_REVERTS


@pytest.mark.parametrize("metrics", [1, 2, 4])
@pytest.mark.parametrize("limit", [0.05, 0.2])
def test_at_twice_the_limit_the_median_is_within_half_more_than_walds(limit: float, metrics: int) -> None:
    rng, horizon = np.random.default_rng(3), int(50 / limit)
    found = calls_to_revert(RateRuns(limit, 2000), 2000, [2 * limit] * horizon, threshold(metrics), rng)
    # Wald's test has the whole 1 % for a single metric: the stricter reading of "the same error rates".
    assert np.median(found) <= 1.5 * np.median(wald(limit, 2 * limit, threshold(1), horizon, rng))


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.05, 0.1, 0.2])
def test_when_every_call_fails_five_are_enough(limit: float) -> None:
    assert after(limit, 5, 5) >= threshold(4)
    assert after(limit, 1, 1) < threshold(1) or limit < 0.01


def test_a_long_healthy_past_delays_little() -> None:
    test = begin_rate(0.05)
    for calls in range(100, 100_001, 100):
        test = advance_rate(test, calls, calls // 100)
    for failing in range(1, 13):
        test = advance_rate(test, 100_000 + failing, 1000 + failing)
    assert rate_evidence(test) >= threshold(4)
    assert after(0.05, 100_012, 1012) < 0


def test_the_simulation_and_the_test_are_the_same() -> None:
    rng = np.random.default_rng(4)
    for limit in (0.01, 0.2):
        runs, test, failures = RateRuns(limit, 1), begin_rate(limit), 0
        for calls in range(1, 300):
            failed = bool(rng.random() < 0.3)
            failures += failed
            test = advance_rate(test, calls, failures)
            assert rate_evidence(test) == pytest.approx(float(runs.call(np.array([failed]))[0]))


def test_limits_at_the_ends() -> None:
    assert after(0.0, 100_000, 0) < threshold(1)
    assert after(0.0, 100_000, 1) == math.inf
    assert after(1.0, 1000, 1000) == 0.0
    assert after(0.5, 10, 10) >= threshold(1)
    assert after(0.99, 2000, 2000) >= threshold(1)
    assert rate_evidence(begin_rate(0.05)) < 0


@given(limit=LIMITS)
def test_what_is_bet_adds_up(limit: float) -> None:
    bets = alternatives(limit)
    assert math.fsum(each.weight for each in bets) == pytest.approx(1)
    assert all(limit < each.rate <= 1 for each in bets)
    later = math.fsum(later_share(calls, calls + 7) for calls in range(0, 7000, 7))
    assert later == pytest.approx(later_share(0, 7000))
    assert FROM_START + later < 1
    assert later_share(10**15, 10**15 + 1) > 0


@given(limit=LIMITS, rate_of=st.integers(0, 3), share=st.floats(0, 1))
def test_no_bet_is_expected_to_grow_within_the_limit(limit: float, rate_of: int, share: float) -> None:
    rate, true_rate = alternatives(limit)[rate_of].rate, share * limit
    expected = true_rate * math.exp(log_ratio(limit, rate, 1, 1)) + (1 - true_rate) * math.exp(
        log_ratio(limit, rate, 1, 0)
    )
    assert expected <= 1 + 1e-12


@given(limit=LIMITS, calls=st.integers(1, 5000), data=st.data())
def test_more_failures_are_more_evidence(limit: float, calls: int, data: st.DataObject) -> None:
    fewer = data.draw(st.integers(0, calls))
    more = data.draw(st.integers(fewer, calls))
    assert after(limit, calls, fewer) <= after(limit, calls, more) + 1e-9


@given(limit=LIMITS, looks=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_a_look_without_new_calls_changes_nothing(limit: float, looks: list[tuple[int, int]]) -> None:
    test, calls, failures = begin_rate(limit), 0, 0
    for bad, good in looks:
        calls, failures = calls + bad + good, failures + bad
        test = advance_rate(test, calls, failures)
        assert advance_rate(test, calls, failures) == test


@pytest.mark.parametrize("counts", [(9, 1), (10, 4), (11, 0), (11, 3)])
def test_counts_that_cannot_follow_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot come after"):
        advance_rate(advance_rate(begin_rate(0.05), 10, 1), *counts)
