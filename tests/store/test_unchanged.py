"""Files that have not changed are not read again; those that have, or might have, are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.store import unchanged
from controller.store.unchanged import Unchanged


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0
        self.unchanged: Unchanged[bytes | None] = Unchanged()

    def look(self) -> bytes | None:
        with os.scandir(self.path) as entries:
            [entry] = entries
        return self.unchanged.read(entry, self._read)

    def _read(self, path: str) -> bytes | None:
        self.reads += 1
        return Path(path).read_bytes() if Path(path).exists() else None


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "a.json").write_bytes(b"one")
    return Folder(tmp_path)


def test_a_file_that_changed_a_moment_ago_is_read_each_time(folder: Folder) -> None:
    assert [folder.look(), folder.look()] == [b"one", b"one"]
    assert folder.reads == 2


def test_a_rested_file_is_read_once_and_again_when_it_changes(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(unchanged, "_RESTED", -1)
    assert [folder.look() for _ in range(3)] == [b"one"] * 3
    assert folder.reads == 1

    (folder.path / "a.json").write_bytes(b"three")
    assert folder.look() == b"three"
    (folder.path / "new").write_bytes(b"other")
    (folder.path / "new").replace(folder.path / "a.json")
    assert folder.look() == b"other"


def test_a_file_that_is_gone_is_left_to_its_reader(folder: Folder) -> None:
    with os.scandir(folder.path) as entries:
        [entry] = entries
    (folder.path / "a.json").unlink()

    assert folder.unchanged.read(entry, folder._read) is None
