"""The machine's clocks: the form of a timestamp, and a moment that no clock step moves."""

from __future__ import annotations

import pytest

from controller.host import clock
from controller.model.timestamps import format_timestamp, parse_timestamp
from controller.reconciler.clock import boot_time


def test_now_has_the_form_in_which_everything_carries_time() -> None:
    before = clock.epoch_seconds()
    now = clock.utc_now()
    assert before - 1e-3 <= parse_timestamp(now) <= clock.epoch_seconds()
    assert format_timestamp(parse_timestamp(now)) == now


@pytest.mark.parametrize("nanoseconds", [0, 999, 1_700_000_000_000_001_000, 1_700_000_000_999_999_999])
def test_a_timestamp_is_cut_to_microseconds(monkeypatch: pytest.MonkeyPatch, nanoseconds: int) -> None:
    monkeypatch.setattr("time.time_ns", lambda: nanoseconds)
    assert clock.utc_now() == format_timestamp(0).replace("1970-01-01T00:00:00", clock.utc_now()[:19]).replace(
        "000000Z", f"{nanoseconds % 10**9 // 1000:06d}Z"
    )


def test_an_instant_is_of_this_boot_and_a_stepped_clock_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = boot_time()
    monkeypatch.setattr("time.time", lambda: 0.0)
    after = boot_time()
    assert before.boot == after.boot == clock.boot_id()
    assert before.seconds < after.seconds < before.seconds + 60
    assert (before.epoch > 1.7e9, after.epoch) == (True, 0.0)
