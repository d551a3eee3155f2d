"""The weight → PIDs rule: nested, never none, never all before 100 %, half rounds up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.model.desired import DeploymentSpec
from controller.model.strategy import cohort_size
from controller.rollouts.cohorts import cohort, rollout_sequence


@given(total=st.integers(1, 500), weight=st.integers(1, 99))
def test_a_partial_weight_takes_some_and_leaves_some(total: int, weight: int) -> None:
    size = cohort_size(total, weight)
    assert size >= 1
    assert size < total or total == 1


@given(total=st.integers(0, 500), small=st.integers(0, 100), large=st.integers(0, 100))
def test_a_larger_weight_contains_a_smaller_ones_pids(total: int, small: int, large: int) -> None:
    pids = tuple(f"P{number}" for number in range(total))
    small, large = sorted((small, large))
    assert set(cohort(pids, small)) <= set(cohort(pids, large))


def test_half_rounds_up_and_the_ends_are_none_and_all() -> None:
    assert [cohort_size(10, weight) for weight in (0, 25, 24, 5, 100)] == [0, 3, 2, 1, 10]
    assert cohort_size(2, 99) == 1


def test_the_sequence_is_order_then_listed_then_critical_without_pinned() -> None:
    spec = DeploymentSpec.model_validate(
        {
            "package": {"name": "p", "version": "1"},
            "pids": ["A1", "A2", "A3", "A4", "A5"],
            "pinned": {"A3": "0"},
            "strategy": {"canary": {"order": ["A4"], "critical": ["A1"]}},
        }
    )
    assert rollout_sequence(spec) == ("A4", "A2", "A5", "A1")
