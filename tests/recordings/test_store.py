"""Recorded calls in a store: what comes back, what goes, and what is found when files or index are not as they were."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.model.package import PackageRef
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.bounds import Bounds
from controller.recordings.index import Index
from controller.recordings.keeping import Keeper
from controller.recordings.keeping import keeper as opened
from controller.recordings.source import Pictures
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from tests.recorded import AT, picture, pictures, recorded

ALL = RecordingFilter()
WIDE = Bounds(1000, 2**40, 1e12)


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    return StoreLayout.at(tmp_path / "store")


@pytest.fixture
def keeper(layout: StoreLayout) -> Iterator[Keeper]:
    keeper = Keeper(layout)
    yield keeper
    keeper.close()


@pytest.fixture
def stored(layout: StoreLayout) -> StoreRecordings:
    return StoreRecordings(layout)


def ids(stored: StoreRecordings, **wanted: Any) -> list[int]:
    """Return the numbers of the calls that are meant."""
    return [int(call.id.split("-")[1], 16) for call in stored.calls(RecordingFilter(**wanted))]


def same(found: Pictures | None, given: Pictures) -> bool:
    return found is not None and all(
        (one is None and other is None)
        or (one is not None and other is not None and (one.shape, one.pixels) == (other.shape, other.pixels))
        for one, other in zip(found, given, strict=True)
    )


@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 1), (1, 1, 3), (1, 500), (500, 1)])
def test_a_call_comes_back_as_it_was_with_every_pixel(
    keeper: Keeper, stored: StoreRecordings, shape: tuple[int, ...]
) -> None:
    given = Pictures(picture(1, shape), picture(2, (8, 8, 3)))
    call = recorded(1, guide=given.guide, image=recorded().image.__class__(shape, "BGR"))

    kept = keeper.add(call, given)

    (found,) = stored.calls(ALL)
    assert found == kept
    assert found.size > 0
    assert found.to_document() | {"size": 0} == call.to_document()
    assert same(stored.pictures(found), given)


def test_what_a_call_may_say_comes_back(keeper: Keeper, stored: StoreRecordings) -> None:
    error = {"code": 1009, "name": "execute_exception", "message": "ö\u2028\0", "details": {}}
    call = recorded(1, verdict="FAILED", error=error, data={}, latency_ms=None, kinds=("ERROR", "sample"))

    keeper.add(call, pictures())

    assert stored.calls(ALL)[0].error == error
    assert stored.calls(ALL)[0].kinds == ("ERROR", "sample")


def test_filters(keeper: Keeper, stored: StoreRecordings) -> None:
    for number in range(6):
        keeper.add(
            recorded(
                number, "A01" if number < 3 else "A02", verdict="OK" if number % 2 else "NG",
                kinds=("sample",) if number % 2 else ("NG", "sample"), deployment=f"d{number // 2}",
                package=PackageRef("p", f"{number // 4}"),
            ),
            pictures(number),
        )  # fmt: skip
    fourth = stored.calls(RecordingFilter(ids=frozenset({recorded(4).id})))[0]

    assert ids(stored) == [5, 4, 3, 2, 1, 0]
    assert ids(stored, last=2) == [5, 4]
    assert ids(stored, pids=frozenset({"A01"})) == [2, 1, 0]
    assert ids(stored, verdicts=frozenset({"NG"}), last=2) == [4, 2]
    assert ids(stored, kinds=frozenset({"NG", "ERROR"})) == [4, 2, 0]
    assert ids(stored, deployment="d1") == [3, 2]
    assert ids(stored, package=PackageRef("p", "1")) == [5, 4]
    assert ids(stored, not_packages=frozenset({PackageRef("p", "1")})) == [3, 2, 1, 0]
    assert ids(stored, since=AT + 2, until=AT + 4) == [4, 3, 2]
    assert ids(stored, before=fourth.id, last=1) == [3]
    assert ids(stored, ids=frozenset({recorded(1).id, "none"})) == [1]


def test_a_guide_that_repeats_takes_room_once_and_goes_with_its_last_call(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    guide = picture(9, (64, 64, 3))
    for number in range(5):
        keeper.add(recorded(number, guide=guide), pictures(number, guide))
    files = sorted((layout.recordings / "A01").glob("*.guide"))

    assert len(files) == 5
    assert len({path.stat().st_ino for path in files}) == 1
    on_disk = {(path.stat().st_ino, path.stat().st_size) for path in (layout.recordings / "A01").iterdir()}
    assert keeper.total().size == sum(size for _, size in on_disk)

    keeper.delete(RecordingFilter(last=4))
    (left,) = stored.calls(ALL)
    assert same(stored.pictures(left), pictures(0, guide))
    assert keeper.total().size == left.size
    keeper.delete(ALL)
    assert list((layout.recordings / "A01").iterdir()) == []
    assert keeper.total() == (0, 0)


def test_of_too_many_the_oldest_go(keeper: Keeper, stored: StoreRecordings) -> None:
    sizes = [keeper.add(recorded(number), pictures(number)).size for number in range(8)]

    keeper.keep_within({"A01": Bounds(6, 2**40, 1e12)})
    assert ids(stored) == [7, 6, 5, 4, 3, 2]
    keeper.keep_within({"A01": Bounds(100, sum(sizes[-3:]), 1e12)})
    assert ids(stored) == [7, 6, 5]
    keeper.keep_within({"A01": Bounds(100, sizes[-1] // 2, 1e12)})
    assert ids(stored) == []


@pytest.mark.parametrize("index_is_lost", [False, True])
def test_calls_that_came_while_the_clock_was_ahead_do_not_push_out_later_ones(
    keeper: Keeper,
    stored: StoreRecordings,
    layout: StoreLayout,
    monkeypatch: pytest.MonkeyPatch,
    *,
    index_is_lost: bool,
) -> None:
    now = time.time()
    keeper.keep_within({"A01": Bounds(3, 2**40, 1e12)})
    monkeypatch.setattr("controller.recordings.keeping.epoch_seconds", lambda: now + 1e8)
    for number in range(100, 103):
        call = keeper.add(recorded(number), pictures(number))
        os.utime(layout.recordings / "A01" / f"{call.id}.call", (now + 1e8, now + 1e8))
    monkeypatch.undo()
    if index_is_lost:
        layout.recordings_index.unlink()
    for number in range(4):
        keeper.add(recorded(number), pictures(number))
        keeper.enforce("A01")
    assert ids(stored) == [3, 2, 1]


def test_the_old_go_and_bounds_are_remembered_when_nobody_says_them_any_more(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    for number in range(3):
        keeper.add(recorded(number), pictures(number))
    os.utime(layout.recordings / "A01" / f"{recorded(1).id}.call", (1, 1))
    keeper.keep_within({"A01": Bounds(100, 2**40, 3600)})
    layout.recordings_index.unlink()  # when a call came here is known from its file
    keeper.keep_within({"A01": Bounds(100, 2**40, 3600)})
    assert ids(stored) == [2, 0]

    keeper.keep_within({"A01": Bounds(1, 2**40, 3600)})
    keeper.add(recorded(5), pictures(5))
    assert keeper.keep_within({}) == 1
    assert ids(stored) == [5]


def test_bounds_hold_at_once_when_the_index_is_deleted(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    keeper.keep_within({"A01": Bounds(2, 2**40, 3600)})
    for number in range(4):
        layout.recordings_index.unlink()
        keeper.add(recorded(number), pictures(number))
        keeper.enforce("A01")

    assert ids(stored) == [3, 2]
    with opened(layout) as another:
        another.add(recorded(9), pictures(9))
        another.enforce("A01")
    assert ids(stored) == [9, 3]


def test_a_kind_that_comes_later_is_in_the_file_too(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    keeper.add(recorded(1), pictures(1))
    keeper.mark("A01", recorded(1).id, "disagreement")
    keeper.mark("A01", recorded(2).id, "disagreement")  # it is gone already

    assert ids(stored, kinds=frozenset({"disagreement"})) == [1]
    layout.recordings_index.unlink()
    assert stored.calls(ALL)[0].kinds == ("NG", "disagreement")
    assert same(stored.pictures(stored.calls(ALL)[0]), pictures(1))


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:] = b"x" * (len(content) - 100)
    path.write_bytes(content)


SPOILT = {
    "deleted": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(5000)),
    "damaged": damaged,
}


@pytest.mark.parametrize("how", SPOILT)
def test_without_an_index_everything_is_found_and_the_next_change_makes_it_again(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout, how: str
) -> None:
    for number in range(3):
        keeper.add(recorded(number), pictures(number))
    keeper.close()
    SPOILT[how](layout.recordings_index)

    assert ids(stored) == [2, 1, 0]
    keeper.sweep()
    keeper.add(recorded(3), pictures(3))
    assert ids(stored) == [3, 2, 1, 0]
    assert keeper.total().calls == 4
    index = Index.open(layout.recordings_index, to_write=False)
    assert len(index.calls(ALL)) == 4
    index.close()


def test_an_index_deleted_under_an_open_one_is_noticed(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    keeper.add(recorded(0), pictures(0))
    layout.recordings_index.unlink()
    keeper.add(recorded(1), pictures(1))

    assert layout.recordings_index.exists()
    assert ids(stored) == [1, 0]


def test_the_sweep_removes_what_a_kill_left_and_nothing_that_is_not_ours(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    guide = picture(7)
    for number in range(5):
        keeper.add(recorded(number, guide=guide), pictures(number, guide))
    folder = layout.recordings / "A01"
    first, second, third, fourth = (f"{recorded(number).id}" for number in range(4))
    (folder / f"{first}.call").unlink()  # by hand
    (folder / f"{second}.guide").unlink()  # by a power cut, say
    content = (folder / f"{third}.call").read_bytes()
    (folder / f"{third}.call").write_bytes(content[:-1])
    (folder / f"{fourth}.call").write_bytes(b"x" * len(content[:300]))
    (folder / f"{first}.call.tmp").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    (layout.recordings / "elsewhere").mkdir()

    swept = keeper.sweep()

    assert ids(stored) == [4]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{recorded(4).id}.call", f"{recorded(4).id}.guide", "notes.txt"]
    )
    assert swept.unknown == (str(folder / "notes.txt"),)
    assert keeper.total().calls == 1
    assert keeper.sweep()._replace(unknown=()) == (0, 0, 0, ())


def test_what_is_not_there_is_not_promised_and_what_is_damaged_is_not_shown(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    for number in range(3):
        keeper.add(recorded(number), pictures(number))
    (layout.recordings / "A01" / f"{recorded(0).id}.call").unlink()
    path = layout.recordings / "A01" / f"{recorded(1).id}.call"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

    assert ids(stored) == [2, 1]
    assert stored.pictures(recorded(0)) is None
    assert stored.pictures(recorded(1)) is None
    assert same(stored.pictures(recorded(2)), pictures(2))


def test_rows_whose_files_are_gone_leave_their_places_to_older_calls(
    keeper: Keeper, stored: StoreRecordings, layout: StoreLayout
) -> None:
    for number in range(9):
        keeper.add(recorded(number), pictures(number))
    for number in (8, 7, 6, 4):
        (layout.recordings / "A01" / f"{recorded(number).id}.call").unlink()
    assert ids(stored, last=2) == [5, 3]
    assert ids(stored, last=9) == [5, 3, 2, 1, 0]
    assert ids(stored, last=0) == []


@pytest.mark.parametrize("latency", [float("inf"), -1.0, float("nan")])
def test_a_call_that_took_no_time_is_none(latency: float) -> None:
    with pytest.raises(ValueError, match="which is no time"):
        RecordedCall.from_document(recorded(0, latency_ms=latency).to_document())


@pytest.mark.parametrize("epoch", [1e308, -1.0, float("nan")])
def test_a_call_at_no_time_is_none(epoch: float) -> None:
    with pytest.raises(ValueError, match="is no time"):
        RecordedCall.from_document(recorded(0, epoch=epoch).to_document())


def test_without_recordings_there_is_nothing_and_nothing_is_made(stored: StoreRecordings, layout: StoreLayout) -> None:
    assert stored.calls(ALL) == ()
    assert stored.delete(ALL) == ()
    assert not layout.root.exists()
