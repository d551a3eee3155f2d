"""The journal of a replay: gone on with where it was left, whatever cut it off; a full disk refuses it as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from controller.errors import StoreError
from controller.model.comparison import Agreement
from controller.model.package import PackageRef
from controller.model.replay import ReplayKey
from controller.replay.journal import Journal, JournalFile, read
from controller.replay.replays import RolloutReplays
from controller.replay.result import mark_of
from controller.store.layout import StoreLayout
from tests.replay.documents import SHOWN
from tests.store.test_durability import recorded as on_disk

MARK = {"deployment": "line", "step": 1}
IDS = tuple(each.recording for each in SHOWN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replays" / "line.jsonl"


def write(path: Path, count: int = 3) -> None:
    file = JournalFile(path)
    file.begin(MARK, IDS)
    file.append(each.to_document() for each in SHOWN[:count])
    file.append([{"memory_bytes": 5}])
    file.close()


def test_what_was_written_is_read_back_and_gone_on_with(path: Path) -> None:
    write(path)

    file = JournalFile(path)
    journal = file.resume(MARK)
    file.append([SHOWN[3].to_document(), {"end": {"failure": "it broke"}}])
    file.close()

    assert journal == Journal(MARK, IDS, SHOWN[:3], 5)
    assert journal.left == IDS[3:]
    assert read(path) == Journal(MARK, IDS, SHOWN[:4], 5, {"failure": "it broke"})


def test_what_counts_is_on_the_disk_with_its_name(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "store")
    layout.root.mkdir()
    with on_disk(layout) as disk:
        file = JournalFile(layout.replay("line"))
        file.begin(MARK, IDS)
        assert disk.unsafe == set()
        for each in SHOWN[:3]:
            file.append([each.to_document()])
            assert disk.unsafe == set()
        file.close()
    assert layout.replays.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("tail", [b"", bytes(4096), b"\x00\n{}\n", b'"end"\n'], ids=repr)
def test_a_controller_after_a_power_cut_knows_a_replay_up_to_its_last_whole_line(tmp_path: Path, tail: bytes) -> None:
    layout = StoreLayout.at(tmp_path / "store")
    key = ReplayKey("line", PackageRef("screw", "1.1.0"), "sha256:0", "2026-01-01T00:00:00Z", 0)
    file = JournalFile(layout.replay("line"))
    file.begin(mark_of(key, last=500), IDS)
    file.append([*(each.to_document() for each in SHOWN[:3]), {"memory_bytes": 5}, {"end": {"failure": ""}}])
    file.close()
    whole = layout.replay("line").read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]

    for size in range(0, len(whole) + 1, 3 if tail else 1):
        layout.replay("line").write_bytes(whole[:size] + (tail if size < len(whole) else b""))
        lines = sum(end <= size for end in ends)
        reports = RolloutReplays(layout).reports()
        if not lines:
            assert reports == {}
            continue
        assert (reports["line"].key, reports["line"].wanted) == (key, len(IDS))
        assert reports["line"].agreement == sum((each.counts for each in SHOWN[: lines - 1][:3]), Agreement())
        assert reports["line"].done == (lines == len(ends))


def test_a_journal_cut_off_anywhere_is_gone_on_with_at_its_last_whole_line(path: Path) -> None:
    write(path, 2)
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1

    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        file = JournalFile(path)
        journal = file.resume(MARK)
        assert (journal is None) == (size < head)
        if journal is not None:
            file.append([SHOWN[5].to_document()])
            file.close()
            again = read(path)
            assert again is not None
            assert again.shown == [*journal.shown, SHOWN[5]]


@pytest.mark.parametrize("content", [b"", b"garbage\n", b'{"format": 99, "mark": {}, "wanted": []}\n', b"[]\n"])
def test_what_is_none_is_none_and_replaced(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    file = JournalFile(path)

    assert read(path) is None
    assert file.resume(MARK) is None
    file.begin(MARK, ["a"])
    file.close()
    assert read(path) == Journal(MARK, ("a",))


def test_another_replay_begins_anew(path: Path) -> None:
    write(path)

    assert JournalFile(path).resume({**MARK, "step": 2}) is None
    assert read(path.with_name("other.jsonl")) is None


@pytest.mark.parametrize("act", ["write", "fdatasync"])
def test_what_the_disk_refuses_counts_as_a_whole_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    write(path)
    file = JournalFile(path)
    file.resume(MARK)
    real = getattr(os, act)

    def refuse(descriptor: int, *data: Any) -> int:
        if data:
            real(descriptor, data[0][:10])
            return 10
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, act, refuse)
    with pytest.raises(StoreError, match="cannot write"):
        file.append([SHOWN[7].to_document()])
    monkeypatch.undo()
    file.append([SHOWN[8].to_document()])
    file.close()

    found = read(path)
    assert found is not None
    assert found.shown == [*SHOWN[:3], SHOWN[8]]
