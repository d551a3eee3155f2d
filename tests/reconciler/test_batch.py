"""Batches on a real store: order, failures of one among many, a full disk, and a kill between any two system calls."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, groupby
from pathlib import Path
from typing import Any

import pytest

from controller.errors import StoreError
from controller.model.actions import Action, Deactivate, Install, Plan, SaveRollout, Switch
from controller.model.objects import ObjectRef
from controller.model.observed import ActiveMapping
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord
from controller.reconciler.acts import Act, ActionResult
from controller.reconciler.apply import Applier
from controller.reconciler.batch import MOST_ACTS, Batch
from controller.reconciler.recover import recover
from controller.store.store import Store
from tests.builders import audit_records, deployment, revision
from tests.reconciler.fakes import Rig

OLD, NEW = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
REVISION = revision(deployment("line", "1.1.0", "A01", "A02", "A03"))
ROLLOUT = ObjectRef("rollout", "line")
PIDS = ("A01", "A02", "A03")
BACK = (
    SaveRollout("line", RolloutRecord(), "rolled back"),
    *(Switch(pid, "line", OLD, NEW, "goes with it", (ROLLOUT,)) for pid in PIDS),
    Deactivate("B01", OLD, "not desired any more"),
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for ref in (OLD, NEW):
        rig.packages.install(rig.packages.add_zip(ref.name, ref.version))
    results = batch(rig, *(Switch(pid, "line", None, OLD, "as it was") for pid in (*PIDS, "B01"))).perform()
    assert all(each.error is None for each in results)
    return rig


def batch(rig: Rig, *actions: Action) -> Batch:
    acts = [Act(action, REVISION, "root") for action in actions]
    return Batch(rig.store, acts, rig.now, rig.notes.append)


def applier(rig: Rig) -> Applier:
    return Applier(rig.store, rig.packages, rig.processes, actor="root", now=rig.now, notify=rig.notes.append)


def audited(rig: Rig, since: int = 0) -> list[tuple[str, str]]:
    return [(each["object"], each["outcome"]) for each in list(audit_records(rig.store.audit))[since:]]


def errors(results: tuple[ActionResult, ...]) -> dict[str, str]:
    return {str(each.action.object): str(each.error) for each in results if each.error is not None}


def test_intents_come_first_and_outcomes_last_whatever_is_in_between(rig: Rig) -> None:
    known = len(audited(rig))

    results = batch(rig, *BACK).perform()

    assert errors(results) == {}
    assert rig.active() == dict.fromkeys(PIDS, str(NEW))
    objects = [str(action.object) for action in BACK]
    assert audited(rig, known) == [(each, outcome) for outcome in ("started", "succeeded") for each in objects]
    assert [rig.store.history.read(pid)[-1].ref for pid in (*PIDS, "B01")] == [NEW, NEW, NEW, None]
    assert "line" in rig.store.rollouts.memory().records


def test_what_fails_on_one_pid_is_that_pids_own(rig: Rig) -> None:
    rig.store.layout.mapping("A02").unlink()
    rig.store.layout.mapping("A02").mkdir()

    results = batch(rig, *BACK).perform()

    assert list(errors(results)) == ["pid/A02"]
    assert {pid: ref for pid, ref in rig.active().items() if pid != "A02"} == {"A01": str(NEW), "A03": str(NEW)}
    outcomes = dict(audited(rig))
    assert outcomes["pid/A02"].startswith("failed: cannot write")
    assert {outcomes[each] for each in ("pid/A01", "pid/A03", "pid/B01", "rollout/line")} == {"succeeded"}
    assert rig.store.history.read("A02")[-1].ref == OLD


def test_a_version_that_is_gone_is_not_switched_to(rig: Rig) -> None:
    rig.packages.uninstall(NEW)

    results = batch(rig, *BACK).perform()

    assert set(errors(results)) == {"pid/A01", "pid/A02", "pid/A03"}
    assert all("not installed any more" in error for error in errors(results).values())
    assert rig.active() == dict.fromkeys(PIDS, str(OLD))


def test_what_depends_on_a_decision_that_cannot_be_saved_is_not_begun(rig: Rig) -> None:
    (rig.store.layout.rollouts / "line.json").mkdir()
    alone = Switch("B01", "line", OLD, NEW, "stands alone")

    results = batch(rig, *BACK[:-1], alone).perform()

    assert rig.active() == {**dict.fromkeys(PIDS, str(OLD)), "B01": str(NEW)}
    assert {each.action.object.name for each in results if not each.begun} == set(PIDS)
    outcomes = dict(audited(rig))
    assert {outcomes[f"pid/{pid}"] for pid in PIDS} == {"failed: not begun: rollout/line failed"}
    assert outcomes["rollout/line"].startswith("failed: cannot write")


async def test_only_the_decision_that_failed_is_told_and_rests(rig: Rig) -> None:
    (rig.store.layout.rollouts / "line.json").mkdir()
    acting = applier(rig)

    acting.launch(Plan(BACK[:-1]), REVISION)
    results = await acting.next_results()

    assert [each.action.object for each in results] == [ROLLOUT]
    assert not acting.in_flight


# A full disk. A limit on the size of files makes the kernel write a part of what it is given, as a full disk does.


@contextmanager
def room_for(rig: Rig, more: int) -> Iterator[None]:
    """Let no file become longer than the audit log is, and so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (rig.store.layout.audit.stat().st_size + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def long_audit(rig: Rig) -> int:
    """The length of an audit log that is longer than any other file of the store."""
    for _ in range(20):
        batch(rig, SaveRollout("other", RolloutRecord(), "again")).perform()
    return rig.store.layout.audit.stat().st_size


@pytest.mark.parametrize("more", [0, 1, 700, 1200])
def test_nothing_is_begun_where_the_intents_do_not_all_find_room(rig: Rig, long_audit: int, more: int) -> None:
    before, active = rig.store.layout.audit.read_bytes(), rig.active()

    with room_for(rig, more):
        results = batch(rig, *BACK).perform()

    assert len(errors(results)) == len(BACK)
    assert rig.store.layout.audit.read_bytes() == before, "all records of a batch, or none"
    assert rig.active() == active
    assert rig.store.audit.verify().broken_at is None
    assert errors(batch(rig, *BACK).perform()) == {}, "with room again it goes on"


def test_outcomes_that_find_no_room_are_completed_at_the_next_start(rig: Rig, long_audit: int) -> None:
    intents = _length_of_intents(rig)

    with room_for(rig, intents + 500):
        results = batch(rig, *BACK).perform()

    assert errors(results) == {}, "what took place is not denied"
    assert rig.active() == dict.fromkeys(PIDS, str(NEW))
    assert {outcome for _, outcome in audited(rig)[-len(BACK) :]} == {"started"}
    another = Store.at(rig.store.layout, rig.now)  # as a controller that comes after a kill
    recover(another, rig.packages, "root", rig.notes.append)
    _assert_on_record(rig)


def _length_of_intents(rig: Rig) -> int:
    return sum(len(rig.store.layout.audit.read_bytes().splitlines()[-1]) + 100 for _ in BACK)


# A kill.


@contextmanager
def killed_at(moment: int) -> Iterator[None]:
    """End this process at its so-many-th moment: before each system call that changes a file, and in mid-write."""
    moments = count(1)

    def tick() -> None:
        if next(moments) == moment:
            os._exit(9)

    def ticking(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            tick()
            return call(*arguments, **named)

        return called

    def torn(descriptor: int, text: Any) -> int:
        tick()
        half = memoryview(text)[: len(text) // 2]
        if next(moments) == moment:
            write(descriptor, half)
            os._exit(9)
        return write(descriptor, text)

    write = os.write
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fsync", "fdatasync", "replace", "rename", "unlink", "ftruncate", "close"):
            patch.setattr(os, name, ticking(getattr(os, name)))
        patch.setattr(os, "write", torn)
        yield
        tick()


def in_a_life_that_ends(moment: int, work: Callable[[], object]) -> bool:
    """Do work in a child process that is killed at a moment; return whether it was, or was done before."""
    child = os.fork()
    if child == 0:
        try:
            with killed_at(moment):
                work()
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 9}, "the batch failed by itself"
    return code == 9


def test_a_batch_that_was_killed_anywhere_is_put_in_order_at_the_next_start(rig: Rig) -> None:
    seen = set()
    for moment in count(1):
        _as_it_was(rig)
        killed = in_a_life_that_ends(moment, batch(rig, *BACK).perform)
        rig.restart()
        seen.add(frozenset(rig.active().items()))
        _assert_on_record(rig)
        if not killed:
            break
        assert errors(batch(rig, *BACK).perform()) == {}, "a next pass can do it again"
        assert rig.store.audit.verify().broken_at is None
    assert moment > 40, "it was killed at too few moments"
    assert len(seen) >= len(PIDS) + 1, "no kill fell between two renames"


def _as_it_was(rig: Rig) -> None:
    """Bring every PID back to the old version, with no decision on record."""
    (rig.store.layout.rollouts / "line.json").unlink(missing_ok=True)
    active = rig.active()
    back = (Switch(pid, "line", NEW, OLD, "as it was") for pid in (*PIDS, "B01") if active.get(pid) != str(OLD))
    assert errors(batch(rig, *back).perform()) == {}


def _assert_on_record(rig: Rig) -> None:
    """Every PID is on its old or its new version; mapping, history and audit say the same; nothing lies about."""
    outcomes, moved = dict(audited(rig)), []
    for pid in (*PIDS, "B01"):
        mapping, history = rig.store.active.read(pid), rig.store.history.read(pid)
        ref = mapping.ref if isinstance(mapping, ActiveMapping) else mapping
        new = None if pid == "B01" else NEW
        assert ref in {OLD, new}, f"{pid} is on {ref}"
        assert history[-1].ref == ref
        assert len(history) < 2 or history[-2].ref != history[-1].ref, "one move stands twice in the history"
        assert outcomes[f"pid/{pid}"] != "started"
        if ref != OLD:
            moved.append(pid)
            assert outcomes[f"pid/{pid}"] == "succeeded"
    if set(moved) & set(PIDS):
        assert "line" in rig.store.rollouts.memory().records, "a PID moved before the decision was saved"
    assert list(rig.store.layout.active.glob("*.tmp")) == []


# What goes together.


async def test_a_decision_and_its_switches_are_begun_in_one_pass(rig: Rig) -> None:
    known, acting = len(audited(rig)), applier(rig)

    acting.launch(Plan(BACK[:-1]), REVISION)
    results = await acting.next_results()

    assert len(results) == len(BACK) - 1
    assert [outcome for _, outcome in audited(rig, known)] == ["started"] * 4 + ["succeeded"] * 4


async def test_a_switch_whose_decision_rests_waits_with_it(rig: Rig) -> None:
    acting = applier(rig)

    acting.launch(Plan(BACK[:-1]), REVISION, rests=lambda action: action.object == ROLLOUT)

    assert not acting.in_flight


async def test_more_than_a_batch_holds_goes_in_several_and_one_after_the_other(rig: Rig) -> None:
    pids = [f"P{number:02}" for number in range(MOST_ACTS + 8)]
    switches = [Switch(pid, "line", None, NEW, "first") for pid in pids]
    plan = Plan((*switches, *(Switch(pid, "other", None, NEW, "first") for pid in ("Q01", "Q02"))))
    known, acting = len(audited(rig)), applier(rig)

    acting.launch(plan, REVISION)
    assert len(acting.in_flight) == MOST_ACTS + 2
    while acting.in_flight:
        for result in await acting.next_results():
            assert result.error is None
    left = Plan(tuple(each for each in plan.actions if each.object.name not in rig.active()))
    acting.launch(left, REVISION)
    assert all(each.error is None for each in await acting.next_results())

    runs = [(outcome, len(list(group))) for outcome, group in groupby(outcome for _, outcome in audited(rig, known))]
    assert runs == [(what, size) for size in (MOST_ACTS, 2, 8) for what in ("started", "succeeded")]
    assert set(pids) < rig.active().keys()


async def test_an_act_by_hand_goes_on_beside_a_batch_and_waits_only_for_its_own_object(rig: Rig) -> None:
    acting = applier(rig)
    rig.packages.add_zip("other", "1.0.0")
    other = PackageRef("other", "1.0.0")
    acting.launch(Plan(BACK), REVISION)

    installed = await acting.perform(
        Install(other, "other-1.0.0.zip", "sha256:other@1.0.0", "by hand"), REVISION, "mia"
    )
    moved = await acting.perform(Switch("A01", "line", NEW, OLD, "by hand"), REVISION, "mia")

    assert (installed.error, moved.error) == (None, None)
    assert rig.active() == {"A01": str(OLD), "A02": str(NEW), "A03": str(NEW)}
    by_hand = [each["object"] for each in audit_records(rig.store.audit) if each["actor"] == "mia"]
    assert sorted(set(by_hand)) == ["package/other@1.0.0", "pid/A01"]
    results = await acting.next_results()
    assert [str(each.action.object) for each in results].count("pid/A01") == 2, "the batch's and the one by hand"


async def test_a_defect_in_a_batch_is_told_and_ends_nothing_else(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(rig.store.history), "append", defective)
    acting = applier(rig)

    acting.launch(Plan(BACK[:-1]), REVISION)
    failed = errors(await acting.next_results())

    assert all("a defect of the controller" in error for error in failed.values())
    assert set(failed) == {"pid/A01", "pid/A02", "pid/A03"}
    monkeypatch.undo()
    again = await acting.perform(Switch("A01", "line", NEW, OLD, "by hand"), REVISION, "mia")
    assert again.error is None


def test_an_audit_that_cannot_be_opened_stops_everything_before_it_begins(rig: Rig) -> None:
    rig.store.layout.audit.unlink()
    rig.store.layout.audit.mkdir()

    results = batch(rig, *BACK).perform()

    assert len(errors(results)) == len(BACK)
    assert rig.active() == dict.fromkeys((*PIDS, "B01"), str(OLD))
    assert all(isinstance(each.error, StoreError) for each in results)
