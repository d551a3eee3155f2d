"""A sync that fails in the middle of an act: the record follows what happened, at run time as at the next start."""

from __future__ import annotations

import asyncio
import errno
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from controller.model.actions import RemoveZip, SaveRollout, Switch
from controller.model.desired import Revision
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord
from controller.reconciler.exits import Exit
from controller.reconciler.revisions import take_revision
from controller.station.commands.operator import Rollback
from controller.station.operator import Operator
from controller.station.port import Caller
from controller.store.store import Store
from tests.builders import audit_records, deployment, revision
from tests.disk_faults import failing_syncs
from tests.reconciler.fakes import FakeSource, Rig
from tests.reconciler.test_batch import applier, batch, errors

PIDS = ("A01", "A02", "A03")
V1, V2, V3 = (PackageRef("screw", f"1.{minor}.0") for minor in range(3))
PLACES = ("history/A02.jsonl", "logs/audit.jsonl", "active")


def at(ref: PackageRef) -> Revision:
    return revision(deployment("line", ref.version, *PIDS), id_=ref.version)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for ref in (V1, V2, V3):
        rig.packages.add_zip(ref.name, ref.version, PIDS)
        if ref != V1:
            rig.packages.install(rig.store.layout.zips / f"screw-{ref.version}.zip")
    assert (await rig.reconcile(at(V1))).exit == Exit.done
    return rig


def disk_fails(rig: Rig, place: str, error: int = errno.ENOSPC) -> AbstractContextManager[list[str]]:
    """Let the syncs of a place fail; of the audit only those behind the intents, without which nothing begins."""
    return failing_syncs(rig.store.layout.root / place, error, skip=1 if "audit" in place else 0)


def move(rig: Rig, before: PackageRef, target: PackageRef) -> None:
    """Move every PID; that succeeds, whatever becomes of the record."""
    switches = (Switch(pid, "line", before, target, "a test") for pid in PIDS)
    assert errors(batch(rig, *switches).perform()) == {}, "what took place is not denied"
    assert rig.active() == dict.fromkeys(PIDS, str(target))


def assert_on_record(rig: Rig, *versions: PackageRef) -> None:
    """Mapping, history and audit of every PID say the same, each once and in order."""
    assert rig.active() == dict.fromkeys(PIDS, str(versions[-1]))
    last = {each["object"]: each["outcome"] for each in audit_records(rig.store.audit) if each["action"] == "switch"}
    assert last == {f"pid/{pid}": "succeeded" for pid in PIDS}
    assert {pid: tuple(entry.ref for entry in rig.store.history.read(pid)) for pid in PIDS} == dict.fromkeys(
        PIDS, versions
    )
    assert rig.store.audit.verify().broken_at is None


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("place", PLACES)
async def test_what_failed_behind_the_move_is_completed_by_the_next_pass(rig: Rig, place: str, error: int) -> None:
    controller = rig.restart()
    with disk_fails(rig, place, error) as failed:
        move(rig, V1, V2)
        assert failed
        assert rig.store.unrecorded

    outcome = await controller.converge(take_revision(FakeSource(at(V2)), rig.store))

    assert outcome.exit == Exit.done

    assert not rig.store.unrecorded
    assert_on_record(rig, V1, V2)


@pytest.mark.parametrize("place", PLACES)
async def test_it_is_completed_by_the_next_start_too(rig: Rig, place: str) -> None:
    with disk_fails(rig, place):
        move(rig, V1, V2)
    rig.store = Store.at(rig.store.layout, rig.now)  # as a controller that comes after a kill

    assert (await rig.reconcile(at(V2))).exit == Exit.done

    assert_on_record(rig, V1, V2)


async def test_a_later_switch_keeps_the_order_and_a_rollback_takes_all_pids_to_one_version(rig: Rig) -> None:
    with disk_fails(rig, "history/A02.jsonl"):
        move(rig, V1, V2)
    move(rig, V2, V3)
    assert_on_record(rig, V1, V2, V3)

    operator = Operator(rig.store, rig.packages, rig.restart().clock)
    rig.store.revision.write(at(V3))
    said = operator.execute(Rollback("line", reason="scrap"), Caller("mia")).message

    assert {hold.package for hold in rig.store.rollouts.read_holds().values()} == {V2}, said


async def test_a_record_that_stays_incomplete_is_told_and_never_denies_what_happened(rig: Rig) -> None:
    with disk_fails(rig, "history/A02.jsonl"):
        move(rig, V1, V2)
        outcome = await rig.reconcile(at(V2))

        assert outcome.exit == Exit.failed
        [row] = outcome.status.waiting
        assert row.what == "the record of pid/A02"
        assert "cannot append to" in row.reason
        last = {
            each["object"]: each["outcome"] for each in audit_records(rig.store.audit) if each["action"] == "switch"
        }
        assert last == {"pid/A01": "succeeded", "pid/A02": "started", "pid/A03": "succeeded"}
    assert (await rig.reconcile(at(V2))).exit == Exit.done
    assert_on_record(rig, V1, V2)


async def test_nothing_follows_a_decision_before_it_is_on_the_disk(rig: Rig) -> None:
    acts = (
        SaveRollout("line", RolloutRecord(), "a decision"),
        *(Switch(pid, "line", V1, V2, "follows", (SaveRollout("line", RolloutRecord(), "").object,)) for pid in PIDS),
    )
    with disk_fails(rig, "rollouts"):
        results = batch(rig, *acts).perform()

    assert rig.active() == dict.fromkeys(PIDS, str(V1))
    assert [result.begun for result in results] == [True, False, False, False]
    assert errors(batch(rig, *acts).perform()) == {}
    assert_on_record(rig, V1, V2)


async def test_an_operators_decision_stands_whose_outcome_finds_no_room(rig: Rig) -> None:
    await rig.reconcile(at(V2))
    operator = Operator(rig.store, rig.packages, rig.restart().clock)
    with disk_fails(rig, "logs/audit.jsonl"), failing_syncs(rig.store.layout.rollouts):
        said = operator.execute(Rollback("line", reason="scrap"), Caller("mia")).message

    assert "not on record yet" in said
    assert {hold.package for hold in rig.store.rollouts.read_holds().values()} == {V1}
    await rig.reconcile(at(V2))
    outcomes = [each["outcome"] for each in audit_records(rig.store.audit) if each["action"] == "rollback"]
    assert outcomes == ["started", "succeeded"]


async def test_a_zip_that_is_gone_was_removed_also_where_the_sync_of_the_folder_fails(rig: Rig) -> None:
    acting = applier(rig)
    with disk_fails(rig, "algorithms/zips"):
        result = await acting.perform(RemoveZip("screw-1.2.0.zip", "surplus"), at(V1), "mia")

    assert result.error is None
    assert not (rig.store.layout.zips / "screw-1.2.0.zip").exists()
    assert await asyncio.to_thread(rig.store.unrecorded.settle, rig.store) == {}
    assert [each["outcome"] for each in audit_records(rig.store.audit)][-2:] == ["started", "succeeded"]


async def test_what_a_pass_holds_in_memory_does_not_grow_with_the_switches(rig: Rig) -> None:
    controller, held = rig.restart(), []
    for turn in range(24):
        target = (V2, V1)[turn % 2]
        desired = take_revision(FakeSource(at(target)), rig.store)
        await controller.converge(desired)
        rig.seconds += 60
        rig.store.rollouts.write("line", RolloutRecord())  # the window of the last rollout is over
        held.append(sum(map(len, (await controller.observe(desired)).history.values())))

    assert len(rig.store.history.read("A01")) == 25
    assert set(held[2:]) <= {0, 2 * len(PIDS)}
