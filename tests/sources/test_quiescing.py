"""A changing tree is read once it is quiet, and once for each change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.sources.quiescing import PATIENCE, QUIET, QuiescingTree


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tree(tmp_path: Path, clock: Clock) -> QuiescingTree:
    (tmp_path / "a.yaml").write_text("one")
    return QuiescingTree(tmp_path, clock)


def test_the_first_look_reads_and_the_next_sees_no_change(tree: QuiescingTree) -> None:
    assert tree.look() == "quiet"
    assert tree.look() == "unchanged"


def test_half_a_file_and_its_completion_are_one_change(tree: QuiescingTree, clock: Clock) -> None:
    tree.look()
    path = tree.folder / "a.yaml"

    path.write_text("one and a half")
    assert tree.look() == "changing"
    clock.now += QUIET * 0.9
    path.write_text("one and a half, and the rest")
    assert tree.look() == "changing"
    clock.now += QUIET * 0.9
    assert tree.look() == "changing"
    clock.now += QUIET * 0.2
    assert tree.look() == "quiet"
    assert tree.look() == "unchanged"


def test_a_file_that_is_still_open_is_waited_for_but_not_for_ever(tree: QuiescingTree, clock: Clock) -> None:
    tree.look()
    (tree.folder / "a.yaml").write_text("half")

    assert tree.look(being_written=True) == "changing"
    clock.now += PATIENCE * 0.9
    assert tree.look(being_written=True) == "changing"
    clock.now += PATIENCE * 0.2
    assert tree.look(being_written=True) == "quiet"


def test_a_change_that_was_taken_back_is_none(tree: QuiescingTree, clock: Clock) -> None:
    tree.look()
    other = tree.folder / "b.yaml"
    other.write_text("oops")
    assert tree.look() == "changing"
    other.unlink()

    assert tree.look() == "unchanged"


def test_a_tree_that_vanishes_is_a_change_and_reading_it_says_why(tree: QuiescingTree, clock: Clock) -> None:
    tree.look()
    (tree.folder / "a.yaml").unlink()
    tree.folder.rmdir()

    assert tree.look() == "changing"
    clock.now += QUIET
    assert tree.look() == "quiet"


def test_a_file_that_was_written_over_with_its_time_put_back_is_a_change(tree: QuiescingTree) -> None:
    tree.look()
    path = tree.folder / "a.yaml"
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert tree.look() == "changing"


def test_it_can_be_told_to_read_again(tree: QuiescingTree) -> None:
    tree.look()
    tree.read_again()

    assert tree.look() == "quiet"
