"""One controller a store, one mutation at a time; a dead owner holds nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.errors import StoreBusy, StoreError
from controller.store.audit import AuditLog, AuditRecord
from controller.store.layout import StoreLayout
from controller.store.lock import ControllerLock, MutationLock
from tests.waiting import HANGS

RECORD = AuditRecord("root", "r1", "switch", "pid/A01", None, None, "a reason", "succeeded")

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


@pytest.mark.parametrize("removed", ["controller.lock", "."])
def test_a_lock_file_that_somebody_removes_forks_no_second_controller(tmp_path: Path, removed: str) -> None:
    layout = StoreLayout.at(tmp_path)
    with ControllerLock(layout, "run", now="") as first:
        assert not first.restore_file(), "it is there"
        target = layout.run / removed
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        for _ in range(2):
            with pytest.raises(StoreBusy), ControllerLock(layout, "run", now=""):
                pytest.fail("the lock was given twice")
        assert first.restore_file()
        assert not first.restore_file()
        with (
            pytest.raises(StoreBusy, match=f"`pvctl run` .process {os.getpid()}"),
            ControllerLock(layout, "down", now=""),
        ):
            pytest.fail("the lock was given twice")

    with ControllerLock(layout, "down", now=""):
        assert layout.controller_lock.exists()


def test_a_release_that_knows_only_the_lock_file_is_kept_away_and_keeps_others_away(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    with ControllerLock(layout, "run", now=""):
        layout.controller_lock.unlink()
    with ControllerLock(layout, "run", now="") as lock:
        layout.controller_lock.unlink()
        assert lock.restore_file()
        with layout.controller_lock.open("r+") as older, pytest.raises(BlockingIOError):
            fcntl.flock(older, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with layout.controller_lock.open("r+") as older:
        fcntl.flock(older, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(StoreBusy), ControllerLock(layout, "run", now=""):
            pytest.fail("an older release holds it")
    with ControllerLock(layout, "run", now=""):
        pass


def test_a_file_system_that_locks_no_folders_has_the_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    layout = StoreLayout.at(tmp_path)
    with (
        ControllerLock(layout, "run", now=""),
        pytest.raises(StoreBusy),
        ControllerLock(layout, "run", now=""),
    ):
        pytest.fail("the lock was given twice")


def test_mutations_exclude_each_other_among_threads(tmp_path: Path) -> None:
    lock = MutationLock(StoreLayout.at(tmp_path))
    inside, order = threading.Event(), []

    def mutate() -> None:
        with lock.held():
            order.append("second")

    with lock.held():
        thread = threading.Thread(target=lambda: (inside.set(), mutate()))
        thread.start()
        assert inside.wait(HANGS)
        order.append("first")
    thread.join(HANGS)

    assert order == ["first", "second"]


@contextmanager
def held_by_a_reader(path: Path) -> Iterator[int]:
    """Have another process hold a shared lock on a file, as everybody can who may read it; yield its number."""
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "held\n"
        yield reader.pid
        reader.kill()


READER = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_reader_of_the_audit_log_holds_up_nobody_who_appends(tmp_path: Path) -> None:
    log = AuditLog(StoreLayout.at(tmp_path), lambda: "now", patience=0.0)
    log.append(RECORD)

    with held_by_a_reader(log._path):
        log.append(RECORD)

    assert log.verify().records == 2


def test_a_lock_that_is_held_for_too_long_names_its_holder_and_nothing_is_changed(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    log = AuditLog(layout, lambda: "now", patience=0.05)
    log.append(RECORD)
    mutation = MutationLock(layout, patience=0.05)
    with mutation.held():
        pass

    with held_by_a_reader(layout.audit_lock) as pid, pytest.raises(StoreError, match=rf"process {pid}\)"):
        log.append(RECORD)
    with (
        held_by_a_reader(layout.mutation_lock) as pid,
        pytest.raises(StoreError, match=rf"algorithms/\.lock is held by `.+` \(process {pid}\)"),
        mutation.held(),
    ):
        pytest.fail("the lock was given twice")

    assert log.append(RECORD).seq == 2, "with the lock free again it goes on"
    with mutation.held():
        pass


def test_an_act_of_this_process_that_holds_a_lock_for_too_long_is_told_too(tmp_path: Path) -> None:
    lock = MutationLock(StoreLayout.at(tmp_path), patience=0.05)

    with lock.held(), pytest.raises(StoreError, match="another act of this process"), lock.held():
        pytest.fail("the lock was given twice")


def test_only_the_owner_may_open_the_locks_also_those_of_an_earlier_release(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    layout.mutation_lock.parent.mkdir()
    layout.mutation_lock.touch(0o644)
    with MutationLock(layout).held():
        pass
    AuditLog(layout, lambda: "now").append(RECORD)

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (layout.mutation_lock, layout.audit_lock)}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(layout.audit_lock.parent.stat().st_mode) == 0o700


def test_whoever_may_merely_read_the_store_keeps_no_controller_away(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    with held_by_a_reader(layout.root), ControllerLock(layout, "run", now=""):
        with pytest.raises(StoreBusy), ControllerLock(layout, "down", now=""):
            pytest.fail("the lock was given twice")
        assert layout.controller_lock.stat().st_mode & 0o077 == 0
