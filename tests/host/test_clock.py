"""The machine's clocks: the form of a timestamp, and a moment that no clock step moves."""

from __future__ import annotations

import pytest

from controller.host import clock
from controller.model.timestamps import format_timestamp
from controller.reconciler.clock import boot_time


@pytest.mark.parametrize(
    ("nanoseconds", "timestamp"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000_000_001_999, "2023-11-14T22:13:20.000001Z"),
        (1_700_000_000_999_999_999, "2023-11-14T22:13:20.999999Z"),
    ],
)
def test_now_has_the_form_in_which_everything_carries_time(
    monkeypatch: pytest.MonkeyPatch, nanoseconds: int, timestamp: str
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: nanoseconds)
    assert clock.utc_now() == timestamp == format_timestamp(nanoseconds // 1000 / 1e6)


def test_an_instant_is_of_this_boot_and_a_stepped_clock_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = boot_time()
    monkeypatch.setattr("time.time", lambda: 0.0)
    after = boot_time()
    assert before.boot == after.boot == clock.boot_id()
    assert after.seconds > before.seconds > 0
    assert (before.epoch > 1.7e9, after.epoch) == (True, 0.0)
