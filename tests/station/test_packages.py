"""Installing and uninstalling by hand: the zip is kept, the same one can come again, another never takes its name."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.errors import Code, CodedError, PackageError, StoreError
from controller.model.package import PackageRef
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.station.between import at_once
from controller.station.packages import PackageOperations
from controller.station.port import Caller
from tests.builders import audit_records, deployment, revision
from tests.reconciler.fakes import Rig
from tests.waiting import HANGS, until

REF = PackageRef("screw", "1.0.0")
MIA = Caller("mia")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "store")


@pytest.fixture
def delivered(rig: Rig, tmp_path: Path) -> Path:
    """A zip that lies outside the store."""
    return Path(shutil.move(rig.packages.add_zip("screw", "1.0.0"), tmp_path / "screw-1.0.0.zip"))


def operations(rig: Rig) -> PackageOperations:
    observer = Observer(rig.store, rig.packages, rig.processes.observe)
    applier = Applier(
        rig.store, rig.packages, rig.processes, actor="controller", now=rig.now,
        notify=rig.notes.append,
    )  # fmt: skip
    return PackageOperations(rig.store, rig.packages, observer, applier, at_once)


async def test_a_zip_can_be_installed_again_after_an_uninstall_that_kept_it(rig: Rig, delivered: Path) -> None:
    acts = operations(rig)
    await acts.install(delivered, MIA)
    await acts.uninstall(REF, MIA)

    installed = await acts.install(delivered, MIA)

    assert (installed.name, installed.version) == ("screw", "1.0.0")
    assert [path.name for path in rig.store.layout.zips.iterdir()] == [delivered.name]
    assert [each["outcome"] for each in audit_records(rig.store.audit)] == ["started", "succeeded"] * 3
    assert {each["actor"] for each in audit_records(rig.store.audit)} == {"mia"}


async def test_another_zip_of_the_same_file_name_is_refused_before_anything_is_installed(
    rig: Rig, delivered: Path
) -> None:
    (rig.store.layout.zips / delivered.name).write_text("another zip")

    with pytest.raises(StoreError, match="exists already and is another file"):
        await operations(rig).install(delivered, MIA)

    assert rig.packages.installations() == {}
    assert list(audit_records(rig.store.audit)) == []


class Gate:
    """Holds a call in its thread until it is opened."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._call = call

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.reached.set()
        self.opened.wait(HANGS)
        return self._call(*given, **named)


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_of_an_install_that_fails_after_its_caller_left_nothing_is_kept(
    rig: Rig, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.packages.failing[REF] = PackageError(Code.install_failed, "setup failed")
    gate = Gate(rig.packages.install)
    monkeypatch.setattr(rig.packages, "install", gate)
    asked = asyncio.create_task(operations(rig).install(delivered, MIA))
    await until(gate.reached.is_set)

    await leave(asked)
    gate.opened.set()

    await until(lambda: not (rig.store.layout.zips / delivered.name).exists())


async def test_two_installs_of_one_file_name_come_one_after_the_other(
    rig: Rig, delivered: Path, tmp_path: Path
) -> None:
    failing = rig.packages.failing[REF] = PackageError(Code.install_failed, "setup failed")
    (tmp_path / "second").mkdir()
    other = rig.packages.add_zip("other", "1.0.0").rename(tmp_path / "second" / delivered.name)
    acts = operations(rig)

    ended = await asyncio.gather(acts.install(delivered, MIA), acts.install(other, MIA), return_exceptions=True)

    assert ended[0] is failing
    assert not isinstance(ended[1], BaseException)
    assert (rig.store.layout.zips / delivered.name).read_bytes() == other.read_bytes()


async def test_a_zip_that_lies_beside_the_stores_own_is_copied_and_stays_its_owners(rig: Rig) -> None:
    mine = rig.packages.add_zip("screw", "1.0.0").rename(rig.store.layout.zips.parent / "mine.zip")

    await operations(rig).install(mine, MIA)

    assert mine.stat().st_ino != (rig.store.layout.zips / "mine.zip").stat().st_ino


async def test_an_uninstall_goes_on_when_its_caller_leaves_and_harms_nobody(
    rig: Rig, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = operations(rig)
    digest = (await acts.install(delivered, MIA)).digest
    await acts.applier.next_results()
    gate = Gate(rig.packages.uninstall)
    monkeypatch.setattr(rig.packages, "uninstall", gate)
    asked = asyncio.create_task(acts.uninstall(REF, MIA))
    await until(gate.reached.is_set)

    await leave(asked)
    gate.opened.set()

    (result,) = await acts.applier.next_results()
    assert (result.action.kind, result.error) == ("uninstall", None)
    assert [each["before"] for each in audit_records(rig.store.audit)][2:] == [digest, digest]


async def test_a_controller_that_stops_says_so_and_begins_nothing_more(
    rig: Rig, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = operations(rig)
    gate = Gate(rig.packages.install)
    monkeypatch.setattr(rig.packages, "install", gate)
    asked = asyncio.create_task(acts.install(delivered, MIA))
    await until(gate.reached.is_set)

    await acts.applier.finish(0)
    gate.opened.set()

    for refused in (asked, acts.install(delivered, MIA)):
        with pytest.raises(CodedError, match="is stopping") as told:
            await refused
        assert told.value.code == Code.not_initialized
    assert list(rig.store.layout.zips.iterdir()) == []


async def test_what_is_needed_is_not_uninstalled(rig: Rig) -> None:
    rig.packages.add_zip("screw", "1.0.0")
    await rig.reconcile(revision(deployment("line", "1.0.0", "A01")))

    with pytest.raises(PackageError, match="it answers PID A01"):
        await operations(rig).uninstall(REF, MIA)
    assert REF in rig.packages.installations()


async def test_a_pids_way_back_is_not_uninstalled(rig: Rig) -> None:
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
        await rig.reconcile(revision(deployment("line", version, "A01", rollbackWindow="0s"), id_=version))
    assert [key.version for key in rig.processes.running] == ["1.1.0"]

    with pytest.raises(PackageError, match="it is the way back of PID A01"):
        await operations(rig).uninstall(REF, MIA)
    assert REF in rig.packages.installations()
