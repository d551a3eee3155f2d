"""What operators decide by hand, over a real store: written down, on record, and acted on by the next pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.errors import CodedError
from controller.reconciler.exits import Exit
from controller.station.commands.operating import Abort, Pause, Promote, Resume, Retry, Rollback
from controller.station.operator import Operator
from controller.station.port import Caller
from tests.reconciler.fakes import FakeStation, deployment, revision

CANARY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "analysis": {"onInconclusive": "promote"}}}


def at(version: str) -> Any:
    return revision(deployment("line", version, "A01", "A02", strategy=CANARY), id_=version)


@pytest.fixture
def station(tmp_path: Path) -> FakeStation:
    station = FakeStation(tmp_path / "store")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        station.packages.add_zip("screw", version)
    return station


COMMANDS = {"promote": Promote, "pause": Pause, "abort": Abort, "retry": Retry, "resume": Resume, "rollback": Rollback}


def operate(station: FakeStation, verb: str, subject: str = "line", **arguments: Any) -> str:
    operator = Operator(station.store, station.packages, station.restart().clock)
    return operator.execute(COMMANDS[verb](subject, **arguments), Caller("mia")).message


async def half_way(station: FakeStation) -> None:
    """Bring the station to 1.1.0 on A01, waiting for `promote`."""
    await station.reconcile(at("1.0.0"))
    outcome = await station.reconcile(at("1.1.0"))
    assert outcome.exit == Exit.progressing
    assert station.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0"}


async def test_promote_ends_the_pause(station: FakeStation) -> None:
    await half_way(station)

    operate(station, "promote")
    outcome = await station.reconcile(at("1.1.0"))

    assert outcome.exit == Exit.done
    assert set(station.active().values()) == {"screw@1.1.0"}


async def test_abort_takes_back_and_quarantines_until_retry(station: FakeStation) -> None:
    await half_way(station)

    operate(station, "abort", reason="false alarms")
    outcome = await station.reconcile(at("1.1.0"))
    assert outcome.exit == Exit.degraded
    assert set(station.active().values()) == {"screw@1.0.0"}
    [line] = outcome.status.deployments
    assert line.quarantined == ("screw@1.1.0",)
    assert "false alarms" in line.message
    assert 'version: "1.0.0"' in line.patch
    assert station.store.layout.patch.read_text() == line.patch

    again = await station.reconcile(at("1.1.0"))
    assert again.results == ()

    operate(station, "retry")
    await station.reconcile(at("1.1.0"))
    assert station.active()["A01"] == "screw@1.1.0"
    assert not station.store.layout.patch.exists()


async def test_pause_and_resume(station: FakeStation) -> None:
    await half_way(station)
    operate(station, "pause")
    assert "paused by mia" in (await station.reconcile(at("1.1.0"))).status.deployments[0].message

    operate(station, "resume")
    assert "promote" in (await station.reconcile(at("1.1.0"))).status.deployments[0].message


async def test_a_held_pid_outranks_git_until_it_is_resumed(station: FakeStation) -> None:
    await station.reconcile(at("1.0.0"))
    await half_way(station)
    operate(station, "promote", full=True)
    await station.reconcile(at("1.1.0"))

    said = operate(station, "rollback", "A02", reason="scrap")
    outcome = await station.reconcile(at("1.1.0"))

    assert "screw@1.0.0" in said
    assert station.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0"}
    assert outcome.exit == Exit.done, "a hold is not a difference to be reconciled"
    assert next(pid for pid in outcome.status.pids if pid.pid == "A02").held
    assert station.store.history.read("A02")[-1].reason == "held by mia: scrap"

    operate(station, "resume", "A02")
    await station.reconcile(at("1.1.0"))
    operate_again = await station.reconcile(at("1.1.0"))
    assert operate_again.status.pids[1].held is False


async def test_a_rollback_of_a_deployment_ends_its_rollout(station: FakeStation) -> None:
    await half_way(station)

    operate(station, "rollback", "line", to="1.0.0", reason="line stopped", emergency=True)
    outcome = await station.reconcile(at("1.1.0"))

    assert set(station.active().values()) == {"screw@1.0.0"}
    assert outcome.status.deployments[0].current_step_index is None


@pytest.mark.parametrize(
    ("verb", "subject", "arguments", "said"),
    [
        ("promote", "line", {}, "no rollout of line is under way"),
        ("abort", "line", {}, "no rollout"),
        ("pause", "nothing", {}, "no deployment nothing"),
        ("retry", "line", {}, "not in quarantine"),
        ("resume", "A01", {}, "nothing of A01 is paused or held"),
        ("rollback", "Z99", {"reason": "x"}, "neither a deployment nor a PID"),
        ("rollback", "A01", {"reason": "x"}, "no older version"),
        ("rollback", "A01", {"reason": "x", "to": "9"}, "version 9 was never active there"),
    ],
)
async def test_what_does_not_apply_is_refused_and_put_on_record(
    station: FakeStation, verb: str, subject: str, arguments: dict[str, Any], said: str
) -> None:
    await station.reconcile(at("1.0.0"))

    with pytest.raises(CodedError, match=said):
        operate(station, verb, subject, **arguments)

    *_, last = station.store.audit.read()
    assert (last["actor"], last["action"]) == ("mia", verb)
    assert said in last["outcome"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Resume("A01", "deployment"), "A01 is no deployment"),
        (Rollback("line", "pid", reason="x"), "line is no PID"),
    ],
)
async def test_a_name_is_taken_as_what_it_was_said_to_be(
    station: FakeStation, command: Resume | Rollback, message: str
) -> None:
    await station.reconcile(at("1.0.0"))
    operator = Operator(station.store, station.packages, station.restart().clock)
    with pytest.raises(CodedError, match=message):
        operator.execute(command, Caller("mia"))
