"""File events wake, also from a folder that was removed and made again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.sources.watch import FolderWatch
from tests.host_limits import with_inotify
from tests.waiting import HANGS

ROOT = Path(__file__).resolve().parents[2]


class Waker:
    """Counts wake-ups; `heard` waits for one that comes after the last question."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def heard(self) -> bool:
        """Return whether it was woken, and forget it."""
        woken = self._event.wait(HANGS)
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


SHORT_OF_INOTIFY = """
import logging, sys, threading
from pathlib import Path
from controller.sources.watch import FolderWatch

logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout, level="INFO")
folder, woken = Path(sys.argv[1]), threading.Event()
watch = FolderWatch(woken.set, flat=[folder / "active"], recursive=[folder / "desired"])
watch.start()
watch.start()
print("trouble:", watch.trouble)
for name in ("instances", "watches"):
    Path(f"/proc/sys/user/max_inotify_{name}").write_text("100")
watch.start()
woken.clear()
(folder / "desired" / "line.yaml").write_text("")
print("trouble:", watch.trouble or "none", "woken:", woken.wait(100))
watch.stop()
"""


@pytest.mark.parametrize(
    ("limits", "sysctl"),
    [({"instances": 0}, "fs.inotify.max_user_instances"), ({"watches": 1}, "fs.inotify.max_user_watches")],
)
def test_without_inotify_it_says_once_which_setting_gives_more_and_goes_on_when_there_is_more(
    tmp_path: Path, limits: dict[str, int], sysctl: str
) -> None:
    for name in ("desired", "active"):
        (tmp_path / name).mkdir()
    command = with_inotify([sys.executable, "-c", SHORT_OF_INOTIFY, str(tmp_path)], **limits)

    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=HANGS)

    warning, trouble, *rest = done.stdout.splitlines()
    assert warning.startswith("WARNING the system tells of no changes of files")
    assert f"raise the sysctl {sysctl} (now " in warning
    assert warning.endswith("looked for every 10 s")
    assert trouble.removeprefix("trouble: ") in warning
    assert rest == ["INFO changes of files are noticed at once again", "trouble: none woken: True"]
