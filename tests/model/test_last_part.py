"""What is shown of a part: only numbers as rectangles, and no verdict that nobody gave."""

from __future__ import annotations

import pytest

from controller.model.last_part import MOST_DEFECTS, defects_of, outcome_of

RECT = {"x": 1, "y": 2.5, "width": 3, "height": 4}


def test_rectangles_are_taken_in_both_forms() -> None:
    found, malformed = defects_of([{**RECT, "label": "scratch", "score": 0.9, "mask": [1] * 99}, [5, 6, 7, 8], RECT])
    assert found == [
        {**RECT, "label": "scratch", "score": 0.9},
        {"x": 5, "y": 6, "width": 7, "height": 8, "label": "", "score": None},
        {**RECT, "label": "", "score": None},
    ]
    assert malformed == 0
    assert defects_of(None) == ([], 0)


@pytest.mark.parametrize(
    "entry",
    [
        {**RECT, "x": "1"}, {**RECT, "x": None}, {**RECT, "x": True}, {**RECT, "width": -1},
        {**RECT, "y": float("nan")}, {**RECT, "height": float("inf")}, {**RECT, "x": 10**400}, {**RECT, "x": [1]},
        {"x": 1, "y": 2}, [1, 2, 3],
        [1, 2, 3, "4"], "abcd", 7, None, {}, [], [[1, 2], [3, 4], [5, 6], [7, 8]],
    ],
)  # fmt: skip
def test_what_is_no_rectangle_is_left_out_and_counted(entry: object) -> None:
    found, malformed = defects_of([entry, RECT])
    assert [each["x"] for each in found] == [1]
    assert malformed == 1


def test_rectangles_are_bounded_and_so_are_their_labels() -> None:
    found, malformed = defects_of([{**RECT, "label": "z" * 100_000}] * 5000)
    assert (len(found), malformed) == (MOST_DEFECTS, 5000 - MOST_DEFECTS)
    assert {len(each["label"]) for each in found} == {50}


@pytest.mark.parametrize("entry", [{"x": 1}, "scratch", 7])
def test_what_is_no_list_is_one_entry(entry: object) -> None:
    assert defects_of(entry) == ([], 1)


@pytest.mark.parametrize(
    ("status", "result_status", "outcome"),
    [
        ("OK", "OK", "OK"), ("OK", "NG", "NG"), ("OK", None, "OK"), ("OK", "MAYBE", "ERROR"), ("OK", ["NG"], "ERROR"),
        ("ERROR", "OK", "ERROR"), ("ERROR", None, "ERROR"),
    ],
)  # fmt: skip
def test_only_a_verdict_counts_as_one(status: str, result_status: object, outcome: str) -> None:
    assert outcome_of(status, result_status)[0] == outcome
