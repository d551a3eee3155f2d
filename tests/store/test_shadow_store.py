"""The counts of shadows on disk: as they were, also after a kill; damage costs counts and nothing else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from controller.errors import StoreError
from controller.model.comparison import Agreement, Answer, Difference
from controller.model.package import PackageRef
from controller.model.replay import DifferingPicture
from controller.store.layout import StoreLayout
from controller.store.shadow_store import ShadowStore
from tests.store.test_durability import recorded

REF = PackageRef("screw", "1.1.0")
COUNTS = {("A01", REF): Agreement(ok_ok=5, ng_ok=1, newly_ok=1, errors=2, dropped=3), ("A02", REF): Agreement(ng_ng=1)}
DEFECT = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "label": "scratch", "score": None}
PICTURES = {
    "screw": (
        DifferingPicture(
            "A01", "1-1", "rec", "2026-01-01T00:00:00Z", Answer("NG", (DEFECT,), 3.5, "long"), Answer("OK"),
            Difference(newly_ok=True),
        ),
    )
}  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    layout = StoreLayout.at(tmp_path)
    layout.rollouts.mkdir()
    return layout


def test_what_was_saved_is_what_the_next_life_counts_on(layout: StoreLayout) -> None:
    store = ShadowStore(layout)
    assert store.load() == ({}, {})
    store.note(COUNTS, PICTURES)
    store.save()

    later = ShadowStore(layout)
    assert later.load() == (COUNTS, PICTURES)
    assert (later.agreements, later.differing) == (COUNTS, PICTURES)


def test_what_did_not_change_is_not_written_again(layout: StoreLayout) -> None:
    store = ShadowStore(layout)
    store.note(COUNTS, PICTURES)
    store.save()
    path = layout.rollouts / ".shadows.json"
    before = path.stat()[stat.ST_INO]
    store.note(dict(COUNTS), dict(PICTURES))
    store.save()
    assert path.stat()[stat.ST_INO] == before
    store.note({}, {})
    store.save()
    assert ShadowStore(layout).load() == ({}, {})


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b"null", b'{"agreements": [{}]}', b'{"agreements": []}'])
def test_damage_costs_the_counts_and_nothing_else(layout: StoreLayout, content: bytes) -> None:
    (layout.rollouts / ".shadows.json").write_bytes(content)
    assert ShadowStore(layout).load() == ({}, {})


def test_a_file_cut_off_anywhere_costs_the_counts_and_nothing_else(layout: StoreLayout) -> None:
    store, path = ShadowStore(layout), layout.rollouts / ".shadows.json"
    store.note(COUNTS, PICTURES)
    store.save()
    whole = path.read_bytes()

    for size in range(len(whole)):
        for tail in (b"", bytes(len(whole) - size)):
            path.write_bytes(whole[:size] + tail)
            assert ShadowStore(layout).load() == ({}, {}), size


def test_a_power_cut_costs_the_last_counts_and_not_those_before(layout: StoreLayout) -> None:
    store = ShadowStore(layout)
    with recorded(layout) as disk:
        store.note(COUNTS, PICTURES)
        store.save()

    names = {str(layout.rollouts / f".shadows.{suffix}") for suffix in ("json", "tmp")}
    assert (disk.data, set(disk.names)) == (set(), names), "only its name may be lost: then the one before has it"


@pytest.mark.parametrize("act", ["write", "fdatasync"])
def test_on_a_full_disk_the_counts_before_stay_and_these_are_written_later(
    layout: StoreLayout, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    store, full = ShadowStore(layout), True
    store.note({key: Agreement(ok_ok=1) for key in COUNTS}, {})
    store.save()
    before = sorted(layout.rollouts.iterdir())
    real = getattr(os, act)

    def refuse(descriptor: int, *data: Any) -> int:
        if not full:
            return int(real(descriptor, *data) or 0)
        if data:
            return int(real(descriptor, data[0][:10]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, act, refuse)
    store.note(COUNTS, PICTURES)
    with pytest.raises(StoreError, match="No space left on device"):
        store.save()
    assert ShadowStore(layout).load() == ({key: Agreement(ok_ok=1) for key in COUNTS}, {})
    assert sorted(layout.rollouts.iterdir()) == before, "nothing half written takes room"

    full = False
    store.save()
    assert ShadowStore(layout).load() == (COUNTS, PICTURES)


def test_a_disk_that_does_not_take_them_is_told(layout: StoreLayout) -> None:
    store = ShadowStore(layout)
    store.note(COUNTS, PICTURES)
    (layout.rollouts / ".shadows.tmp").mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*\.shadows\.json"):
        store.save()
