"""A replay as an act: begun once, beside everything else, and ended when no plan has it any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller.errors import StoreError
from controller.model.actions import Plan, Preheat, Replay
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import PackageRef
from controller.model.replay import ReplayKey, ReplayReport
from controller.reconciler.apply import Applier
from controller.reconciler.reconciler import Reconciler
from tests.builders import audit_records, deployment, revision
from tests.reconciler.fakes import Rig
from tests.waiting import HANGS, until

NEW = PackageRef("screw", "1.1.0")
KEY = ReplayKey("line", NEW, "sha256:x", "2026-01-01T00:00:00Z", 0)
OBJECT = ObjectRef("replay", "line")
REPLAY = Replay(KEY, ("A01", "A02"), 500, None, "step 1 of the rollout to screw@1.1.0")
REVISION = revision(deployment("line", "1.1.0", "A01", "A02", health={"memory": {"max": "1GiB"}}))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    rig.packages.install(rig.packages.add_zip("screw", "1.1.0"))
    return rig


@pytest.fixture
def reconciler(rig: Rig) -> Reconciler:
    return rig.restart()


@pytest.fixture
def applier(reconciler: Reconciler) -> Applier:
    return reconciler.applier


async def test_it_is_begun_once_holds_up_nothing_and_its_end_is_a_result(rig: Rig, applier: Applier) -> None:
    start = Preheat(ProcessKey("line", "screw", "1.1.0"), "it serves")

    applier.launch(Plan((REPLAY,)), REVISION)
    await until(lambda: rig.replays.begun == [REPLAY])
    applier.launch(Plan((REPLAY, start)), REVISION)
    results = await applier.next_results(HANGS)

    assert [each.action for each in results] == [start], "the replay goes on, and what is beside it is done"
    assert rig.replays.begun == [REPLAY]
    assert applier.only_replays

    rig.replays.tell(ReplayReport(KEY, 500, done=True))
    results = await applier.next_results(HANGS)

    assert [(each.action, each.error) for each in results] == [(REPLAY, None)]
    assert [each["outcome"] for each in audit_records(rig.store.audit) if each["action"] == "replay"] == [
        "started", "succeeded",
    ]  # fmt: skip


async def test_it_is_ended_when_no_plan_has_it_any_more_and_reports_go_with_their_deployments(
    rig: Rig, applier: Applier
) -> None:
    applier.launch(Plan((REPLAY,)), REVISION)
    await until(lambda: rig.replays.begun == [REPLAY])

    applier.launch(Plan(), REVISION)
    await applier.next_results(HANGS)

    assert rig.replays.ended == [KEY]
    assert rig.replays.reports().keys() == {"line"}

    applier.launch(Plan(), revision())

    assert rig.replays.reports() == {}


async def test_a_controller_that_ends_does_not_wait_for_it(rig: Rig, applier: Applier) -> None:
    applier.launch(Plan((REPLAY,)), REVISION)
    await until(lambda: rig.replays.begun == [REPLAY])

    await asyncio.wait_for(applier.finish(patience=HANGS), HANGS)

    assert rig.replays.ended == [KEY]
    assert rig.replays.reports().keys() == {"line"}, "the next controller goes on with it"


async def test_what_it_has_come_to_is_observed(rig: Rig, reconciler: Reconciler) -> None:
    rig.replays.told["line"] = report = ReplayReport(KEY, 500)

    observed = await reconciler.observer.observe(REVISION, {})

    assert observed.replays == {"line": report}


async def test_one_that_cannot_go_on_backs_off(
    rig: Rig, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StoreError("cannot read recordings/index.sqlite: it is damaged")

    monkeypatch.setattr(rig.replays, "run", refuse)
    reconciler.applier.launch(Plan((REPLAY,)), REVISION)
    await reconciler.wait_for_results(HANGS)

    failure = reconciler.backoff.failures[OBJECT]
    assert (failure.message, failure.blameless) == ("cannot read recordings/index.sqlite: it is damaged", True)
    assert reconciler.backoff.rests(REPLAY)
    assert failure.object.belongs_to("line")


async def test_where_nothing_can_show_pictures_it_fails_with_words(rig: Rig, applier: Applier) -> None:
    applier.replays = None

    applier.launch(Plan((REPLAY,)), REVISION)
    (result,) = await applier.next_results(HANGS)

    assert str(result.error) == "no pictures can be shown for line here"
