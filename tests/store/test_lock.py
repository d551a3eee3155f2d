"""One controller a store, one mutation at a time; a dead owner holds nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controller.errors import StoreBusy
from controller.store.layout import StoreLayout
from controller.store.lock import ControllerLock, MutationLock

HOLD = """
import sys
from controller.store.layout import StoreLayout
from controller.store.lock import ControllerLock
with ControllerLock(StoreLayout.at(sys.argv[1]), "reconcile --once", now="2026-01-01T00:00:00Z"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_controller_is_refused_and_told_who_holds_the_store(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with (
            pytest.raises(StoreBusy, match=rf"reconcile --once.*process {owner.pid}"),
            ControllerLock(layout, "run", now=""),
        ):
            pytest.fail("the lock was given twice")
        owner.kill()

    with ControllerLock(layout, "run", now="2026-01-01T00:00:00Z"):
        assert layout.controller_lock.read_text() != ""
    assert layout.controller_lock.read_text() == ""


@pytest.mark.parametrize("role", ["run", "reconcile --once"])
def test_nobody_is_told_to_end_every_process_only_because_the_store_is_held(tmp_path: Path, role: str) -> None:
    layout = StoreLayout.at(tmp_path)
    with (
        ControllerLock(layout, role, now=""),
        pytest.raises(StoreBusy) as refused,
        ControllerLock(layout, "install", now=""),
    ):
        pytest.fail("the lock was given twice")

    assert ("stop its service" in refused.value.next_step) == (role == "run")
    assert "`pvctl down`" not in refused.value.next_step or "would end them" in refused.value.next_step


def test_a_full_disk_keeps_nobody_from_being_the_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(os, "ftruncate", full)
    layout = StoreLayout.at(tmp_path)

    with (
        ControllerLock(layout, "down", now="2026-01-01T00:00:00Z"),
        pytest.raises(StoreBusy, match="another controller"),
        ControllerLock(layout, "run", now=""),
    ):
        pytest.fail("the lock was given twice")
    with ControllerLock(layout, "down", now=""):
        assert layout.controller_lock.exists()


def test_mutations_exclude_each_other_among_threads(tmp_path: Path) -> None:
    lock = MutationLock(StoreLayout.at(tmp_path))
    inside, order = threading.Event(), []

    def mutate() -> None:
        with lock.held():
            order.append("second")

    with lock.held():
        thread = threading.Thread(target=lambda: (inside.set(), mutate()))
        thread.start()
        inside.wait(10)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]
