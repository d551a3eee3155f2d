"""The station inside a daemon, on fakes over a real store: what it tells when passes fail, and what it carries out."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from controller.calls.series import CallSeries
from controller.errors import Code, CodedError, ControllerError, PackageError, StoreError
from controller.host.clock import utc_now
from controller.model.package import PackageRef
from controller.reconciler.exits import Exit
from controller.reconciler.revisions import RevisionTaker
from controller.sources.quiescing import QuiescingTree
from controller.station.activation import Activations
from controller.station.commands.operator import Promote
from controller.station.commands.packages import Install, Uninstall
from controller.station.commands.reconciling import GetReadiness, Readiness, Reconcile
from controller.station.commands.status import GetStatus
from controller.station.events import EventLog
from controller.station.local import LocalStation, Parts
from controller.station.log_feeds import Followers
from controller.station.operations import Operations
from controller.station.operator import Operator
from controller.station.packages import PackageOperations
from controller.station.port import Access, AccessDenied, Caller
from controller.station.progress import Progress
from controller.store.active import ActiveMappings
from controller.store.audit import AuditLog
from controller.store.history import PidHistory
from controller.store.operations import OperationFiles
from tests.builders import audit_records
from tests.reconciler.fakes import Rig
from tests.reconciler.test_loop import Daemon, running
from tests.waiting import HANGS, until

MIA = Caller("mia")
REF = PackageRef("screw", "1.1.0")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
    return rig


def local_station(daemon: Daemon, folder: Path) -> LocalStation:
    """The daemon's rig, without a data plane."""
    rig, loop = daemon.rig, daemon.loop
    observer = loop.reconciler.observer
    taker = RevisionTaker(daemon.source, rig.store, QuiescingTree(folder, time.monotonic), lambda: False)
    packages = PackageOperations(rig.store, rig.packages, observer, loop.reconciler.applier, loop.between_passes)
    return LocalStation(
        Parts(
            rig.store, daemon.source, observer, loop, taker, cast("Any", None), cast("Any", None), CallSeries(),
            cast("Any", None),
            Operator(rig.store, rig.packages, loop.reconciler.clock), packages,
            Activations(rig.store, observer, loop.reconciler.applier, loop.between_passes, loop.reconciler.clock),
            Progress(rig.notes.append), EventLog("local"), Followers(),
            Operations(OperationFiles(rig.store.layout), utc_now), loop.reconciler.clock, nothing, folder,
        )
    )  # fmt: skip


async def nothing() -> tuple[str, ...]:
    return ()


async def test_records_that_cannot_be_kept_are_told_and_not_tried_in_a_tight_loop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Refused:
        attempts = 0

        def append(self, *_: object) -> None:
            self.attempts += 1
            raise StoreError("the disk is full")

    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        refused = Refused()
        for log in (AuditLog, PidHistory):
            monkeypatch.setattr(log, "append", refused.append)
        monkeypatch.setattr(AuditLog, "head", refused.append)
        rig.store.layout.registry.unlink()

        report = await asked.execute(Reconcile(timeout=0.5), MIA)
        told, attempts = report.status, refused.attempts
        for _ in range(20):
            daemon.loop.wake()
            await asyncio.sleep(0.05)
        passes = refused.attempts - attempts

        assert report.exit == Exit.failed
        assert told["converged"] is False
        assert {each["what"]: each["reason"] for each in told["waiting"]}["logs/audit.jsonl"] == "the disk is full"
        assert sum("registry: failed" in note for note in rig.notes) <= 2
        assert passes, "the daemon goes on trying"
        monkeypatch.undo()
        rig.seconds += 60
        assert (await daemon.loop.wait_idle(HANGS)).status.converged

    assert rig.store.layout.registry.exists()


async def test_a_pass_that_cannot_be_finished_is_told_also_by_readiness(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("active/ cannot be read")

    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        assert await asked.execute(GetReadiness(), MIA) == Readiness(True)
        with monkeypatch.context() as patch:
            patch.setattr(ActiveMappings, "read_all", refuse)
            with pytest.raises(ControllerError, match="active/ cannot be read"):
                await asked.execute(Reconcile(timeout=HANGS), MIA)

            told = await asked.execute(GetStatus(), MIA)
            assert told["converged"] is False
            assert [each["reason"] for each in told["waiting"]] == ["active/ cannot be read"]
            ready = await asked.execute(GetReadiness(), MIA)
            assert ready == Readiness(False, "the last pass could not be finished: active/ cannot be read")
        await asked.execute(Reconcile(timeout=HANGS), MIA)
        assert await asked.execute(GetReadiness(), MIA) == Readiness(True)


async def test_a_daemon_that_cannot_finish_its_first_pass_says_why(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(ActiveMappings, "read_all", refuse)
    daemon = Daemon(rig)
    asked = local_station(daemon, tmp_path)
    assert await asked.execute(GetReadiness(), MIA) == Readiness(False, "the daemon is still starting")

    task = asyncio.create_task(daemon.loop.run())
    await until(lambda: daemon.loop.failing != "")

    told = await asked.execute(GetReadiness(), MIA)
    assert told == Readiness(False, "the daemon cannot finish its first pass: the disk is full")
    with pytest.raises(CodedError, match="the disk is full"):
        await asked.execute(GetStatus(), MIA)
    daemon.loop.stop()
    await asyncio.wait_for(task, HANGS)


async def test_a_package_is_installed_and_removed_beside_the_passes(rig: Rig, tmp_path: Path) -> None:
    delivered = rig.packages.add_zip("other", "1.0.0").rename(tmp_path / "other-1.0.0.zip")
    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        installed = await asked.execute(Install(delivered), MIA)
        await daemon.loop.wait_idle(HANGS)
        assert (installed.name, installed.version) == ("other", "1.0.0")
        assert [each.state for each in rig.store.registry.read() if each.name == "other"] == ["installed"]
        with pytest.raises(PackageError, match="it answers PID A01"):
            await asked.execute(Uninstall("screw", "1.0.0"), MIA)
        await asked.execute(Uninstall("other", "1.0.0"), MIA)
        assert PackageRef("other", "1.0.0") not in rig.packages.installations()
    acts = [(each["actor"], each["action"], each["outcome"]) for each in audit_records(rig.store.audit)]
    assert acts.count(("mia", "install", "succeeded")) == 1
    assert acts.count(("mia", "uninstall", "succeeded")) == 1


async def test_a_long_installation_holds_up_no_pass(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    delivered = rig.packages.add_zip("other", "1.0.0").rename(tmp_path / "other-1.0.0.zip")
    gate, install = threading.Event(), rig.packages.install

    def slowly(*arguments: Any, **options: Any) -> Any:
        if Path(arguments[0]).name == delivered.name:
            gate.wait(HANGS)
        return install(*arguments, **options)

    monkeypatch.setattr(rig.packages, "install", slowly)
    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        installing = asyncio.create_task(asked.execute(Install(delivered), MIA))
        daemon.desire("1.1.0")
        await until(lambda: set(rig.active().values()) == {"screw@1.1.0"})
        assert not installing.done()
        gate.set()
        assert (await installing).name == "other"


async def test_a_zip_that_is_refused_is_not_kept(rig: Rig, tmp_path: Path) -> None:
    delivered = rig.packages.add_zip("other", "1.0.0").rename(tmp_path / "other-1.0.0.zip")
    rig.packages.failing[PackageRef("other", "1.0.0")] = PackageError(Code.install_failed, "setup failed")
    async with running(rig) as daemon:
        with pytest.raises(PackageError, match="setup failed"):
            await local_station(daemon, tmp_path).execute(Install(delivered), MIA)
    assert not (rig.store.layout.zips / delivered.name).exists()
    assert delivered.exists()


async def test_who_may_only_look_changes_nothing(rig: Rig, tmp_path: Path) -> None:
    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        watcher = Caller("wall", Access.viewer)
        assert (await asked.execute(GetStatus(), watcher))["converged"]
        for command in (Promote("line"), Reconcile(), Uninstall("screw", "1.0.0")):
            with pytest.raises(AccessDenied, match="wall may not do that"):
                await asked.execute(command, watcher)
