"""Counts survive a restart, and what is recent is counted over exactly the window that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.tally import LatencySketch, Tally, bin_of
from controller.store.layout import StoreLayout
from controller.store.tally_store import EVERY, SHARE, TallyStore, parse_tally, tally_document

KEY = ("A01", PackageRef("screw", "1.0.0"))


def at(seconds: float) -> Instant:
    return Instant("boot", seconds)


def called(calls: int, errors: int = 0) -> Tally:
    answered = calls - errors
    bins = ((bin_of(0.02), answered),) if answered else ()
    return Tally(calls, errors, verdicts_ok=answered, latency=LatencySketch(bins))


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    layout = StoreLayout.at(tmp_path)
    layout.rollouts.mkdir()
    return layout


def one_call_a_second(store: TallyStore, seconds: int, *, windows: tuple[float, ...] = (60.0,), every: int = 1) -> None:
    store.recent(windows)
    for second in range(0, seconds + 1, every):
        store.note({KEY: called(second)}, {}, at(second))


def test_counts_and_last_errors_are_read_back_by_the_next_life(layout: StoreLayout) -> None:
    before = TallyStore(layout)
    before.note({KEY: called(7, 2)}, {KEY: "it raised"}, at(1))
    before.save()

    after = TallyStore(layout)

    assert after.load() == {KEY: called(7, 2)}
    assert after.last_errors == {KEY: "it raised"}


def test_what_the_first_release_does_not_know_is_written_only_where_there_is_any(layout: StoreLayout) -> None:
    """That release loses all counts where it meets a name that it does not know; this one passes it over."""
    assert "excused" not in tally_document(called(3))
    excused = replace(called(3), excused=2)
    assert parse_tally(tally_document(excused)) == excused
    assert parse_tally({**tally_document(excused), "of a newer release": 1}) == excused


def test_what_was_noted_is_written_only_when_it_is_saved_and_only_on_change(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.note({KEY: called(7)}, {}, at(1))
    assert list(layout.rollouts.iterdir()) == []
    store.save()
    [path] = layout.rollouts.iterdir()
    path.unlink()

    store.note({KEY: called(7)}, {}, at(2))
    store.save()

    assert list(layout.rollouts.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"pid": "A01"}]'])
def test_counts_that_cannot_be_read_are_none(layout: StoreLayout, content: str) -> None:
    (layout.rollouts / ".tallies.json").write_text(content)

    assert TallyStore(layout).load() == {}


@pytest.mark.parametrize("window", [20.0, 60.0, 300.0, 3600.0])
def test_recent_is_what_came_within_the_window(layout: StoreLayout, window: float) -> None:
    store = TallyStore(layout)
    one_call_a_second(store, 7300, windows=(20.0, 60.0, 300.0, 3600.0))

    recent = store.recent((20.0, 60.0, 300.0, 3600.0)).over(window)

    assert window <= recent[KEY].calls <= window + 2 * max(EVERY, SHARE * window)


def test_a_window_that_was_not_asked_for_has_nothing(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    one_call_a_second(store, 30)

    assert store.recent((60.0,)).over(61.0) == {}


def test_what_did_not_happen_within_the_window_is_left_out(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.recent((60.0,))
    for second in range(200):
        store.note({KEY: called(5)}, {}, at(second))

    assert store.recent((60.0,)).over(60.0) == {}


def test_as_much_of_the_past_is_kept_as_the_longest_window_needs_and_that_is_bounded(layout: StoreLayout) -> None:
    kept = {}
    for longest in (86_400.0, 300.0):
        store = TallyStore(layout)
        one_call_a_second(store, 90_000, windows=(longest,), every=10)
        kept[longest] = len(store.snapshots)

    assert kept[300.0] <= 300 / EVERY + 2
    assert kept[86_400.0] <= 600, "a day takes a few hundred, not 17,000"


def test_counts_that_began_anew_count_from_zero(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    one_call_a_second(store, 100)

    store.note({KEY: called(3)}, {}, at(101))

    assert store.recent((60.0,)).over(60.0)[KEY].calls == 3


OLD, NEW = ("A01", PackageRef("screw", "0.9.0")), KEY


def test_what_is_forgotten_is_gone_from_memory_disk_and_window(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.note({OLD: Tally(calls=3), NEW: Tally(calls=1)}, {OLD: "lamp off", NEW: "no focus"}, at(1))

    store.forget({OLD, ("Z99", OLD[1])})
    assert (store.tallies, store.last_errors) == ({NEW: Tally(calls=1)}, {NEW: "no focus"})
    store.note({NEW: Tally(calls=1)}, {NEW: "no focus"}, at(2))
    store.save()

    assert TallyStore(layout).load() == {NEW: Tally(calls=1)}


def test_what_comes_back_after_it_was_forgotten_counts_from_nothing(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.note({OLD: Tally(calls=30, errors=7)}, {}, at(1))
    store.forget({OLD})

    store.note({OLD: Tally(calls=50)}, {}, at(20))

    assert store.recent([300.0]).over(300.0) == {OLD: Tally(calls=50)}


def test_a_pid_that_nobody_calls_costs_no_memory_with_each_snapshot(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    for second in range(0, 120, 5):
        store.note({KEY: called(3)}, {}, at(second))

    assert store.snapshots.before(20.0)[KEY] is store.snapshots.before(100.0)[KEY]
