"""Little left on a host is a condition with its figures before anything fails, and does not flicker."""

from __future__ import annotations

import pytest

from controller.host.capacity import Capacity, Figures
from controller.model.pressure import GIB, MIB, pressures


def kinds(capacity: Capacity, *before: str) -> set[str]:
    return {kind for kind, holds, _, _ in pressures(capacity, before) if holds}


@pytest.mark.parametrize(
    ("store", "pressed"),
    [
        ((3 * GIB, 100 * GIB), True),
        ((11 * GIB, 100 * GIB), False),
        ((120 * GIB, 4096 * GIB), False),
        ((90 * GIB, 4096 * GIB), True),
        ((400 * MIB, 2 * GIB), True),
        ((60 * MIB, 100 * MIB), False),
    ],
    ids=["97 % full", "89 % full", "plenty on a large disk", "too little on it", "less than an install", "a tiny disk"],
)
def test_when_a_disk_has_little_left(store: Figures, pressed: bool) -> None:
    assert kinds(Capacity(store=store)) == ({"DiskPressure"} if pressed else set())


def test_each_condition_has_its_figures() -> None:
    capacity = Capacity((3 * GIB, 100 * GIB), (900, 1_000_000), (2 * MIB, 64 * MIB), (200 * MIB, 16 * GIB))

    messages = {kind: message for kind, holds, _, message in pressures(capacity) if holds}

    assert messages["DiskPressure"].startswith(
        "3 GiB of 100 GiB (3 %) of the store's disk are free, and 900 of 1000000 inodes; see 'Full disk'"
    )
    assert messages["SharedMemoryPressure"].startswith("2 MiB of 64 MiB (3 %) of the memory-backed storage for images")
    assert messages["MemoryPressure"] == "200 MiB of 16 GiB (1 %) of memory are free"


def test_what_cannot_be_told_is_no_condition() -> None:
    assert pressures(Capacity()) == []


def test_a_condition_ends_only_when_a_tenth_more_than_its_limit_is_left() -> None:
    just_enough = Capacity(store=(10 * GIB + 1, 100 * GIB))

    assert kinds(just_enough) == set()
    assert kinds(just_enough, "DiskPressure") == {"DiskPressure"}
    assert kinds(Capacity(store=(11 * GIB, 100 * GIB)), "DiskPressure") == set()
