"""Long acts as operations: they go on without whoever asked, are found again, and a kill leaves nothing unsaid."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.errors import CallError, Code, NotFound, PackageError, StoreError
from controller.host.clock import utc_now
from controller.model.operation import OperationDocument
from controller.station import operations
from controller.station.commands.operations import ListOperations
from controller.station.commands.packages import Install, PackageState
from controller.station.commands.reconciling import Reconcile
from controller.station.operations import Operations
from controller.station.port import Caller, Report, silent
from controller.store.layout import StoreLayout
from controller.store.operations import KEPT, OperationFiles
from tests.waiting import until

MIA = Caller("mia", worker="ann")
INSTALL = Install(Path("/deliveries/screw-1.0.0.zip"))
STATE = PackageState("screw", "1.0.0", "sha256:ab")


class Act:
    """An act that waits for `gate`; it reports from a thread, as an install does."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.failure = failure

    async def __call__(self, report: Report) -> object:
        await asyncio.to_thread(report, "screw@1.0.0: unpacking …")
        await self.gate.wait()
        await asyncio.to_thread(report, "screw@1.0.0: installed")
        if self.failure is not None:
            raise self.failure
        return STATE


@pytest.fixture
def files(tmp_path: Path) -> OperationFiles:
    return OperationFiles(StoreLayout.at(tmp_path))


async def test_an_act_goes_on_when_whoever_asked_leaves_and_is_found_again(files: OperationFiles) -> None:
    changes: list[OperationDocument] = []
    here, act, heard = Operations(files, utc_now, changes.append), Act(), list[str]()
    asking = asyncio.create_task(here.execute(INSTALL, MIA, act, heard.append))
    await until(lambda: heard)
    asking.cancel()
    await asyncio.wait([asking])
    (running,) = await here.list(ListOperations(state="running", kind="install"))
    assert (running["subject"], running["actor"], running["ended_at"]) == ("screw-1.0.0.zip", "mia (for ann)", None)
    again = list[str]()
    following = asyncio.create_task(here.follow(running["id"], again.append))
    await until(lambda: again)
    act.gate.set()
    ended = await following
    assert again == ["screw@1.0.0: unpacking …", "screw@1.0.0: installed"]
    assert (ended["state"], ended["result"]) == (
        "succeeded",
        {"name": "screw", "version": "1.0.0", "digest": "sha256:ab"},
    )
    assert heard == again[:1]
    for station in (here, Operations(files, utc_now)):  # also after a restart
        assert await station.get(running["id"]) == ended
        assert await station.list(ListOperations(state="running")) == ()
    assert [each["state"] for each in changes] == ["running", "succeeded"]


async def test_a_failure_is_the_caller_s_own_and_stands_in_the_operation(files: OperationFiles) -> None:
    here = Operations(files, utc_now)
    for failure, code in ((PackageError(Code.invalid_zip, "no zip"), 2001), (KeyError("a defect"), 1000)):
        act = Act(failure)
        act.gate.set()
        with pytest.raises(type(failure)) as caught:
            await here.execute(INSTALL, MIA, act, silent)
        assert caught.value is failure
        (found, *_) = await here.list(ListOperations(state="failed"))
        assert found["error"] is not None
        assert found["error"]["code"] == code


async def test_one_that_ran_when_the_daemon_was_killed_has_an_unknown_outcome(files: OperationFiles) -> None:
    here, act = Operations(files, utc_now), Act()
    begun = await here.start(Reconcile(), MIA, act)
    found = await Operations(files, utc_now).get(begun["id"])
    assert (found["state"], found["ended_at"], found["progress"]) == ("failed", None, [])
    assert found["error"] is not None
    assert found["error"]["message"].startswith("interrupted by a restart; outcome unknown")
    assert found["error"]["details"] == {"outcome": "unknown"}
    act.gate.set()
    await here.follow(begun["id"], silent)
    assert (await Operations(files, utc_now).get(begun["id"]))["state"] == "succeeded"


async def test_the_newest_are_kept_and_no_name_leads_out_of_the_folder(files: OperationFiles, tmp_path: Path) -> None:
    document: Any = {
        "kind": "install", "subject": "", "state": "succeeded", "actor": "mia", "ended_at": "t", "error": None,
        "progress": [], "result": None,
    }  # fmt: skip
    moments = [f"2026-01-01T{number // 60:02}:{number % 60:02}:00.000000Z" for number in range(KEPT + 5)]
    moments += ["2026-01-20T00:00:00.000000Z"]
    for moment in moments[:-1]:
        files.write(
            {
                **document,
                "id": f"{moment[:19].replace('-', '').replace(':', '')}-install-0123abcd",
                "started_at": moment,
            }
        )
    assert [each["started_at"] for each in files.read_all()] == moments[5:-1][::-1]
    (tmp_path / "operations" / "notes.txt").write_text("somebody's own")
    (tmp_path / "operations" / "20260101T010000-install-0123abcd.json").write_text("{torn")
    assert len(files.read_all()) == KEPT - 1
    newest = f"{moments[-1][:19].replace('-', '').replace(':', '')}-install-0123abcd"
    files.write({**document, "id": newest, "started_at": moments[-1]})
    assert [each["id"] for each in files.read_all()] == [newest], "the others are older than a week"
    assert (tmp_path / "operations" / "notes.txt").exists()
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(NotFound, match="no operation"):
        await Operations(files, utc_now).get("../secret")


async def test_where_the_disk_takes_nothing_the_act_goes_on_and_this_daemon_knows_of_it(
    files: OperationFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(files, "write", full)
    here, act = Operations(files, utc_now), Act()
    act.gate.set()
    assert await here.execute(INSTALL, MIA, act, silent) == STATE
    (found,) = await here.list(ListOperations())
    assert (await here.get(found["id"]))["state"] == "succeeded"


async def test_operations_at_once_are_bounded(files: OperationFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_RUNNING", 1)
    here, act, deaf = Operations(files, utc_now), Act(), threading.Event()
    begun = await here.start(INSTALL, MIA, act)
    with pytest.raises(CallError) as caught:
        await here.start(INSTALL, MIA, act)
    assert caught.value.code == Code.busy
    act.gate.set()
    await here.follow(begun["id"], silent)
    assert (await here.execute(INSTALL, MIA, act, lambda _: deaf.set())) == STATE
    assert deaf.is_set()
