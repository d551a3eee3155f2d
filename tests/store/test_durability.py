"""What is acknowledged is durable: what is synced behind every write, rename, new name and removal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.host.clock import utc_now
from controller.model.observed import HistoryEntry
from controller.packages import durability
from controller.reconciler.clock import boot_time
from controller.station.commands.packages import Install, Uninstall
from controller.station.offline_commands import OfflineCommands
from controller.station.port import Caller
from controller.store.audit import AuditLog, AuditRecord
from controller.store.history import PidHistory
from controller.store.layout import StoreLayout
from controller.store.store import Store
from examples.packing import build_package

MIA = Caller("mia")


@dataclass
class Disk:
    """What a power cut would take: data and names that were written below `root` and not synced since.

    Files below `passing` need not be durable: they are removed or made anew.
    """

    root: Path
    passing: tuple[Path, ...]
    data: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)

    def wrote(self, path: str) -> None:
        if self._counts(path):
            self.data.add(path)

    def renamed(self, source: str, target: str) -> None:
        """What was unsynced of a file goes with its name."""
        for path in [each for each in self.data if each == source or each.startswith(f"{source}/")]:
            self.data.discard(path)
            self.wrote(target + path.removeprefix(source))
        self.changed_name(source)
        self.changed_name(target)

    def changed_name(self, path: str) -> None:
        if self._counts(path):
            self.names[path] = str(Path(path).parent)

    def synced(self, path: str) -> None:
        self.data.discard(path)
        self.names = {name: folder for name, folder in self.names.items() if folder != path}

    def synced_all(self) -> None:
        self.data.clear()
        self.names.clear()

    def _counts(self, path: str) -> bool:
        return Path(path).is_relative_to(self.root) and not any(map(Path(path).is_relative_to, self.passing))

    @property
    def unsafe(self) -> set[str]:
        """What would be lost: data of files that are still there, and names in folders that are."""
        names = (name for name, folder in self.names.items() if Path(folder).is_dir())
        return {*(path for path in self.data if Path(path).exists()), *names}


class Recorder:
    """Stands between this process and the system's calls on files, and tells a disk of those that succeeded."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._real = {name: getattr(os, name) for name in (*self.OPENS, *self.SYNCS, *self.MOVES, *self.CHANGES)}

    OPENS, SYNCS = ("open", "write"), ("fsync", "fdatasync")
    MOVES, CHANGES = ("rename", "replace", "link"), ("mkdir", "unlink", "rmdir")

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(os, "open", self._open)
        patch.setattr(os, "write", self._write)
        for names, standing_in in ((self.SYNCS, self._sync), (self.MOVES, self._move), (self.CHANGES, self._change)):
            for name in names:
                patch.setattr(os, name, partial(standing_in, self._real[name]))
        patch.setattr(shutil, "copyfile", partial(self._copy, shutil.copyfile))
        patch.setattr(durability, "sync_file_system", partial(self._sync_all, durability.sync_file_system))

    def _open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        new = flags & os.O_CREAT and not named and not os.path.lexists(path)
        descriptor: int = self._real["open"](path, flags, *rest, **named)
        if new:
            self._disk.changed_name(os.fspath(path))
        return descriptor

    def _write(self, descriptor: int, content: Any) -> int:
        self._disk.wrote(_path_of(descriptor))
        written: int = self._real["write"](descriptor, content)
        return written

    def _sync(self, real: Any, descriptor: int) -> None:
        real(descriptor)
        self._disk.synced(_path_of(descriptor))

    def _move(self, real: Any, source: Any, target: Any, **named: Any) -> None:
        real(source, target, **named)
        if real is self._real["link"]:  # whoever wrote the file may not have synced it
            self._disk.changed_name(os.fspath(target))
            self._disk.wrote(os.fspath(target))
        elif not named:
            self._disk.renamed(os.fspath(source), os.fspath(target))

    def _change(self, real: Any, path: Any, *rest: Any, **named: Any) -> None:
        real(path, *rest, **named)
        if named.get("dir_fd") is None:
            self._disk.changed_name(os.fspath(path))

    def _copy(self, real: Any, source: Any, target: Any, **named: Any) -> Any:
        done = real(source, target, **named)
        self._disk.changed_name(os.fspath(target))
        self._disk.wrote(os.fspath(target))
        return done

    def _sync_all(self, real: Any, folder: Path) -> None:
        real(folder)
        self._disk.synced_all()


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


@contextmanager
def recorded(layout: StoreLayout) -> Iterator[Disk]:
    """Record what this process does to the files of a store."""
    passing = (layout.staging, layout.cache, layout.run, layout.root / ".locks", layout.mutation_lock)
    disk = Disk(layout.root, (*passing, layout.rollouts / ".tallies.json"))
    with pytest.MonkeyPatch.context() as patch:
        Recorder(disk).stand_in(patch)
        yield disk


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    return StoreLayout.at(tmp_path / "store")


def test_the_recorder_sees_what_is_not_synced(layout: StoreLayout) -> None:
    layout.zips.mkdir(parents=True)
    with recorded(layout) as disk:
        path = layout.zips / "a.zip"
        descriptor = os.open(path.with_suffix(".part"), os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"content")
        os.close(descriptor)
        path.with_suffix(".part").replace(path)

    assert disk.unsafe >= {str(path)}


def test_new_folders_logs_and_histories_are_durable_with_their_names(layout: StoreLayout) -> None:
    with recorded(layout) as disk:
        Store.at(layout, utc_now).create_folders()
        assert disk.unsafe == set()
        AuditLog(layout, utc_now).append(AuditRecord("root", "r", "switch", "pid/A01", None, None, "why", "started"))
        assert disk.unsafe == set()
        PidHistory(layout).append("A01", HistoryEntry("now", "x", "1", "line", "r", "root", "why"))
        assert disk.unsafe == set()


def acknowledged(disk: Disk) -> set[str]:
    """What a power cut would take of what was said to be done. The log of an install is for people: it may go."""
    return {path for path in disk.unsafe if "/logs/installs/" not in path}


@pytest.mark.real
def test_an_install_and_an_uninstall_are_durable_when_they_are_acknowledged(
    layout: StoreLayout, tmp_path: Path
) -> None:
    first, second = (
        build_package(tmp_path, name="cell", version=version, supported_pids=("A01",)) for version in ("1.0.0", "1.1.0")
    )
    again = shutil.copy(first, tmp_path / "the-same-again.zip")
    commands = OfflineCommands(layout, tmp_path / "desired", utc_now, boot_time)
    with recorded(layout) as disk:
        for delivered in (first, second, again):  # the last is installed already: nothing but its zip is kept
            commands.execute(Install(Path(delivered)), MIA, lambda _: None)
            assert (layout.zips / Path(delivered).name).exists()
            assert acknowledged(disk) == set(), delivered

        commands.execute(Uninstall("cell", "1.0.0"), MIA, lambda _: None)
        assert [path.name for path in (layout.deployed / "cell").iterdir()] == ["1.1.0"]
        assert acknowledged(disk) == set()

        shutil.copyfile(first, layout.zips / "by-hand.zip")
        commands.execute(Install(layout.zips / "by-hand.zip"), MIA, lambda _: None)
        assert acknowledged(disk) == set()
