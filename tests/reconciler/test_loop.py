"""The daemon's loop on fakes: it wakes, repairs, backs off, waits for its turn, and survives defects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.errors import Code, CodedError, DesiredStateError, HostError, PackageError, StartFailed, StoreError
from controller.model.desired import PolicySpec
from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.reconciler.loop import Loop
from controller.reconciler.revisions import Desired, take_revision
from tests.builders import deployment, revision
from tests.reconciler.fakes import FakeSource, Rig
from tests.waiting import HANGS, until

V1 = PackageRef("screw", "1.0.0")
V2 = PackageRef("screw", "1.1.0")
OTHER = PackageRef("other", "1.0.0")
KEY = ProcessKey("line", "screw", "1.0.0", 0)


class Daemon:
    """A loop over a rig whose desired state is set by hand."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.source = FakeSource(revision(deployment("line", "1.0.0", "A01", "A02")))
        self.loop = Loop(rig.restart(), self._take)

    def _take(self) -> tuple[Desired | None, bool]:
        return take_revision(self.source, self.rig.store), False

    def desire(self, version: str, **spec: Any) -> None:
        self.source.revision = revision(deployment("line", version, "A01", "A02", **spec), id_=version)
        self.loop.wake()

    def die(self, why: str = "killed by signal 9") -> None:
        """End the process, as the data plane would tell it."""
        self.rig.processes.running.pop(KEY, None)
        self.loop.process_ended(KEY, why)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
    return rig


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Daemon]:
    daemon = Daemon(rig)
    task = asyncio.create_task(daemon.loop.run())
    try:
        await daemon.loop.wait_idle(HANGS)
        yield daemon
    finally:
        daemon.loop.stop()
        await asyncio.wait_for(task, HANGS)


async def test_it_converges_follows_edits_and_stops(rig: Rig) -> None:
    async with running(rig) as daemon:
        assert set(rig.active().values()) == {"screw@1.0.0"}
        daemon.desire("1.1.0")
        await until(lambda: set(rig.active().values()) == {"screw@1.1.0"})

    assert daemon.loop.finished.is_set()
    assert rig.processes.running, "stopping the daemon leaves the processes running"


async def test_a_process_that_ends_is_restarted_at_once_the_first_time_and_then_ever_later(
    rig: Rig,
) -> None:
    async with running(rig) as daemon:
        daemon.die()
        await until(lambda: len(rig.processes.started) == 2)
        await daemon.loop.wait_idle(HANGS)

        daemon.die()
        await daemon.loop.wait_idle(HANGS)
        assert len(rig.processes.started) == 2
        assert daemon.loop.outcome is not None
        assert [str(wait.object) for wait in daemon.loop.outcome.plan.waiting] == [f"process/{KEY}"]

        rig.seconds += 10
        daemon.loop.wake()
        await until(lambda: len(rig.processes.started) == 3)


async def test_too_many_crashes_open_the_breaker_and_starts_are_bounded(rig: Rig) -> None:
    async with running(rig) as daemon:
        daemon.desire("1.0.0", health={"restarts": {"max": 2, "window": "1h"}})
        await daemon.loop.wait_idle(HANGS)
        for _ in range(20):
            rig.seconds += 100
            if KEY in rig.processes.running:
                daemon.die("exit status 3")
            await daemon.loop.wait_idle(HANGS)

        assert daemon.loop.outcome is not None
        [line] = daemon.loop.outcome.status.deployments
        assert line.phase == "Degraded"
        assert "breaker" in line.message
        assert "exit status 3" in line.message
        assert len(rig.processes.started) < 12


NO_ROOM = HostError("ProcessLimit", "cannot start it: resource temporarily unavailable")


async def test_a_promoted_version_that_crashes_while_the_host_cannot_fork_is_started_again_when_it_can(
    rig: Rig,
) -> None:
    new = replace(KEY, version="1.1.0")
    async with running(rig) as daemon:
        daemon.desire("1.1.0")
        await until(lambda: set(rig.active().values()) == {"screw@1.1.0"})
        await daemon.loop.wait_idle(HANGS)
        rig.processes.failing[new.ref] = NO_ROOM
        rig.processes.running.pop(new)
        daemon.loop.process_ended(new, "killed by signal 11")
        for _ in range(8):
            await daemon.loop.wait_idle(HANGS)
            rig.seconds += 12  # more than the longest wait between two attempts

        outcome = daemon.loop.outcome
        assert outcome is not None
        [line], before = outcome.status.deployments, len(rig.processes.started)
        assert (line.phase, line.quarantined) == ("Degraded", ())
        assert "resource temporarily unavailable" in line.message
        [refused] = [each for each in outcome.status.host.conditions if each.type == "HostRefuses"]
        assert (refused.status, refused.reason) == (True, "ProcessLimit")
        assert set(rig.active().values()) == {"screw@1.1.0"}
        assert before <= 12

        del rig.processes.failing[new.ref]
        await until(lambda: daemon.loop.wake() or new in rig.processes.running)
        await daemon.loop.wait_idle(HANGS)
        outcome = daemon.loop.outcome
        assert outcome is not None
        assert outcome.status.deployments[0].phase == "Healthy"
        assert [each.status for each in outcome.status.host.conditions if each.type == "HostRefuses"] == [False]


async def test_a_rollout_stands_still_while_the_host_refuses_its_processes_and_goes_on_after(rig: Rig) -> None:
    async with running(rig) as daemon:
        rig.processes.failing[replace(KEY, version="1.1.0").ref] = NO_ROOM
        daemon.desire("1.1.0", strategy={"progressDeadline": "1m"})
        for _ in range(10):
            await daemon.loop.wait_idle(HANGS)
            rig.seconds += 30  # five times the deadline in all

        outcome = daemon.loop.outcome
        assert outcome is not None
        assert outcome.status.deployments[0].quarantined == ()
        assert outcome.plan.records["line"].rollout is not None
        assert outcome.plan.records["line"].rollout.state == "stepping"
        rig.processes.failing.clear()
        await until(lambda: daemon.loop.wake() or set(rig.active().values()) == {"screw@1.1.0"})


async def test_a_failing_start_does_not_stop_the_other_deployment(rig: Rig) -> None:
    rig.packages.add_zip("other", "1.0.0")
    rig.processes.failing[V1] = StartFailed("no camera")
    daemon = Daemon(rig)
    daemon.source.revision = revision(
        deployment("line", "1.0.0", "A01"), deployment("b", "1.0.0", "A02", package="other")
    )
    task = asyncio.create_task(daemon.loop.run())

    await until(lambda: rig.active() == {"A02": "other@1.0.0"})

    daemon.loop.stop()
    await asyncio.wait_for(task, HANGS)


async def test_a_policy_with_other_interpreters_is_a_reason_to_try_at_once_what_found_none(
    rig: Rig,
) -> None:
    """However long the back-off has become: no time passes here."""
    rig.packages.failing = {
        V2: PackageError(Code.incompatible_python, "no interpreter here fits"),
        OTHER: PackageError(Code.install_failed, "the algorithm raised"),
    }
    rig.packages.add_zip(OTHER.name, OTHER.version)
    async with running(rig) as daemon:
        wanted = revision(deployment("line", "1.1.0", "A01"), deployment("other", "1.0.0", "A03", package="other"))
        daemon.source.revision = wanted
        await daemon.loop.wait_idle(HANGS)
        for policy in ({"allowUndeclaredPids": True}, {"pythons": ["/opt/python3.10"]}):
            assert rig.active()["A01"] == "screw@1.0.0"
            rig.packages.failing.pop(V2, None)
            edited = {"policy": PolicySpec.model_validate(policy), "id": str(policy)}
            daemon.source.revision = wanted.model_copy(update=edited)
            await daemon.loop.wait_idle(HANGS)
        assert rig.active()["A01"] == "screw@1.1.0"
        assert daemon.loop.outcome is not None
        assert [str(wait.object) for wait in daemon.loop.outcome.plan.waiting] == [f"package/{OTHER}"]


async def raising(error: BaseException) -> None:
    raise error


async def answering(value: int) -> int:
    return value


@pytest.mark.parametrize("error", [CodedError(Code.invalid_params, "no"), KeyError("x"), OSError(28, "disk full")])
async def test_work_between_passes_has_its_error_whatever_it_is_and_holds_up_nobody_elses(
    rig: Rig, error: Exception
) -> None:
    async with running(rig) as daemon:
        first = asyncio.create_task(daemon.loop.between_passes(lambda: raising(error)))
        second = asyncio.create_task(daemon.loop.between_passes(lambda: answering(42)))
        with pytest.raises(type(error)):
            await asyncio.wait_for(first, HANGS)
        assert await asyncio.wait_for(second, HANGS) == 42
        daemon.desire("1.1.0")
        await until(lambda: set(rig.active().values()) == {"screw@1.1.0"})


async def test_nobody_waits_for_a_loop_that_was_cancelled(rig: Rig) -> None:
    daemon, hold = Daemon(rig), asyncio.Event()
    run = asyncio.create_task(daemon.loop.run())
    asked = [asyncio.create_task(daemon.loop.between_passes(hold.wait)) for _ in range(2)]
    await until(lambda: daemon.loop.outcome is not None)

    run.cancel()

    ended = await asyncio.wait_for(asyncio.gather(run, *asked, return_exceptions=True), HANGS)
    assert [type(each) for each in ended] == [asyncio.CancelledError, CodedError, CodedError]
    assert daemon.loop.finished.is_set()
    with pytest.raises(CodedError, match="is stopping"):
        await daemon.loop.wait_idle(600)


async def test_who_asks_a_loop_that_ends_is_told_and_does_not_wait(rig: Rig) -> None:
    async with running(rig) as daemon:
        daemon.loop.stop()
        asked = asyncio.create_task(daemon.loop.between_passes(lambda: answering(42)))
        await asyncio.wait_for(daemon.loop.finished.wait(), HANGS)
        late = asyncio.create_task(daemon.loop.between_passes(lambda: answering(42)))
        for each in (asked, late):
            with pytest.raises(CodedError, match="stopping; nothing was done"):
                await asyncio.wait_for(each, HANGS)


async def test_an_invalid_revision_leaves_everything_serving_and_is_told_with_its_place(rig: Rig) -> None:
    async with running(rig) as daemon:
        daemon.source.revision = DesiredStateError(("desired/a.yaml:3:1: bad",))
        outcome = await daemon.loop.wait_idle(HANGS)

        assert outcome.status.revision.errors == ("desired/a.yaml:3:1: bad",)
        assert set(rig.active().values()) == {"screw@1.0.0"}
        assert len(rig.processes.running) == 1


async def test_without_any_valid_revision_the_status_says_why_and_nothing_is_touched(rig: Rig) -> None:
    daemon = Daemon(rig)
    daemon.source.revision = DesiredStateError(("desired/a.yaml:3:1: bad",))
    task = asyncio.create_task(daemon.loop.run())

    await until(lambda: rig.store.status.read() is not None)
    document = rig.store.status.read()
    assert document is not None
    assert document["revision"]["errors"] == ["desired/a.yaml:3:1: bad"]
    with pytest.raises(DesiredStateError, match=r"a\.yaml:3:1"):
        await daemon.loop.wait_idle(HANGS)

    daemon.loop.stop()
    await asyncio.wait_for(task, HANGS)


async def test_a_store_that_fails_for_a_while_and_a_defect_do_not_end_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(rig) as daemon:
        observe, failures = daemon.loop.reconciler.observe, [StoreError("disk full"), ZeroDivisionError("a defect")]

        async def failing(*arguments: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return await observe(*arguments, **options)

        monkeypatch.setattr(type(daemon.loop.reconciler), "observe", lambda self, *a, **o: failing(*a, **o))
        daemon.desire("1.1.0")
        for _ in range(3):
            daemon.loop.wake()
            await asyncio.sleep(0.05)
        await until(lambda: set(rig.active().values()) == {"screw@1.1.0"})

    assert failures == []


async def test_an_action_that_does_not_end_holds_up_the_end_of_the_daemon_only_for_a_while(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.reconciler.loop.PATIENCE", 0.05)
    hanging, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(spec: object) -> None:
        hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr(rig.processes, "start", hang)
    daemon = Daemon(rig)
    task = asyncio.create_task(daemon.loop.run())
    await asyncio.wait_for(hanging.wait(), HANGS)

    daemon.loop.stop()
    await asyncio.wait_for(task, HANGS)

    assert cancelled.is_set()
