"""What the status says of a rollout's versions, and over which time it counts the calls of a PID."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.errors import StartFailed
from controller.model.observed import Observed, RecentCalls
from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.status import DeploymentStatus, PidHealth
from controller.model.tally import Tally
from controller.planning.plan import plan
from controller.reconciler.report import report
from controller.reconciler.revisions import Desired
from tests.builders import deployment, revision, sketch
from tests.planning.test_plan import CONVERGED, NOW, OLD
from tests.planning.test_plan import deployment as document
from tests.planning.test_plan import revision as tree
from tests.reconciler.fakes import Rig

V1 = revision(deployment("line", "1.0.0", "A01", "A02"))
V2 = revision(deployment("line", "1.1.0", "A01", "A02", rollbackWindow="10m"), id_="r2")
CANARY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
    return rig


def versions(status: DeploymentStatus) -> tuple[str | None, str | None, str | None]:
    return status.stable_version, status.rollback_to, status.rollback_until


async def test_the_promoted_version_is_stable_at_once_and_what_a_failure_goes_back_to_is_said(
    rig: Rig,
) -> None:
    [first] = (await rig.reconcile(V1)).status.deployments
    [promoted] = (await rig.reconcile(V2)).status.deployments
    rig.seconds += 600
    [completed] = (await rig.reconcile(V2)).status.deployments

    assert versions(first) == ("1.0.0", None, None)
    assert versions(promoted) == ("1.1.0", "1.0.0", "1970-01-01T00:10:02.000000Z")
    assert versions(completed) == ("1.1.0", None, None)


async def test_until_it_is_promoted_the_old_version_is_stable(rig: Rig) -> None:
    await rig.reconcile(V1)
    canary = revision(deployment("line", "1.1.0", "A01", "A02", strategy=CANARY), id_="r2")

    [status] = (await rig.reconcile(canary)).status.deployments

    assert versions(status) == ("1.0.0", None, None)


async def test_what_the_smoke_call_came_to_is_said_while_a_version_is_rolled_out(rig: Rig) -> None:
    await rig.reconcile(V1)
    canary = revision(deployment("line", "1.1.0", "A01", "A02", strategy=CANARY), id_="r2")
    await rig.reconcile(canary)
    doubt = "its smoke call on a generated picture failed: threshold table has no entry"
    for key, process in rig.processes.running.items():
        if key.version == "1.1.0":
            rig.processes.running[key] = replace(process, doubt=doubt)

    [status] = (await rig.reconcile(canary)).status.deployments

    assert status.phase == "Paused"
    assert status.message.endswith(f"; {doubt}")


async def test_where_a_failure_reverts_nothing_no_way_back_is_promised(rig: Rig) -> None:
    await rig.reconcile(V1)
    kept = revision(deployment("line", "1.1.0", "A01", "A02", strategy={"autoRevert": False}), id_="r2")

    [status] = (await rig.reconcile(kept)).status.deployments

    assert versions(status) == ("1.1.0", None, None)


async def test_a_version_is_proven_by_a_call_that_it_answered_and_not_by_its_promotion(rig: Rig) -> None:
    [promoted] = (await rig.reconcile(V1)).status.deployments
    rig.calls("A01", "1.0.0", Tally(3, errors=2, timeouts=1))
    [failing] = (await rig.reconcile(V1)).status.deployments
    rig.calls("A01", "1.0.0", Tally(4, errors=2, timeouts=1, verdicts_ng=1))
    [answered] = (await rig.reconcile(V1)).status.deployments
    rig.calls("A01", "1.0.0", Tally())
    [forgotten] = (await rig.reconcile(V1)).status.deployments
    [another] = (await rig.reconcile(V2)).status.deployments

    assert [each.proven for each in (promoted, failing, answered, forgotten, another)] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert promoted.message.endswith("unproven: screw@1.0.0 has not answered a call yet")
    assert answered.message == "screw@1.0.0 serves its PIDs"
    assert "unproven: screw@1.1.0" in another.message


async def test_the_evidence_has_a_row_for_each_metric_and_how_far_it_is_on_the_way_to_a_rollback(rig: Rig) -> None:
    await rig.reconcile(V1)
    strategy = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
    canary = revision(deployment("line", "1.1.0", "A01", "A02", strategy=strategy), id_="r2")
    await rig.reconcile(canary)
    rig.calls("A01", "1.1.0", Tally(20, errors=3, verdicts_ok=17))

    [status] = (await rig.reconcile(canary)).status.deployments
    rig.calls("A01", "1.1.0", Tally(25, errors=8, verdicts_ok=17))
    [failed] = (await rig.reconcile(canary)).status.deployments

    rows = {each.metric: each for each in status.evidence}
    assert set(rows) == {"errorRate", "timeoutRate", "samples"}
    assert (rows["errorRate"].value, rows["errorRate"].limit, rows["errorRate"].samples) == (3 / 20, 0.05, 20)
    assert 0 < rows["errorRate"].progress < 1
    assert (rows["timeoutRate"].value, rows["timeoutRate"].progress) == (0.0, 0.0)
    assert {each.metric: each.progress for each in failed.evidence}["errorRate"] == 1.0
    assert failed.last_words_of in {None, "screw@1.1.0"}


async def test_the_last_words_are_of_the_version_that_failed_whatever_is_wanted_now(rig: Rig) -> None:
    await rig.reconcile(V1)
    rig.processes.failing[PackageRef("screw", "1.1.0")] = StartFailed("no camera")
    log = rig.store.layout.process_log("line", "1.1.0", 0)
    log.parent.mkdir(parents=True)
    log.write_text("cam-7 is not there\n")
    await rig.reconcile(V2)

    [status] = (await rig.reconcile(revision(deployment("line", "9.9.9", "A01", "A02"), id_="r3"))).status.deployments

    assert status.target_version == "9.9.9"
    assert (status.last_words, status.last_words_of) == (("cam-7 is not there",), "screw@1.1.0")


async def test_an_idle_pass_does_not_move_the_end_of_the_window(rig: Rig) -> None:
    await rig.reconcile(V1)
    [promoted] = (await rig.reconcile(V2)).status.deployments
    rig.seconds += 100

    [later] = (await rig.reconcile(V2)).status.deployments

    assert later.rollback_until == promoted.rollback_until


def health(windows: dict[float, Tally], **limits: object) -> PidHealth:
    wanted = tree(document(health=limits))
    recent = RecentCalls({window: {("A01", OLD): calls} for window, calls in windows.items()})
    observed: Observed = replace(CONVERGED, recent=recent)
    status = report(Desired(wanted), observed, plan(wanted, observed, NOW), None, Instant("boot", 0.0))
    return next(each.health for each in status.pids if each.pid == "A01")


def answered(calls: int, errors: int = 0, timeouts: int = 0, *, latencies: Iterable[float] = ()) -> Tally:
    return Tally(calls, errors, timeouts, calls - errors - timeouts, latency=sketch(latencies))


def test_each_rate_of_a_pid_is_counted_over_the_window_of_its_own_limit() -> None:
    windows = {
        60.0: answered(10, 5, 0, latencies=[0.1] * 10),
        120.0: answered(20, 0, 10, latencies=[0.2] * 10),
        600.0: answered(100, 0, 0, latencies=[0.4] * 100),
    }
    found = health(
        windows,
        errorRate={"window": "1m"},
        timeoutRate={"window": "2m"},
        latencyP95={"max": "1s", "window": "10m"},
    )

    assert (found.samples, found.error_rate, found.timeout_rate) == (10, 0.5, 0.5)
    assert found.latency_p95_ms == pytest.approx(400, rel=0.03)


def test_without_a_latency_limit_latencies_are_those_of_the_errors_window() -> None:
    found = health({60.0: answered(10, latencies=[0.1] * 10), 300.0: answered(0)}, errorRate={"window": "1m"})

    assert found.latency_p50_ms == pytest.approx(100, rel=0.03)
    assert found.timeout_rate is None


async def test_the_windows_in_force_are_those_that_are_observed(tmp_path: Path) -> None:
    from controller.reconciler.observe import Observer
    from controller.store.tally_store import SHARE, TallyStore

    rig = Rig(tmp_path / "store")
    tallies, screw = TallyStore(rig.store.layout), PackageRef("screw", "1.0.0")
    observer = Observer(rig.store, rig.packages, rig.processes.observe, tallies)
    wanted = revision(deployment("line", "1.0.0", "A01", health={"errorRate": {"window": "30s"}}))
    await observer.observe(wanted, {})
    for second in range(0, 400, 5):
        tallies.note({("A01", screw): answered(second)}, {}, Instant("boot", float(second)))

    recent = (await observer.observe(wanted, {})).recent

    assert recent.over(30.0)["A01", screw].calls == 30
    assert 300 <= recent.over(300.0)["A01", screw].calls <= 300 * (1 + SHARE)
    assert set(recent.by_window) == {30.0, 300.0}
