"""File events wake, also from a folder that was removed and made again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.sources.watch import FolderWatch


class Waker:
    """Counts wake-ups; `heard` waits for one that comes after the last question."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def heard(self) -> bool:
        """Return whether it was woken within ten seconds, and forget it."""
        woken = self._event.wait(10)
        self._event.clear()
        return woken

    def forget(self) -> None:
        self._event.clear()


@pytest.fixture
def waker() -> Waker:
    return Waker()


@pytest.fixture
def watch(tmp_path: Path, waker: Waker) -> Iterator[FolderWatch]:
    (tmp_path / "desired").mkdir()
    (tmp_path / "active").mkdir()
    watch = FolderWatch(waker, flat=[tmp_path / "active"], recursive=[tmp_path / "desired"])
    watch.start()
    yield watch
    watch.stop()


def test_a_change_anywhere_below_wakes(tmp_path: Path, watch: FolderWatch, waker: Waker) -> None:
    (tmp_path / "desired" / "line-a").mkdir()
    assert waker.heard()
    (tmp_path / "active" / "A01.json").write_text("{}")
    assert waker.heard()


def test_a_folder_that_is_made_again_is_heard_again(tmp_path: Path, watch: FolderWatch, waker: Waker) -> None:
    shutil.rmtree(tmp_path / "desired")
    assert waker.heard()
    (tmp_path / "desired").mkdir()
    assert waker.heard()
    waker.forget()

    for number in range(50):  # the new watch stands a moment after the folder does
        (tmp_path / "desired" / f"{number}.yaml").write_text("x")
        if waker._event.wait(0.2):
            break

    assert waker.heard()


def test_a_file_that_is_open_for_writing_is_known(tmp_path: Path, watch: FolderWatch, waker: Waker) -> None:
    with (tmp_path / "desired" / "a.yaml").open("w") as file:
        file.write("half")
        file.flush()
        while not watch.being_written:
            assert waker.heard()
    while watch.being_written:
        assert waker.heard()
