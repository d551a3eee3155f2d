"""Tallies: what counts as what, that they add and subtract, and how exact the latencies stay."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import Code
from controller.model.tally import (
    ACCURACY,
    LONGEST,
    SHORTEST,
    Kind,
    LatencySketch,
    Recorder,
    Tally,
    bin_of,
    classify,
    classify_result,
    pooled,
)
from controller.store.tally_store import parse_tally, tally_document
from tests.builders import sketch

COUNTS = st.integers(0, 1000)
LATENCIES = st.lists(st.floats(SHORTEST, LONGEST), max_size=30)
TALLIES = st.builds(
    Tally,
    calls=COUNTS,
    errors=COUNTS,
    timeouts=COUNTS,
    verdicts_ok=COUNTS,
    verdicts_ng=COUNTS,
    crashes=COUNTS,
    heartbeat_losses=COUNTS,
    latency=LATENCIES.map(sketch),
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, Kind.ignored) for code in (1001, 1002, 1003, 1007, 1011, 1012, 2001, 2005)),
        *((code, Kind.error) for code in (1000, 1004, 1006, 1009, 1010, 1999)),
        (Code.timeout, Kind.timeout),
    ],
)
def test_an_error_code_counts_as(code: int, kind: Kind) -> None:
    assert classify(code) is kind


@pytest.mark.parametrize(
    ("status", "result", "kind"),
    [
        ("OK", "OK", Kind.ok),
        ("OK", "NG", Kind.ng),
        ("OK", None, Kind.answered),
        ("OK", 7, Kind.answered),
        ("ERROR", "OK", Kind.error),
        ("odd", None, Kind.error),
    ],
)
def test_a_result_counts_as(status: str, result: object, kind: Kind) -> None:
    assert classify_result(status, result) is kind


@given(first=TALLIES, second=TALLIES, third=TALLIES)
def test_tallies_merge_in_any_order_and_subtract_again(first: Tally, second: Tally, third: Tally) -> None:
    assert (first + second) + third == first + (second + third) == pooled([third, first, second])
    assert first + second == second + first
    assert (first + second) - second == first
    assert first + Tally() == first


@given(tally=TALLIES)
def test_a_tally_survives_json(tally: Tally) -> None:
    assert parse_tally(json.loads(json.dumps(tally_document(tally)))) == tally


def test_only_an_earlier_state_can_be_subtracted() -> None:
    now = Tally(calls=2, latency=sketch([0.1, 0.2]))
    for other in (Tally(calls=3), Tally(latency=sketch([0.5]))):
        with pytest.raises(ValueError, match="earlier state"):
            _ = now - other


@given(latencies=st.lists(st.floats(SHORTEST, LONGEST), min_size=1, max_size=200), share=st.floats(0, 1))
def test_a_quantile_is_right_to_two_percent(latencies: list[float], share: float) -> None:
    exact = sorted(latencies)[math.floor(share * (len(latencies) - 1))]
    found = sketch(latencies).quantile(share)
    assert found == pytest.approx(exact, rel=ACCURACY + 1e-9)


@given(latencies=LATENCIES, limit=st.floats(SHORTEST, LONGEST))
def test_calls_count_as_slower_from_four_percent_over_the_limit(latencies: list[float], limit: float) -> None:
    slower = sketch(latencies).slower_than(limit)
    gamma = (1 + ACCURACY) / (1 - ACCURACY)
    assert sum(each > limit * gamma * (1 + 1e-9) for each in latencies) <= slower
    assert slower <= sum(each > limit * (1 - 1e-9) for each in latencies)


@given(latencies=st.lists(st.floats(0, 1e9), max_size=2000))
def test_a_sketch_is_bounded(latencies: list[float]) -> None:
    every = sketch([*latencies, 0.0, math.inf])
    assert len(every.bins) <= 440
    assert every.samples == len(latencies) + 2
    assert bin_of(LONGEST) - bin_of(SHORTEST) < 440


def test_without_calls_there_is_no_latency() -> None:
    assert LatencySketch().quantile(0.5) is None


def test_a_recorder_counts_what_the_version_did() -> None:
    recorder = Recorder()
    for kind, seconds in (
        (Kind.ok, 0.1), (Kind.ng, 0.2), (Kind.answered, 0.3), (Kind.error, 0.001), (Kind.timeout, 5.0),
        (Kind.ignored, 9.0),
    ):  # fmt: skip
        recorder.record(kind, seconds)
    recorder.crashed()
    recorder.heartbeat_lost()
    recorder.memory_exceeded()
    expected = Tally(5, 1, 1, 1, 1, 1, 1, 1, sketch([0.1, 0.2, 0.3, 5.0]))
    assert recorder.tally == expected
    assert recorder.tally.verdicts == 2
    resumed = Recorder(expected)
    resumed.record(Kind.error, 0.1)
    assert resumed.tally == replace(expected, calls=6, errors=2)
