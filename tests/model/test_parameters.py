"""Declared parameters: what is checked, what is filled in, and what is let be."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.parameters import completed


def step(*params: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"index": index, "name": "a step", "params": list(params)}


THRESHOLD = {"key": "threshold", "type": "float", "default": 0.5, "min": 0.0, "max": 1.0}
COUNT = {"key": "count", "type": "int", "min": 1}
MODE = {"key": "mode", "type": "enum", "choices": ["fast", "exact"], "default": "fast"}
MASK = {"key": "mask", "type": "bool", "default": False}
LABEL = {"key": "label", "type": "string"}
ALL = (step(THRESHOLD, COUNT, MODE, MASK, LABEL),)


def test_defaults_are_filled_in_and_what_is_given_or_not_declared_is_kept() -> None:
    given = {"threshold": 0.25, "count": 3, "label": "left", "free": [1]}
    assert completed(ALL, 1, {}) == {"threshold": 0.5, "mode": "fast", "mask": False}
    assert completed(ALL, 1, given) == {**given, "mode": "fast", "mask": False}


@pytest.mark.parametrize(
    ("key", "value", "need"),
    [
        ("threshold", "abc", "a number from 0 to 1"),
        ("threshold", 1.01, "a number from 0 to 1"),
        ("threshold", None, "a number from 0 to 1"),
        ("threshold", True, "a number from 0 to 1"),
        ("threshold", float("nan"), "a number from 0 to 1"),
        ("count", 0, "a whole number from 1"),
        ("count", 1.5, "a whole number from 1"),
        ("mode", "slow", "one of 'fast', 'exact'"),
        ("mask", 1, "true or false"),
        ("label", 7, "text"),
    ],
)
def test_a_value_that_is_not_as_declared_is_refused_in_words(key: str, value: object, need: str) -> None:
    with pytest.raises(ValueError, match=f"^{key} must be {need}, got "):
        completed(ALL, 1, {key: value})


@pytest.mark.parametrize(("key", "value"), [("threshold", 0), ("threshold", 1), ("count", 2.0), ("count", 10**6)])
def test_the_bounds_belong_to_it(key: str, value: float) -> None:
    assert completed(ALL, 1, {key: value})[key] == value


def test_every_mistake_is_named() -> None:
    with pytest.raises(ValueError, match=r"threshold must be .*; count must be "):
        completed(ALL, 1, {"threshold": "a", "count": "b"})


def test_a_step_has_its_own_parameters_whether_the_manifest_counts_from_0_or_1() -> None:
    two = {"key": "only_two", "type": "int", "default": 2}
    for first in (0, 1):
        steps = (step(THRESHOLD, index=first), step(two, index=first + 1))
        assert completed(steps, 1, {}) == {"threshold": 0.5}
        assert completed(steps, 2, {"threshold": "for nobody"}) == {"threshold": "for nobody", "only_two": 2}
        assert completed(steps, 3, {}) == {}


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ({},),
        ({"index": 1},),
        ({"index": 1, "params": None},),
        ({"index": "1", "params": [THRESHOLD]},),
        (step({"key": "a", "type": "rect"}, {"type": "int"}, {"key": 3, "type": "int"}, index=1),),
        (step({"key": "a", "type": "int", "min": "low", "max": None}, index=1),),
        ({"index": 1, "params": ["a"]},),
    ],
)
def test_what_is_not_understood_of_a_declaration_is_not_held_against_a_caller(steps: Any) -> None:
    assert completed(steps, 1, {"a": 5, "b": "x"}) == {"a": 5, "b": "x"}
