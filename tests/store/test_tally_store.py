"""Counts across restarts: written on change, read back, and forgotten everywhere at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.tally import Tally
from controller.store.layout import StoreLayout
from controller.store.tally_store import TallyStore

OLD, NEW = ("A01", PackageRef("screw", "1.0.0")), ("A01", PackageRef("screw", "1.1.0"))


def at(seconds: float) -> Instant:
    return Instant("boot", seconds)


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    layout = StoreLayout.at(tmp_path / "store")
    layout.rollouts.mkdir(parents=True)
    return layout


def test_what_was_noted_is_there_in_the_next_life(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.note({OLD: Tally(calls=3, errors=1)}, {OLD: "lamp off"}, at(1))

    again = TallyStore(layout)
    assert again.load() == {OLD: Tally(calls=3, errors=1)}
    assert again.last_errors == {OLD: "lamp off"}


def test_what_is_forgotten_is_gone_from_memory_disk_and_window(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.note({OLD: Tally(calls=3), NEW: Tally(calls=1)}, {OLD: "lamp off", NEW: "no focus"}, at(1))

    store.forget({OLD, ("Z99", OLD[1])})
    assert (store.tallies, store.last_errors) == ({NEW: Tally(calls=1)}, {NEW: "no focus"})
    store.note({NEW: Tally(calls=1)}, {NEW: "no focus"}, at(2))

    assert TallyStore(layout).load() == {NEW: Tally(calls=1)}


def test_what_comes_back_after_it_was_forgotten_counts_from_nothing(layout: StoreLayout) -> None:
    store = TallyStore(layout)
    store.note({OLD: Tally(calls=30, errors=7)}, {}, at(1))
    store.forget({OLD})

    store.note({OLD: Tally(calls=2)}, {}, at(20))

    assert store.recent() == {OLD: Tally(calls=2)}
