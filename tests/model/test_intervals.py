"""The exact interval of a counted share, against published values and against the binomial sum itself."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model.intervals import at_least, clopper_pearson

PUBLISHED = [
    # R 4.3, binom.test(x, n)$conf.int
    (682, 925, (0.7076683, 0.7654066)),
    (7, 20, (0.1539092, 0.5921885)),
    # Newcombe, Statistics in Medicine 17 (1998), 857–872, table I, method 5
    (81, 263, (0.2527, 0.3676)),
    (15, 148, (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1684)),
    (1, 29, (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("hits", "trials", "interval"), PUBLISHED)
def test_it_is_the_published_one(hits: int, trials: int, interval: tuple[float, float]) -> None:
    digits = max(len(str(end).partition(".")[2]) for end in interval)

    assert clopper_pearson(hits, trials) == pytest.approx(interval, abs=0.6 * 10**-digits)


def test_without_hits_the_end_has_a_closed_form() -> None:
    assert clopper_pearson(0, 500) == (0.0, pytest.approx(1 - 0.025 ** (1 / 500), rel=1e-12))
    assert clopper_pearson(500, 500) == (pytest.approx(0.025 ** (1 / 500), rel=1e-12), 1.0)
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "trials"), [(-1, 5), (6, 5)])
def test_more_hits_than_trials_cannot_be(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        clopper_pearson(hits, trials)


@given(st.integers(1, 60), st.data())
def test_the_tail_is_the_binomial_sum(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    share = Fraction(data.draw(st.integers(1, 999)), 1000)

    exact = sum(comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits, trials + 1))

    assert at_least(hits, trials, float(share)) == pytest.approx(float(exact), rel=1e-9, abs=1e-14)


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_it_holds_the_share_itself(hits: int, more: int) -> None:
    low, high = clopper_pearson(hits, hits + more)

    assert 0 <= low <= high <= 1
    assert low * (hits + more) <= hits + 1e-6
    assert high * (hits + more) >= hits - 1e-6
