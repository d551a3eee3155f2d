"""The comparison of two NG shares: what it promises, by simulation with fixed seeds and by exact cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.operating_curve import NEVER, calls_to_change
from controller.model.analysis import Arms, ChangeTest
from controller.rollouts.analysis.comparison import EPOCH, advance_change, log_change


def arms(draw: st.DrawFn, most: int = 400) -> Arms:
    canary, stable = draw(st.integers(0, most)), draw(st.integers(0, most))
    return Arms(canary, draw(st.integers(0, canary)), stable, draw(st.integers(0, stable)))


some_arms = st.composite(arms)


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
def test_a_comparison_stays_small(looks: list[tuple[int, int, int, int]]) -> None:
    test, now = ChangeTest(0.1), Arms()
    for ok, ng, stable_ok, stable_ng in looks:
        now = Arms(
            now.canary + ok + ng, now.canary_ng + ng, now.stable + stable_ok + stable_ng, now.stable_ng + stable_ng
        )
        test = advance_change(test, now)
    newest = test.starts[-1].number
    assert test.starts[0] == (0, Arms())
    assert len(test.starts) <= 4 + 3 * newest.bit_length()
    with pytest.raises(ValueError, match="cannot come after"):
        advance_change(test, Arms(now.canary, now.canary_ng + 1, now.stable, now.stable_ng))
