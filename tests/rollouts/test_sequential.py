"""The tests behind the verdicts: what they promise, by simulation with fixed seeds and by exact cases."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.operating_curve import NEVER, RateRuns, calls_to_change, calls_to_revert, wald
from controller.rollouts.analysis.sequential import (
    EPOCH,
    FALSE_REVERTS,
    FROM_START,
    Arms,
    ChangeTest,
    RateTest,
    alternatives,
    later_share,
    log_change,
    log_ratio,
    threshold,
)

LIMITS = st.sampled_from([0.001, 0.01, 0.05, 0.2, 1 / 3, 0.5, 0.9])


def after(limit: float, calls: int, failures: int) -> float:
    return RateTest.begin(limit).seen(calls, failures).log_evidence


def arms(draw: st.DrawFn, most: int = 400) -> Arms:
    canary, stable = draw(st.integers(0, most)), draw(st.integers(0, most))
    return Arms(canary, draw(st.integers(0, canary)), stable, draw(st.integers(0, stable)))


some_arms = st.composite(arms)


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
    test = RateTest.begin(0.05)
    for calls in range(100, 100_001, 100):
        test = test.seen(calls, calls // 100)
    for failing in range(1, 13):
        test = test.seen(100_000 + failing, 1000 + failing)
    assert test.log_evidence >= threshold(4)
    assert after(0.05, 100_012, 1012) < 0


def test_the_simulation_and_the_test_are_the_same() -> None:
    rng = np.random.default_rng(4)
    for limit in (0.01, 0.2):
        runs, test, failures = RateRuns(limit, 1), RateTest.begin(limit), 0
        for calls in range(1, 300):
            failed = bool(rng.random() < 0.3)
            failures += failed
            test = test.seen(calls, failures)
            assert test.log_evidence == pytest.approx(float(runs.call(np.array([failed]))[0]))


def test_limits_at_the_ends() -> None:
    assert after(0.0, 100_000, 0) < threshold(1)
    assert after(0.0, 100_000, 1) == math.inf
    assert after(1.0, 1000, 1000) == 0.0
    assert after(0.5, 10, 10) >= threshold(1)
    assert after(0.99, 2000, 2000) >= threshold(1)
    assert RateTest.begin(0.05).log_evidence < 0


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
def test_it_survives_being_stored_between_any_two_looks(limit: float, looks: list[tuple[int, int]]) -> None:
    kept, stored, calls, failures = RateTest.begin(limit), RateTest.begin(limit), 0, 0
    for bad, good in looks:
        calls, failures = calls + bad + good, failures + bad
        kept = kept.seen(calls, failures)
        stored = RateTest.from_document(json.loads(json.dumps(stored.to_document()))).seen(calls, failures)
        assert stored == kept == kept.seen(calls, failures)


@pytest.mark.parametrize("counts", [(9, 1), (10, 4), (11, 0), (11, 3)])
def test_counts_that_cannot_follow_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot come after"):
        RateTest.begin(0.05).seen(10, 1).seen(*counts)


def test_a_document_of_another_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="bets"):
        RateTest.from_document({**RateTest.begin(0.05).to_document(), "bets": [0.0]})
    with pytest.raises(ValueError, match="first start"):
        ChangeTest.from_document({**ChangeTest(0.1).to_document(), "starts": []})


def test_a_change_at_its_limit_is_rarely_called_one() -> None:
    count = 150
    for seed, (canary, stable) in enumerate([(0.15, 0.05), (0.05, 0.15), (0.5, 0.4)]):
        found = [calls_to_change(0.1, lambda _: (canary, stable), 150, 1000 * seed + run) for run in range(count)]  # noqa: B023
        assert sum(calls < NEVER for calls in found) <= 2


def test_a_share_that_drifts_on_both_sides_alike_is_no_change() -> None:
    found = [calls_to_change(0.05, lambda call: (call / 500, call / 500), 300, seed) for seed in range(60)]
    assert found == [NEVER] * 60


@pytest.mark.parametrize(("canary", "stable", "most"), [(1.0, 0.02, 8), (0.0, 0.6, 40), (0.5, 0.02, 60)])
def test_a_gross_change_is_found_in_few_calls(canary: float, stable: float, most: int) -> None:
    found = [calls_to_change(0.1, lambda _: (canary, stable), 200, seed) for seed in range(40)]
    assert float(np.median(found)) <= most


def test_a_change_after_a_long_equal_past_is_found() -> None:
    found = calls_to_change(0.1, lambda call: (0.9 if call > 5000 else 0.05, 0.05), 6000, 7)
    assert 5000 < found <= 5000 + EPOCH + 50


@given(first=some_arms(), limit=st.floats(0, 1))
def test_a_change_is_the_same_seen_from_either_side(first: Arms, limit: float) -> None:
    canary, canary_ng, stable, stable_ng = first
    assert log_change(limit, first) == pytest.approx(log_change(limit, Arms(stable, stable_ng, canary, canary_ng)))


@given(first=some_arms(), limit=st.floats(0, 1), wider=st.floats(0, 1))
def test_a_wider_limit_has_less_against_it(first: Arms, limit: float, wider: float) -> None:
    assert log_change(max(limit, wider), first) <= log_change(min(limit, wider), first) + 1e-9


@given(first=some_arms(most=40), limit=st.sampled_from([0.0, 0.1, 0.5]))
def test_the_most_likely_pair_is_found(first: Arms, limit: float) -> None:
    def loglik(canary: Any, stable: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = [
                np.where(count == 0, 0.0, count * np.log(rate))
                for count, rate in (
                    (first.canary_ng, canary),
                    (first.canary - first.canary_ng, 1 - canary),
                    (first.stable_ng, stable),
                    (first.stable - first.stable_ng, 1 - stable),
                )
            ]
        return sum(parts)

    canary, stable = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    best = np.max(loglik(canary, stable)[np.abs(canary - stable) <= limit + 1e-12])
    mixture = log_change(1.0, first) + loglik(
        np.float64(first.canary_ng / max(first.canary, 1)), np.float64(first.stable_ng / max(first.stable, 1))
    )
    assert log_change(limit, first) <= mixture - best + 1e-6


@given(looks=st.lists(st.tuples(*[st.integers(0, 200)] * 4), min_size=1, max_size=200))
def test_a_comparison_stays_small_and_survives_being_stored(looks: list[tuple[int, int, int, int]]) -> None:
    test, now = ChangeTest(0.1), Arms()
    for ok, ng, stable_ok, stable_ng in looks:
        now = Arms(
            now.canary + ok + ng, now.canary_ng + ng, now.stable + stable_ok + stable_ng, now.stable_ng + stable_ng
        )
        test = test.seen(now)
    newest = test.starts[-1].number
    assert test.starts[0] == (0, Arms())
    assert len(test.starts) <= 4 + 3 * newest.bit_length()
    assert ChangeTest.from_document(json.loads(json.dumps(test.to_document()))) == test
    with pytest.raises(ValueError, match="cannot come after"):
        test.seen(Arms(now.canary, now.canary_ng + 1, now.stable, now.stable_ng))
