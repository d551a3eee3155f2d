"""A whole reconcile over a real store, with packages and processes that fail when told to."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest

from controller.errors import Code, DesiredStateError, PackageError, StartFailed, StoreError
from controller.model.limits import PackageLimits
from controller.model.observed import ProcessKey
from controller.model.package import PackageRecord, PackageRef
from controller.reconciler.exits import Exit, worst
from controller.reconciler.revisions import take_revision
from tests.builders import audit_records, deployment, revision
from tests.reconciler.fakes import FakeSource, Rig
from tests.waiting import HANGS, until

V1, V2 = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
AT_V1 = revision(deployment("line", "1.0.0", "A01", "A02"))
AT_V2 = revision(deployment("line", "1.1.0", "A01", "A02"), id_="r2")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    rig.packages.add_zip("screw", "1.0.0")
    rig.packages.add_zip("screw", "1.1.0")
    return rig


def snapshot(rig: Rig) -> dict[str, int]:
    root = rig.store.layout.root
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


async def test_it_installs_switches_and_reports_convergence(rig: Rig) -> None:
    outcome = await rig.reconcile(AT_V1)

    assert outcome.exit == Exit.done
    assert rig.active() == {"A01": "screw@1.0.0", "A02": "screw@1.0.0"}
    assert outcome.status.converged
    [status] = outcome.status.deployments
    assert (status.phase, status.actual_weight) == ("Healthy", 100)
    assert all(pid.ready for pid in outcome.status.pids)


async def test_a_second_reconcile_does_nothing_and_rewrites_nothing(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    before = snapshot(rig)
    surveyed = len(rig.packages.surveyed)

    outcome = await rig.reconcile(AT_V1)

    assert outcome.plan.empty
    assert outcome.exit == Exit.done
    assert snapshot(rig) == before
    assert len(rig.packages.surveyed) == surveyed, "an unchanged zip was read again"


async def test_a_damaged_zip_that_is_written_over_with_the_good_one_and_its_time_is_taken(rig: Rig) -> None:
    """`cp -p` of the good zip over the damaged one: the same size, time and inode."""
    path = rig.store.layout.zips / "screw-1.0.0.zip"
    good, before = path.read_text(), path.stat()
    path.write_text(orjson.dumps({"refuse": 2001}).decode().ljust(len(good)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (await rig.reconcile(AT_V1)).exit == Exit.degraded

    path.write_text(good)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino
    assert (await rig.reconcile(AT_V1)).exit == Exit.done


async def test_a_good_zip_that_is_written_over_while_nobody_looks_is_read_again(rig: Rig) -> None:
    """The registry tells by when it was written; its rows stay as every release compares them."""
    path = rig.store.layout.zips / "screw-1.1.0.zip"
    good, before = path.read_text(), path.stat()
    await rig.reconcile(AT_V1)
    [row] = [each for each in rig.store.registry.read() or () if each.version == "1.1.0"]
    assert row.fingerprint == (before.st_size, before.st_mtime_ns, before.st_ino)

    path.write_text(orjson.dumps({"refuse": 2001}).decode().ljust(len(good)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    rig.restart()
    assert (await rig.reconcile(AT_V1)).exit == Exit.done
    assert [each.state for each in rig.store.registry.read() or () if each.zip_name == path.name] == ["invalid"]


async def test_a_zip_that_was_refused_is_read_again_only_where_the_limits_have_changed(rig: Rig) -> None:
    (rig.store.layout.zips / "large.zip").write_bytes(orjson.dumps({"refuse": 2001}))
    reconciler = rig.restart()
    for _ in range(2):
        await reconciler.converge(take_revision(FakeSource(AT_V1), rig.store))
    assert rig.packages.surveyed.count("large.zip") == 1

    policy = AT_V1.policy.model_copy(update={"limits": PackageLimits.model_validate({"unpackedSize": "8GiB"})})
    await reconciler.converge(take_revision(FakeSource(AT_V1.model_copy(update={"policy": policy})), rig.store))
    assert rig.packages.surveyed.count("large.zip") == 2


async def test_a_new_version_moves_the_pids_and_the_old_process_stays_warm_for_the_way_back(
    rig: Rig,
) -> None:
    await rig.reconcile(AT_V1)

    await rig.reconcile(AT_V2)

    assert set(rig.active().values()) == {"screw@1.1.0"}
    assert [key.version for key in rig.processes.running] == ["1.0.0", "1.1.0"]
    assert [entry.version for entry in rig.store.history.read("A01")] == ["1.0.0", "1.1.0"]
    assert rig.store.audit.verify().broken_at is None


async def test_the_old_process_is_ended_when_the_rollback_window_is_over(rig: Rig) -> None:
    await rig.reconcile(AT_V1)

    await rig.reconcile(revision(deployment("line", "1.1.0", "A01", "A02", rollbackWindow="10m"), id_="r2"))
    assert len(rig.processes.running) == 2
    rig.seconds += 600
    await rig.reconcile(revision(deployment("line", "1.1.0", "A01", "A02", rollbackWindow="10m"), id_="r2"))

    assert [key.version for key in rig.processes.running] == ["1.1.0"]


async def test_every_change_of_a_mapping_is_audited_with_who_which_revision_and_why(rig: Rig) -> None:
    await rig.reconcile(AT_V1)

    records = [each for each in audit_records(rig.store.audit) if each["object"] == "pid/A01"]

    assert [each["outcome"] for each in records] == ["started", "succeeded"]
    assert {(each["actor"], each["revision"]) for each in records} == {("root", "r1")}
    assert all(each["reason"] for each in records)


@pytest.mark.parametrize("where", ["install", "start"])
async def test_a_bad_version_stops_only_itself_and_the_old_one_goes_on(rig: Rig, where: str) -> None:
    await rig.reconcile(AT_V1)
    rig.packages.add_zip("other", "1.0.0")
    if where == "install":
        rig.packages.failing[V2] = PackageError(Code.install_failed, "ImportError: no model here")
    else:
        rig.processes.failing[V2] = StartFailed("ImportError: no model here")
    wanted = revision(deployment("line", "1.1.0", "A01", "A02"), deployment("b", "1.0.0", "A03", package="other"))

    outcome = await rig.reconcile(wanted)

    assert outcome.exit == Exit.degraded
    assert rig.active() == {"A01": "screw@1.0.0", "A02": "screw@1.0.0", "A03": "other@1.0.0"}
    line = next(each for each in outcome.status.deployments if each.name == "line")
    assert line.phase == "Degraded"
    assert "no model here" in line.message
    assert ProcessKey("line", "screw", "1.0.0", 0) in rig.processes.running


async def test_a_process_that_fails_to_start_once_is_started_again_at_once(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    key, wanted = ProcessKey("line", "screw", "1.1.0", 0), revision(deployment("line", "1.1.0", "A01", "A02"))
    rig.processes.failing_once[V2] = StartFailed("it was not ready within its timeouts.start of 30s")

    outcome = await rig.reconcile(wanted)

    assert (outcome.exit, outcome.plan.records["line"].quarantine) == (Exit.done, ())
    assert set(rig.active().values()) == {"screw@1.1.0"}
    assert rig.processes.started.count(key) == 2

    rig.packages.add_zip("screw", "1.2.0")
    bad = ProcessKey("line", "screw", "1.2.0", 0)
    rig.processes.failing[bad.ref] = StartFailed("it was not ready within its timeouts.start of 30s")
    outcome = await rig.reconcile(revision(deployment("line", "1.2.0", "A01", "A02")))

    assert outcome.exit == Exit.degraded
    assert rig.processes.started.count(bad) == 2
    [quarantined] = outcome.plan.records["line"].quarantine
    assert "timeouts.start of 30s" in quarantined.reason


async def test_a_failed_zip_waits_but_a_corrected_one_of_the_same_version_is_tried_at_once(rig: Rig) -> None:
    reconciler = rig.restart()
    desired = take_revision(FakeSource(AT_V1), rig.store, allow_empty=False)
    rig.packages.failing[V1] = PackageError(Code.install_failed, "setup failed")
    await reconciler.converge(desired)
    rig.packages.failing.clear()

    await reconciler.converge(desired)
    assert rig.active() == {}

    rig.packages.add_zip("screw", "1.0.0", content="corrected")
    await reconciler.converge(desired)
    assert rig.active() == {"A01": "screw@1.0.0", "A02": "screw@1.0.0"}


async def test_a_failed_package_is_told_invalid_with_its_code(rig: Rig) -> None:
    rig.packages.failing[V1] = PackageError(Code.install_failed, "setup failed")

    await rig.reconcile(AT_V1)

    record = next(each for each in rig.store.registry.read() or () if each.ref == V1)
    assert (record.state, record.error_code, record.reason) == ("invalid", 2005, "setup failed")


async def test_an_invalid_revision_keeps_the_last_valid_one_in_force_and_repairs_it(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    rig.processes.running.clear()

    outcome = await rig.reconcile(DesiredStateError(("desired/a.yaml:3:1: bad",)))

    assert outcome.exit == Exit.invalid
    assert outcome.status.revision.errors == ("desired/a.yaml:3:1: bad",)
    assert outcome.status.revision.id == "r1"
    assert len(rig.processes.running) == 1


async def test_an_emptied_tree_removes_nothing_unless_told_to(rig: Rig) -> None:
    await rig.reconcile(AT_V1)

    refused = await rig.reconcile(revision(id_="empty"))
    assert refused.exit == Exit.invalid
    assert len(rig.active()) == 2

    allowed = await rig.reconcile(revision(id_="empty"), allow_empty=True)
    assert allowed.exit == Exit.done
    assert rig.active() == {}
    assert rig.processes.running == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": "screw", "version": "9.9", "activated_at": "x"}', None])
async def test_a_damaged_dangling_or_deleted_mapping_is_restored(rig: Rig, content: bytes | None) -> None:
    await rig.reconcile(AT_V1)
    path = rig.store.layout.mapping("A01")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    outcome = await rig.reconcile(AT_V1)

    assert outcome.exit == Exit.done
    assert rig.active()["A01"] == "screw@1.0.0"
    assert len(rig.processes.started) == 1, "the running process was still good"


async def test_a_killed_process_and_a_deleted_installation_are_put_back(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    rig.processes.running.clear()
    rig.packages.uninstall(V1)

    outcome = await rig.reconcile(AT_V1)

    assert outcome.exit == Exit.done
    assert V1 in rig.packages.installations()
    assert len(rig.processes.running) == 1


async def test_a_registry_that_is_still_being_written_is_not_lost(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write, write = threading.Event(), rig.store.registry.write

    def slowly(records: Iterable[PackageRecord]) -> bool:
        assert may_write.wait(HANGS)
        return write(records)

    monkeypatch.setattr(rig.store.registry, "write", slowly)
    reconciling = asyncio.create_task(rig.reconcile(AT_V1))
    await until(lambda: len(rig.active()) == 2, "a pass after the installation, and the switches")
    may_write.set()

    assert (await reconciling).exit == Exit.done
    assert [each for each in audit_records(rig.store.audit) if "registry" in each["action"]] == []
    assert {each.ref for each in rig.store.registry.read() or ()} == {V1, V2}


async def test_a_lost_registry_is_rebuilt(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    before = rig.store.registry.read()
    rig.store.layout.registry.unlink()

    await rig.reconcile(AT_V1)

    assert rig.store.registry.read() == before


async def test_a_removed_pid_is_deactivated_and_a_mapping_of_strangers_is_left_alone(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    stranger = b'{"name": "screw", "version": "1.0.0", "activated_at": "2020-01-01T00:00:00Z"}'
    rig.store.layout.mapping("Z99").write_bytes(stranger)

    outcome = await rig.reconcile(revision(deployment("line", "1.0.0", "A01"), id_="r3"))

    assert rig.active() == {"A01": "screw@1.0.0", "Z99": "screw@1.0.0"}
    assert outcome.status.unmanaged == ("active/Z99.json",)
    assert rig.store.history.read("A02")[-1].name is None


async def test_a_folder_without_a_receipt_is_reported_and_left_alone(rig: Rig) -> None:
    older = rig.store.layout.deployed / "ancient" / "0.1"
    older.mkdir(parents=True)

    outcome = await rig.reconcile(AT_V1)

    assert outcome.exit == Exit.done
    assert outcome.status.unmanaged == ("algorithms/deployed/ancient/0.1",)
    assert older.is_dir()


async def test_a_bad_zip_that_nobody_wants_is_only_reported(rig: Rig) -> None:
    (rig.store.layout.zips / "junk.zip").write_bytes(orjson.dumps({"refuse": 2001}))

    outcome = await rig.reconcile(AT_V1)

    assert outcome.exit == Exit.done
    assert any(each.state == "invalid" and each.error_code == 2001 for each in outcome.status.packages)


async def test_without_serving_the_versions_are_proven_and_the_processes_ended(rig: Rig) -> None:
    outcome = await rig.reconcile(AT_V1, serve=False)

    assert outcome.exit == Exit.done
    assert len(rig.processes.started) == 1
    assert rig.processes.running == {}
    acts = rig.store.audit.head()
    await rig.reconcile(AT_V1, serve=False)
    assert rig.store.audit.head() == acts


async def test_an_interrupted_switch_is_put_on_record_at_the_next_start(rig: Rig) -> None:
    await rig.reconcile(AT_V1)
    fail = rig.store.history.append

    def die(*_: object) -> None:
        raise StoreError("killed here")

    object.__setattr__(rig.store.history, "append", die)
    await rig.reconcile(AT_V2)
    object.__setattr__(rig.store.history, "append", fail)
    # the crashed controller's last words are lost too: only the intent is on record
    lines = rig.store.layout.audit.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"outcome":"failed' not in line]
    rig.store.layout.audit.write_bytes(b"".join(kept[: len(kept)]))

    outcome = await rig.reconcile(AT_V2)

    assert outcome.exit == Exit.done
    assert rig.store.history.read("A01")[-1].version == "1.1.0"
    assert rig.store.history.read("A01")[-1].deployment == "line"


@pytest.mark.parametrize("kept", [0, 2])
async def test_a_removed_tail_of_the_audit_log_is_put_on_record(rig: Rig, kept: int) -> None:
    await rig.reconcile(AT_V1)
    noted = rig.store.audit.head()
    lines = rig.store.layout.audit.read_bytes().splitlines(keepends=True)
    rig.store.layout.audit.write_bytes(b"".join(lines[:kept]))

    await rig.reconcile(AT_V1)
    await rig.reconcile(AT_V1)

    [gap] = [each for each in audit_records(rig.store.audit) if each["action"] == "audit.gap"]
    assert gap["before"] == f"{noted.seq}:{noted.hash}"
    assert f"the log ended at {kept}" in gap["reason"]
    assert rig.store.audit.verify().broken_at is None


async def test_a_store_failure_is_the_controllers_own_failure(rig: Rig) -> None:
    rig.processes.failing[V1] = StoreError("disk full")

    assert (await rig.reconcile(AT_V1)).exit == Exit.failed


def test_the_worst_exit_wins() -> None:
    order = [Exit.invalid, Exit.failed, Exit.degraded, Exit.progressing, Exit.changes_pending, Exit.done]

    assert [worst(*order[index:]) for index in range(len(order))] == order
