"""What operators decide by hand, over a real store: written down, on record, and acted on by the next pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.errors import Code, CodedError
from controller.model.package import PackageRef
from controller.model.rollout import Instant, RolloutRecord
from controller.model.tally import Tally
from controller.reconciler.exits import Exit
from controller.rollouts.machine import begin
from controller.station.commands.operator import Abort, Pause, Promote, Resume, Retry, Rollback
from controller.station.operator import Operator
from controller.station.port import Caller
from tests.builders import audit_records, deployment, revision
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


async def test_promote_passes_a_shadow_and_the_audit_says_why(rig: Rig) -> None:
    shadowed = {"canary": {"steps": [{"shadow": {"duration": "1h"}}, {"setWeight": 50}, {"pause": {}}]}}
    wanted = revision(deployment("line", "1.1.0", "A01", "A02", strategy=shadowed), id_="1.1.0")
    await rig.reconcile(at("1.0.0"))
    outcome = await rig.reconcile(wanted)
    assert (outcome.exit, set(rig.active().values())) == (Exit.progressing, {"screw@1.0.0"})

    said = operate(rig, "promote", reason="looked at by hand")
    await rig.reconcile(wanted)

    assert said == "line: the rollout of screw@1.1.0 passes shadow 100 % for 1h"
    assert rig.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0"}
    [record] = [
        each for each in audit_records(rig.store.audit) if each["action"] == "promote" and each["outcome"] != "started"
    ]
    assert (record["actor"], record["reason"], record["outcome"]) == ("mia", "looked at by hand", "succeeded")


async def test_retry_in_a_replay_begins_it_anew_and_nowhere_else(rig: Rig) -> None:
    replayed = {"canary": {"steps": [{"replay": {"last": 50}}, {"setWeight": 50}, {"pause": {}}]}}
    wanted = revision(deployment("line", "1.1.0", "A01", "A02", strategy=replayed), id_="1.1.0")
    await rig.reconcile(at("1.0.0"))
    rig.store.revision.write(wanted)
    stable = dict.fromkeys(("A01", "A02"), PackageRef("screw", "1.0.0"))
    begun = begin(wanted.deployments[0], "sha256:x", stable, Instant("boot", 0.0), "2026-01-01T00:00:00Z")
    rig.store.rollouts.write("line", RolloutRecord(begun))

    said = operate(rig, "retry", reason="200 more were imported")

    assert said == "line: replay of the last 50 begins anew, with what is recorded by now"
    rollout = rig.store.rollouts.record("line").rollout
    assert rollout is not None
    assert (rollout.state, rollout.analysis.replayed_again) == ("replaying", 1)
    assert set(rig.active().values()) == {"screw@1.0.0"}
    operate(rig, "promote")
    with pytest.raises(CodedError, match="neither in quarantine nor in a replay"):
        operate(rig, "retry")


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
    assert rig.store.history.read("A02")[-1].reason == "no longer held: deployment line wants screw@1.1.0"


async def test_a_hold_on_a_pid_that_no_deployment_has_any_more_can_be_ended(rig: Rig) -> None:
    await half_way(rig)
    operate(rig, "rollback", "A01", reason="scrap")
    await rig.reconcile(revision(deployment("line", "1.1.0", "A02"), id_="without A01"))
    assert set(rig.active()) == {"A02"}

    operate(rig, "resume", "A01", kind="pid")
    assert rig.store.rollouts.read_holds() == {}
    with pytest.raises(CodedError, match="A01 is no PID of the desired state"):
        operate(rig, "resume", "A01", kind="pid")


async def test_a_rollback_of_a_deployment_ends_its_rollout(rig: Rig) -> None:
    await half_way(rig)

    operate(rig, "rollback", "line", to="1.0.0", reason="line stopped", emergency=True)
    outcome = await rig.reconcile(at("1.1.0"))

    assert set(rig.active().values()) == {"screw@1.0.0"}
    assert outcome.status.deployments[0].current_step_index is None


def tree(version: str, *pids: str, **spec: Any) -> Any:
    return revision(deployment("line", version, *pids, **spec), id_=version)


async def everywhere(rig: Rig, *versions: str, pids: tuple[str, ...] = ("A01", "A02", "A03"), **spec: Any) -> None:
    """Bring all PIDs to one version after the other."""
    for version in versions:
        await rig.reconcile(tree(version, *pids, **spec))
    assert set(rig.active().values()) == {f"screw@{versions[-1]}"}


@pytest.mark.parametrize("arguments", [{}, {"to": "1.0.0"}, {"emergency": True}])
async def test_a_pinned_pid_moves_only_by_its_pin(rig: Rig, arguments: dict[str, Any]) -> None:
    pids = ("A01", "A02", "A03")
    await everywhere(rig, "1.0.0", "1.1.0")
    pinned = tree("1.1.0", *pids, pinned={"A03": "1.0.0"})
    await rig.reconcile(pinned)
    assert rig.active()["A03"] == "screw@1.0.0"

    said = operate(rig, "rollback", "line", reason="scrap", **arguments)
    with pytest.raises(CodedError, match=r"A03 is pinned to 1\.0\.0.*; change spec\.pinned of deployment line"):
        operate(rig, "rollback", "A03", reason="scrap", **arguments)
    outcome = await rig.reconcile(pinned)

    assert rig.active() == dict.fromkeys(pids, "screw@1.0.0")
    assert "A01 → screw@1.0.0, A02 → screw@1.0.0, A03 stays: pinned to 1.0.0" in said
    assert [pid.pid for pid in outcome.status.pids if pid.held] == ["A01", "A02"]
    assert len(rig.store.history.read("A03")) == 3


async def test_in_a_canary_only_the_pids_on_the_new_version_go_back(rig: Rig) -> None:
    """The others have an older version too, but it is not theirs to leave."""
    await everywhere(rig, "1.0.0", "1.1.0", pids=("A01", "A02"))
    await rig.reconcile(at("1.2.0"))
    assert rig.active() == {"A01": "screw@1.2.0", "A02": "screw@1.1.0"}

    said = operate(rig, "rollback", "line", reason="scrap")
    for _ in range(2):
        await rig.reconcile(at("1.2.0"))

    assert said == "held until `pvctl resume line`: A01 → screw@1.1.0, A02 stays on screw@1.1.0"
    assert rig.active() == {"A01": "screw@1.1.0", "A02": "screw@1.1.0"}

    operate(rig, "resume", "line")
    await rig.reconcile(at("1.2.0"))
    assert rig.active() == {"A01": "screw@1.2.0", "A02": "screw@1.1.0"}


async def test_a_held_pid_on_another_version_is_let_alone(rig: Rig) -> None:
    await everywhere(rig, "1.0.0", "1.1.0", "1.2.0")
    operate(rig, "rollback", "A02", to="1.0.0", reason="fits better")
    await rig.reconcile(tree("1.2.0", "A01", "A02", "A03"))

    said = operate(rig, "rollback", "line", reason="scrap")
    await rig.reconcile(tree("1.2.0", "A01", "A02", "A03"))

    assert rig.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0", "A03": "screw@1.1.0"}
    assert "A02 stays: held on screw@1.0.0 by mia" in said
    assert rig.store.rollouts.read_holds()["A02"].reason == "fits better"


async def test_a_second_rollback_of_a_deployment_leaves_what_the_first_one_came_to(rig: Rig) -> None:
    await everywhere(rig, "1.0.0", "1.1.0", "1.2.0")
    operate(rig, "rollback", "line", reason="scrap")
    await rig.reconcile(tree("1.2.0", "A01", "A02", "A03"))

    operate(rig, "rollback", "line", to="1.0.0", reason="still scrap")
    await rig.reconcile(tree("1.2.0", "A01", "A02", "A03"))

    assert set(rig.active().values()) == {"screw@1.0.0"}


async def test_a_pid_that_comes_after_the_rollback_of_its_deployment_gets_what_the_others_were_put_on(
    rig: Rig,
) -> None:
    await everywhere(rig, "1.0.0", "1.1.0", pids=("A01", "A02"))
    operate(rig, "rollback", "line", reason="scrap")

    more = tree("1.1.0", "A01", "A02", "A03")
    await rig.reconcile(more)
    assert rig.active() == dict.fromkeys(("A01", "A02", "A03"), "screw@1.0.0")

    operate(rig, "resume", "A01")
    await rig.reconcile(more)
    assert rig.active() == {"A01": "screw@1.1.0", "A02": "screw@1.0.0", "A03": "screw@1.1.0"}, "A02 is held for itself"


async def test_a_pid_without_a_past_goes_where_the_others_go(rig: Rig) -> None:
    await everywhere(rig, "1.0.0", pids=("A01", "A02"))
    await everywhere(rig, "1.1.0")
    assert [entry.version for entry in rig.store.history.read("A03")] == ["1.1.0"]

    operate(rig, "rollback", "line", reason="scrap")
    await rig.reconcile(tree("1.1.0", "A01", "A02", "A03"))

    assert set(rig.active().values()) == {"screw@1.0.0"}


async def test_nobody_is_rolled_back_to_what_is_in_quarantine_unless_it_is_named(rig: Rig) -> None:
    await everywhere(rig, "1.0.0", "1.1.0")
    operate(rig, "abort", "line", reason="scrap")
    await rig.reconcile(tree("1.1.0", "A01", "A02", "A03"))
    assert set(rig.active().values()) == {"screw@1.0.0"}

    for subject in ("A01", "line"):
        with pytest.raises(
            CodedError, match=r"cannot roll A01 back: its older versions are in quarantine; `--to` takes 1\.1\.0"
        ):
            operate(rig, "rollback", subject, reason="still scrap")
    assert "A01 → screw@1.1.0" in operate(rig, "rollback", "A01", to="1.1.0", reason="to look at it")


async def test_an_operator_goes_back_to_a_version_that_has_answered_calls(rig: Rig) -> None:
    await everywhere(rig, "1.0.0")
    rig.calls("A01", "1.0.0", Tally(2, verdicts_ng=2))
    await everywhere(rig, "1.1.0", "1.2.0")

    operate(rig, "rollback", "A02", reason="scrap")
    operate(rig, "rollback", "line", reason="scrap")
    await rig.reconcile(tree("1.2.0", "A01", "A02", "A03"))

    assert set(rig.active().values()) == {"screw@1.0.0"}


@pytest.mark.parametrize(
    ("verb", "subject", "arguments", "said"),
    [
        ("promote", "line", {}, "no rollout of line is under way"),
        ("abort", "line", {}, "no rollout"),
        ("pause", "nothing", {}, "no deployment nothing"),
        ("retry", "line", {}, "neither in quarantine"),
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

    *_, last = audit_records(rig.store.audit)
    assert (last["actor"], last["action"]) == ("mia", verb)
    assert said in last["outcome"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Resume("nobody"), "nobody is neither a deployment nor a PID"),
        (Rollback("line", "pid", reason="x"), "line is a deployment, not a PID; name one of its PIDs: A01 or A02"),
        (
            Rollback("A1", "pid", reason="x"),
            "A1 is no PID of the desired state; did you mean A01",
        ),
    ],
)
async def test_a_name_is_taken_as_what_it_was_said_to_be(rig: Rig, command: Resume | Rollback, message: str) -> None:
    await rig.reconcile(at("1.0.0"))
    operator = Operator(rig.store, rig.packages, rig.restart().clock)
    with pytest.raises(CodedError, match=message):
        operator.execute(command, Caller("mia"))


@pytest.mark.parametrize("verb", ["promote", "pause", "abort", "retry"])
async def test_a_pid_where_a_deployment_was_meant_is_told_with_its_deployment(rig: Rig, verb: str) -> None:
    await rig.reconcile(at("1.0.0"))
    with pytest.raises(CodedError) as of_pid:
        operate(rig, verb, "A01")
    with pytest.raises(CodedError) as misspelt:
        operate(rig, verb, "lien")

    assert str(of_pid.value) == f"A01 is a PID, not a deployment; deployment line has it; `pvctl {verb} line`"
    assert str(misspelt.value) == "there is no deployment lien; did you mean line?; the deployments are line"
    assert of_pid.value.code == misspelt.value.code == Code.invalid_params


async def test_a_version_that_a_rollback_cannot_have_is_told_with_those_that_it_can(rig: Rig) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        await rig.reconcile(revision(deployment("line", version, "A01"), id_=version))

    def refusal(to: str | None) -> str:
        with pytest.raises(CodedError) as refused:
            operate(rig, "rollback", "A01", to=to, reason="scrap")
        return str(refused.value)

    there = "`--to` takes 1.1.0 or 1.0.0; see `pvctl history A01`"
    assert refusal("9.9.9") == f"cannot roll A01 back: version 9.9.9 was never active there; {there}"
    rig.packages.uninstall(PackageRef("screw", "1.0.0"))
    assert refusal("1.0.0") == (
        "cannot roll A01 back: version 1.0.0 is not installed any more; `--to` takes 1.1.0; see `pvctl history A01`"
    )
