"""What operators decide by hand, over a real store: written down, on record, and acted on by the next pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.errors import CodedError
from controller.reconciler.exits import Exit
from controller.station.commands.operator import Abort, Pause, Promote, Resume, Retry, Rollback
from controller.station.operator import Operator
from controller.station.port import Caller
from tests.builders import deployment, revision
from tests.reconciler.fakes import Rig

CANARY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "analysis": {"onInconclusive": "promote"}}}


def at(version: str) -> Any:
    return revision(deployment("line", version, "A01", "A02", strategy=CANARY), id_=version)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        rig.packages.add_zip("screw", version)
    return rig


COMMANDS = {"promote": Promote, "pause": Pause, "abort": Abort, "retry": Retry, "resume": Resume, "rollback": Rollback}


def operate(rig: Rig, verb: str, subject: str = "line", **arguments: Any) -> str:
    operator = Operator(rig.store, rig.packages, rig.restart().clock)
    return operator.execute(COMMANDS[verb](subject, **arguments), Caller("mia")).message


async def half_way(rig: Rig) -> None:
    """Bring the station to 1.1.0 on A01, waiting for `promote`."""
    await rig.reconcile(at("1.0.0"))
    outcome = await rig.reconcile(at("1.1.0"))
    assert outcome.exit == Exit.progressing
    assert rig.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0"}


async def test_promote_ends_the_pause(rig: Rig) -> None:
    await half_way(rig)

    operate(rig, "promote")
    outcome = await rig.reconcile(at("1.1.0"))

    assert outcome.exit == Exit.done
    assert set(rig.active().values()) == {"screw@1.1.0"}


async def test_abort_takes_back_and_quarantines_until_retry(rig: Rig) -> None:
    await half_way(rig)

    operate(rig, "abort", reason="false alarms")
    outcome = await rig.reconcile(at("1.1.0"))
    assert outcome.exit == Exit.degraded
    assert set(rig.active().values()) == {"screw@1.0.0"}
    [line] = outcome.status.deployments
    assert line.quarantined == ("screw@1.1.0",)
    assert "false alarms" in line.message
    assert 'version: "1.0.0"' in line.patch
    assert rig.store.layout.patch.read_text() == line.patch

    acts = rig.store.audit.head()
    await rig.reconcile(at("1.1.0"))
    assert rig.store.audit.head() == acts

    operate(rig, "retry")
    await rig.reconcile(at("1.1.0"))
    assert rig.active()["A01"] == "screw@1.1.0"
    assert not rig.store.layout.patch.exists()


async def test_pause_and_resume(rig: Rig) -> None:
    await half_way(rig)
    operate(rig, "pause")
    assert "paused by mia" in (await rig.reconcile(at("1.1.0"))).status.deployments[0].message

    operate(rig, "resume")
    assert "promote" in (await rig.reconcile(at("1.1.0"))).status.deployments[0].message


async def test_a_held_pid_outranks_git_until_it_is_resumed(rig: Rig) -> None:
    await rig.reconcile(at("1.0.0"))
    await half_way(rig)
    operate(rig, "promote", full=True)
    await rig.reconcile(at("1.1.0"))

    said = operate(rig, "rollback", "A02", reason="scrap")
    outcome = await rig.reconcile(at("1.1.0"))

    assert "screw@1.0.0" in said
    assert rig.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0"}
    assert outcome.exit == Exit.done, "a hold is not a difference to be reconciled"
    assert next(pid for pid in outcome.status.pids if pid.pid == "A02").held
    assert rig.store.history.read("A02")[-1].reason == "held by mia: scrap"

    operate(rig, "resume", "A02")
    await rig.reconcile(at("1.1.0"))
    operate_again = await rig.reconcile(at("1.1.0"))
    assert operate_again.status.pids[1].held is False


async def test_a_rollback_of_a_deployment_ends_its_rollout(rig: Rig) -> None:
    await half_way(rig)

    operate(rig, "rollback", "line", to="1.0.0", reason="line stopped", emergency=True)
    outcome = await rig.reconcile(at("1.1.0"))

    assert set(rig.active().values()) == {"screw@1.0.0"}
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
    rig: Rig, verb: str, subject: str, arguments: dict[str, Any], said: str
) -> None:
    await rig.reconcile(at("1.0.0"))

    with pytest.raises(CodedError, match=said):
        operate(rig, verb, subject, **arguments)

    *_, last = rig.store.audit.read()
    assert (last["actor"], last["action"]) == ("mia", verb)
    assert said in last["outcome"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Resume("nobody"), "nobody is neither a deployment nor a PID"),
        (Rollback("line", "pid", reason="x"), "line is no PID"),
    ],
)
async def test_a_name_is_taken_as_what_it_was_said_to_be(rig: Rig, command: Resume | Rollback, message: str) -> None:
    await rig.reconcile(at("1.0.0"))
    operator = Operator(rig.store, rig.packages, rig.restart().clock)
    with pytest.raises(CodedError, match=message):
        operator.execute(command, Caller("mia"))
