"""Units: what operators write is read exactly, written back without loss, and refused in plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25), ("1.5s", 1.5), ("0s", 0),
     ("1d2h3m4s5ms", 93784.005), ("5m500ms", 300.5), ("3650d", 3650 * 86400)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", 5, 5.0, None, "5 m", "-5s", "1m1h", "5min", "1.5h", "0.0001s", "٣s", "1e3s", True, [], {}]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"got .* \(expected a duration with a unit, such as 30s, 10m or 1h30m\)"):
        units.parse_duration(text)


def test_a_duration_has_an_end() -> None:
    with pytest.raises(ValueError, match="expected at most 3650d"):
        units.parse_duration("3651d")


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("5%", 0.05), ("0.05", 0.05), (0.05, 0.05), ("7%", 0.07), ("100%", 1), ("1", 1), (1, 1), ("0", 0), (".5", 0.5),
     ("0.1%", 0.001)],
)  # fmt: skip
def test_ratios(text: object, ratio: float) -> None:
    assert units.parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["101%", "1.01", 2, "-1%", "5", "5 %", "", None, True, "nan", [5]])
def test_what_is_no_ratio(text: object) -> None:
    with pytest.raises(ValueError, match="expected a percentage from 0% to 100%"):
        units.parse_ratio(text)


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2**31), ("512MiB", 2**29), ("1.5GB", 1_500_000_000), ("0B", 0), ("1 KiB", 1024)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["2", 2, "2G", "2gib", "-1B", "BB", None, []])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size with a unit"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["007", "1e3", "0x10", "1_000", "1.0", "+1", "", None, True, 1.0, [], "9" * 30])
def test_what_is_no_whole_number(text: object) -> None:
    with pytest.raises(ValueError, match="expected a whole number"):
        units.parse_integer(text)


@pytest.mark.parametrize("text", ["yes", "NO", "on", "1", 1, None, [], {}, "tRUE"])
def test_what_is_no_boolean(text: object) -> None:
    with pytest.raises(ValueError, match="expected true or false"):
        units.parse_boolean(text)


def test_a_load_may_be_more_than_one_core() -> None:
    assert (units.parse_load("400%"), units.parse_load("95%"), units.parse_load("0.5")) == (4.0, 0.95, 0.5)


@given(st.integers(0, 3650 * 86_400_000))
def test_durations_survive_being_written(millis: int) -> None:
    assert units.parse_duration(units.format_duration(millis / 1000)) == millis / 1000


@given(st.floats(0, 1, allow_subnormal=False).map(lambda value: round(value, 15)))
def test_ratios_survive_being_written(ratio: float) -> None:
    assert units.parse_ratio(units.format_ratio(ratio)) == ratio


@given(st.integers(0, 2**49))
def test_sizes_survive_being_written(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


def test_an_error_shows_the_value_on_one_short_line() -> None:
    assert units.shown("a\nb") == r"'a\nb'"
    assert len(units.shown("x" * 500)) < 70
    assert [units.shown(value) for value in (None, {}, [], True, 5)] == [
        "nothing",
        "a mapping",
        "a list",
        "'true'",
        "'5'",
    ]


def test_switches_are_words_that_some_tools_take_for_booleans() -> None:
    assert [units.parse_switch(each) for each in ("on", "off", True, False, "true", "False")] == ["on", "off"] * 3
    with pytest.raises(ValueError, match="expected on or off"):
        units.parse_switch("yes")
