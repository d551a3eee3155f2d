"""One damaged file of the store: what it is about stands still or is restored, everything else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import DesiredStateError, StoreError
from controller.model.desired import Revision
from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import Quarantine, RolloutRecord
from controller.planning.needs import why_needed
from controller.reconciler.exits import Exit
from controller.reconciler.reconciler import Outcome
from controller.station.commands.operator import Rollback
from controller.station.operator import Operator
from controller.station.port import Caller
from tests.builders import audit_records, deployment, revision
from tests.reconciler.fakes import Rig
from tests.reconciler.test_loop import running
from tests.waiting import HANGS

V1, V2 = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
LINE, SIDE = ProcessKey("line", "screw", "1.0.0"), ProcessKey("side", "screw", "1.0.0")
QUARANTINED = RolloutRecord(quarantine=(Quarantine(V2, "sha256:screw@1.1.0", "2026-01-01T00:00:00Z", "it failed"),))


def desired(line: str = "1.0.0", side: str = "1.0.0") -> Revision:
    return revision(deployment("line", line, "A01", "A02"), deployment("side", side, "B01"), id_=line + side)


def path_of(rig: Rig, name: str) -> Path:
    return rig.store.layout.root / name


def damage(path: Path, how: str) -> None:
    """Do to a file what hands and disks do to files."""
    path.unlink(missing_ok=True)
    if how == "directory":
        path.mkdir()
    elif how == "unreadable":
        path.symlink_to(path.name)  # a loop: root may read everything else
    else:
        path.write_bytes({"empty": b"", "garbage": b"\x00\xff{\n", "wrong type": b"[5]\n"}[how])


HOW = ("empty", "garbage", "wrong type", "unreadable", "directory")


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    """A station where `line` has 1.1.0 in quarantine and `side` does not."""
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version, ("A01", "A02", "B01"))
    assert (await rig.reconcile(desired())).exit == Exit.done
    rig.store.rollouts.write("line", QUARANTINED)
    rig.store.rollouts.write("side", RolloutRecord())
    rig.store.rollouts.write_holds(())
    rig.store.layout.revision.touch()
    return rig


def kill_both(rig: Rig) -> None:
    rig.processes.running.clear()
    rig.processes.started.clear()


def message(outcome: Outcome, name: str) -> str:
    return next(each.message for each in outcome.status.deployments if each.name == name)


@pytest.mark.parametrize("how", HOW)
async def test_only_the_rollout_of_a_damaged_record_stands_still(rig: Rig, how: str) -> None:
    damage(path_of(rig, "rollouts/line.json"), how)
    path_of(rig, "rollouts/.line.json.copy").unlink()
    kill_both(rig)

    outcome = await rig.reconcile(desired("1.1.0", "1.1.0"))

    assert rig.active() == {"A01": str(V1), "A02": str(V1), "B01": str(V2)}
    assert LINE in rig.processes.running, "what answers is restarted all the same"
    assert outcome.exit == Exit.degraded
    assert "its rollout stands still" in message(outcome, "line")
    assert "rollouts/line.json cannot be" in message(outcome, "line")
    assert set(rig.store.rollouts.memory().lost) == {"line"}, "evidence is not overwritten"
    observed = await rig.restart().observe(outcome.desired)
    assert any("line.json" in reason for reason in why_needed(V1, outcome.desired.revision, observed))


@pytest.mark.parametrize("how", HOW[:-1])
async def test_a_damaged_record_is_restored_from_its_copy_and_forgives_nothing(rig: Rig, how: str) -> None:
    damage(path_of(rig, "rollouts/line.json"), how)
    damage(path_of(rig, "rollouts/.holds.json"), how)

    outcome = await rig.reconcile(desired("1.1.0", "1.1.0"))

    assert rig.active() == {"A01": str(V1), "A02": str(V1), "B01": str(V2)}
    assert "is in quarantine" in message(outcome, "line")
    assert rig.store.rollouts.memory().restored == {}
    restored = [each for each in audit_records(rig.store.audit) if each["action"] == "restore"]
    ended = {each["object"] for each in restored if each["outcome"] == "succeeded"}
    assert ended == {"rollout/line", "holds"}
    assert all("restored from its copy" in each["reason"] for each in restored)


async def test_a_directory_in_place_of_a_record_is_told_and_what_it_said_goes_on_counting(rig: Rig) -> None:
    damage(path_of(rig, "rollouts/line.json"), "directory")

    outcome = await rig.reconcile(desired("1.1.0", "1.1.0"))

    assert rig.active() == {"A01": str(V1), "A02": str(V1), "B01": str(V2)}
    assert outcome.exit == Exit.failed


async def test_with_the_holds_lost_nothing_moves_but_what_died_is_restarted(rig: Rig) -> None:
    damage(path_of(rig, "rollouts/.holds.json"), "garbage")
    path_of(rig, "rollouts/..holds.json.copy").unlink()
    kill_both(rig)

    outcome = await rig.reconcile(desired(side="1.1.0"))

    assert rig.active() == {"A01": str(V1), "A02": str(V1), "B01": str(V1)}
    assert {LINE, SIDE} <= rig.processes.running.keys()
    assert ".holds.json cannot be understood" in message(outcome, "side")


async def test_an_operator_may_move_pids_of_a_deployment_whose_record_is_lost(rig: Rig) -> None:
    await rig.reconcile(desired(side="1.1.0"))
    damage(path_of(rig, "rollouts/side.json"), "garbage")
    path_of(rig, "rollouts/.side.json.copy").unlink()
    operator = Operator(rig.store, rig.packages, rig.restart().clock)

    operator.execute(Rollback("side", reason="scrap", emergency=True), Caller("mia"))
    await rig.reconcile(desired(side="1.1.0"))

    assert rig.active()["B01"] == str(V1)
    assert path_of(rig, "rollouts/side.json").read_bytes() == b"\x00\xff{\n"


SIBLINGS = (
    "registry.json", "history/A01.jsonl", "history/B01.jsonl", "status.json", "status.patch.yaml",
    "rollouts/.tallies.json", "revisions/current.json", "active/A01.json", "rollouts/side.json",
)  # fmt: skip


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", SIBLINGS)
async def test_no_damaged_file_stops_a_pass(rig: Rig, name: str, how: str) -> None:
    damage(path_of(rig, name), how)
    kill_both(rig)

    outcome = await rig.reconcile(desired())

    assert {LINE, SIDE} <= rig.processes.running.keys()
    assert outcome.status.pids, "the status is told"
    assert rig.active()["B01"] == str(V1)


async def test_a_history_that_cannot_be_read_is_told_and_keeps_every_version(rig: Rig) -> None:
    damage(path_of(rig, "history/A01.jsonl"), "garbage")

    outcome = await rig.reconcile(desired(line="1.1.0", side="1.1.0"))

    assert "history/A01.jsonl: no line of it can be understood" in message(outcome, "line")
    assert rig.active()["B01"] == str(V2)


async def test_an_empty_tree_removes_nothing_where_the_revision_in_force_is_damaged(rig: Rig) -> None:
    damage(path_of(rig, "revisions/current.json"), "empty")

    with pytest.raises(DesiredStateError, match="--allow-empty"):
        await rig.reconcile(revision())

    assert rig.active() == {"A01": str(V1), "A02": str(V1), "B01": str(V1)}


async def test_a_revision_that_the_disk_does_not_take_is_told_and_the_last_one_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise StoreError("the disk is full")

    kill_both(rig)
    with monkeypatch.context() as patch:
        patch.setattr(type(rig.store.revision), "write", full)
        outcome = await rig.reconcile(desired(side="1.1.0"))

    assert {LINE, SIDE} <= rig.processes.running.keys()
    assert rig.active()["B01"] == str(V1)
    assert "the disk is full" in outcome.status.revision.errors[0]
    await rig.reconcile(desired(side="1.1.0"))
    assert rig.active()["B01"] == str(V2)


async def test_a_status_that_cannot_be_written_is_told_all_the_same(rig: Rig) -> None:
    damage(path_of(rig, "status.json"), "directory")
    (path_of(rig, "status.json") / "in the way").touch()
    async with running(rig) as daemon:
        await daemon.loop.wait_idle(HANGS)
        outcome = await daemon.loop.wait_idle(HANGS)

    assert daemon.loop.failing == ""
    [row] = [each for each in outcome.status.waiting if each.what == "status.json"]
    assert "cannot write" in row.reason
    assert not outcome.status.converged
