"""Nothing on the event loop of the calls waits for a disk, and where nothing changes nothing is written."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.errors import Code, PackageError
from controller.model.package import PackageRef
from controller.station.commands.operator import Rollback
from controller.station.commands.packages import Install
from controller.station.port import Caller
from tests.reconciler.fakes import Rig
from tests.reconciler.test_loop import running
from tests.station.test_local import local_station
from tests.waiting import HANGS, until

MIA = Caller("mia")


@contextmanager
def watched_disk() -> Iterator[list[tuple[str, bool]]]:
    """Yield each sync, rename and removal as it happens, and whether it was the main thread's, which has the loop."""
    seen: list[tuple[str, bool]] = []

    def watching(name: str, call: Any) -> Any:
        def watched(*arguments: Any, **named: Any) -> Any:
            seen.append((name, threading.current_thread() is threading.main_thread()))
            return call(*arguments, **named)

        return watched

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync", "rename", "replace", "unlink"):
            patch.setattr(os, name, watching(name, getattr(os, name)))
        yield seen


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
    return rig


async def test_no_pass_and_no_command_waits_for_the_disk_on_the_calls_loop(rig: Rig, tmp_path: Path) -> None:
    delivered = rig.packages.add_zip("other", "1.0.0").rename(tmp_path / "other-1.0.0.zip")
    rig.packages.failing[PackageRef("other", "1.0.0")] = PackageError(Code.install_failed, "setup failed")
    with watched_disk() as seen:
        async with running(rig) as daemon:
            asked = local_station(daemon, tmp_path)
            daemon.desire("1.1.0")
            await until(lambda: set(rig.active().values()) == {"screw@1.1.0"})
            daemon.die()
            await daemon.loop.wait_idle(HANGS)
            await asked.execute(Rollback("line", reason="scrap"), MIA)
            await until(lambda: set(rig.active().values()) == {"screw@1.0.0"})
            with pytest.raises(PackageError):
                await asked.execute(Install(delivered), MIA)
            await daemon.loop.wait_idle(HANGS)

    assert {"fsync", "fdatasync", "replace"} <= {name for name, _ in seen}
    assert [name for name, on_the_loop in seen if on_the_loop] == []


async def test_where_nothing_changes_nothing_is_written(rig: Rig) -> None:
    async with running(rig) as daemon:
        await daemon.loop.wait_idle(HANGS)
        await daemon.loop.wait_idle(HANGS)
        with watched_disk() as seen:
            for _ in range(20):
                rig.seconds += 10
                daemon.loop.wake()
                await asyncio.sleep(0)
                await daemon.loop.wait_idle(HANGS)

    assert seen == []
