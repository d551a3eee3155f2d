"""The planner: what a pass does for every shape of desired and observed state. Pure data in, pure data out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.errors import Code
from controller.model.actions import Deactivate, Install, Preheat, RebuildRegistry, Retire, Switch
from controller.model.objects import ObjectRef
from controller.model.observed import BrokenMapping, Failure, Observed
from controller.model.package import PackageRecord, PackageRef
from controller.model.rollout import Instant
from controller.planning.plan import plan
from tests.builders import active, deployment, installed, past, process, revision, running, zipped

NOW = Instant("boot", 0.0)
OLD, NEW = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")


CONVERGED = Observed(
    zips=zipped(OLD), installed=installed(OLD), active=active(OLD, "A01", "A02"), processes=running(process(OLD))
)


def test_from_nothing_it_installs_preheats_and_switches_in_that_order() -> None:
    result = plan(revision(deployment()), Observed(zips=zipped(OLD)), NOW)

    assert [type(action) for action in result.actions] == [Install, Preheat, Switch, Switch]
    install, preheat, *switches = result.actions
    assert install.object in preheat.depends_on
    assert all({install.object, preheat.object} <= set(switch.depends_on) for switch in switches)
    assert result.targets == {"A01": OLD, "A02": OLD}


def test_with_everything_in_place_nothing_is_done() -> None:
    result = plan(revision(deployment()), CONVERGED, NOW)

    assert result.empty
    assert not result.blocked
    assert not result.waiting


def test_a_new_version_moves_exactly_that_deployments_pids() -> None:
    other = deployment("other", "1.0.0", "A03")
    observed = replace(
        CONVERGED,
        zips=zipped(OLD, NEW),
        active=active(OLD, "A01", "A02", "A03"),
        processes=running(process(OLD), process(OLD, name="other")),
    )

    result = plan(revision(deployment(version="1.1.0"), other), observed, NOW)

    assert {action.pid for action in result.actions if isinstance(action, Switch)} == {"A01", "A02"}
    assert not any(isinstance(action, Retire) for action in result.actions)


def test_the_old_process_is_retired_once_no_pid_is_on_it() -> None:
    observed = replace(
        CONVERGED,
        installed=installed(OLD, NEW),
        active=active(NEW, "A01", "A02"),
        processes=running(process(OLD), process(NEW)),
    )

    result = plan(revision(deployment(version="1.1.0")), observed, NOW)

    assert [str(action.object) for action in result.actions] == ["process/screw/screw@1.0.0-0"]
    assert isinstance(result.actions[0], Retire)


def test_what_is_still_being_adopted_is_neither_counted_on_nor_replaced_nor_ended() -> None:
    stranger = process(OLD, name="gone", state="adopting")
    observed = replace(CONVERGED, processes=running(process(OLD, state="adopting"), stranger))

    still = plan(revision(deployment()), observed, NOW)
    canary = replace(observed, processes=running(process(OLD), process(NEW, state="adopting")))
    moving = plan(revision(deployment(version="1.1.0")), replace(canary, installed=installed(OLD, NEW)), NOW)

    assert still.actions == ()
    assert [str(each.object) for each in still.waiting] == ["process/screw/screw@1.0.0-0"]
    assert not any(isinstance(action, Preheat | Switch | Retire) for action in moving.actions)
    other = replace(observed, processes=running(process(OLD), stranger), active=active(OLD, "A01"))
    assert [type(action) for action in plan(revision(deployment()), other, NOW).actions] == [Switch]


@pytest.mark.parametrize("state", ["exited", "broken"])
def test_a_dead_process_is_replaced_before_anything_else(state: str) -> None:
    observed = replace(CONVERGED, zips=zipped(OLD, NEW), processes=running(process(OLD, state=state)))

    result = plan(revision(deployment(version="1.1.0")), observed, NOW)

    assert isinstance(result.actions[0], Preheat)
    assert result.actions[0].process.ref == OLD


def test_a_damaged_mapping_goes_back_to_its_last_version_first() -> None:
    observed = replace(
        CONVERGED,
        zips=zipped(OLD, NEW),
        active={**active(OLD, "A02"), "A01": BrokenMapping("not JSON")},
        history={"A01": past(OLD)},
    )

    result = plan(revision(deployment(version="1.1.0")), observed, NOW)

    [back] = [action for action in result.actions if isinstance(action, Switch) and action.pid == "A01"]
    assert back.target == OLD
    assert "not JSON" in back.reason
    assert not any(each.kind == "package" for each in back.depends_on)


def test_a_mapping_that_was_edited_by_hand_is_put_back() -> None:
    observed = replace(
        CONVERGED,
        installed=installed(OLD, NEW),
        active={**active(OLD, "A02"), **active(NEW, "A01")},
        history={"A01": past(OLD)},
    )

    [action] = plan(revision(deployment()), observed, NOW).actions

    assert isinstance(action, Switch)
    assert action.target == OLD
    assert "changed outside" in action.reason


def test_a_dangling_mapping_whose_package_is_deleted_is_installed_again() -> None:
    observed = replace(CONVERGED, installed={}, history={"A01": past(OLD), "A02": past(OLD)})

    kinds = [type(action) for action in plan(revision(deployment()), observed, NOW).actions]

    assert kinds == [Install, Switch, Switch]


def test_a_removed_pid_is_deactivated_but_one_never_managed_is_left_alone() -> None:
    observed = replace(CONVERGED, active=active(OLD, "A01", "A02", "A03", "Z9"), history={"A03": past(OLD)})

    [action] = plan(revision(deployment()), observed, NOW).actions

    assert isinstance(action, Deactivate)
    assert action.pid == "A03"


def test_a_pinned_pid_stays_at_its_version() -> None:
    observed = replace(CONVERGED, zips=zipped(OLD, NEW))

    result = plan(revision(deployment(version="1.1.0", pinned={"A01": "1.0.0"})), observed, NOW)

    assert [action.pid for action in result.actions if isinstance(action, Switch)] == ["A02"]
    assert result.targets["A01"] == OLD


def test_a_suspended_deployment_is_kept_serving_and_otherwise_left_as_it_is() -> None:
    observed = replace(CONVERGED, zips=zipped(OLD, NEW), processes={})

    [action] = plan(revision(deployment(version="1.1.0", suspend=True)), observed, NOW).actions

    assert isinstance(action, Preheat)
    assert action.process.ref == OLD


def test_a_pid_that_the_package_does_not_support_is_blocked_and_the_others_go_on() -> None:
    observed = Observed(zips=zipped(OLD, pids=("A01",)))

    result = plan(revision(deployment()), observed, NOW)

    assert [action.pid for action in result.actions if isinstance(action, Switch)] == ["A01"]
    [blocked] = result.blocked
    assert (str(blocked.object), blocked.code) == ("pid/A02", Code.activation_conflict)


@pytest.mark.parametrize(("allow", "switched"), [(False, 0), (True, 2)])
def test_a_package_without_supported_pids_serves_only_where_the_policy_allows_it(allow: bool, switched: int) -> None:
    wanted = revision(deployment(), allowUndeclaredPids=allow)

    result = plan(wanted, Observed(zips=zipped(OLD, pids=None)), NOW)

    assert sum(isinstance(action, Switch) for action in result.actions) == switched


def test_a_missing_package_blocks_only_its_own_deployment() -> None:
    missing = deployment("missing", "9.9.9", "A03")

    result = plan(revision(missing, deployment()), Observed(zips=zipped(OLD)), NOW)

    assert [blocked.deployment for blocked in result.blocked] == ["missing"]
    assert sum(isinstance(action, Switch) for action in result.actions) == 2


def test_a_digest_that_does_not_match_what_is_installed_is_refused() -> None:
    wanted = deployment()
    wanted["spec"]["package"]["digest"] = "sha256:" + "0" * 64

    [blocked] = plan(revision(wanted), CONVERGED, NOW).blocked

    assert blocked.code == Code.invalid_zip
    assert "sha256:screw@1.0.0" in blocked.reason


def test_a_failure_is_waited_for_and_then_tried_again() -> None:
    failure = Failure(ObjectRef("package", OLD), "the algorithm raised", 2005, 1, retry_at=10.0)
    observed = Observed(zips=zipped(OLD), failures={failure.object: failure})

    early, late = (plan(revision(deployment()), observed, Instant("boot", now)) for now in (9.0, 10.0))

    assert early.empty
    assert [(str(wait.object), wait.until) for wait in early.waiting] == [("package/screw@1.0.0", 10.0)]
    assert [blocked.reason for blocked in early.blocked] == ["the algorithm raised"]
    assert isinstance(late.actions[0], Install)


def test_a_lost_registry_is_rebuilt() -> None:
    [action] = plan(revision(deployment()), replace(CONVERGED, registry_lost=True), NOW).actions

    assert isinstance(action, RebuildRegistry)


def test_replicas_are_started_and_surplus_ones_retired() -> None:
    more = plan(revision(deployment(replicas=3)), CONVERGED, NOW)
    fewer = plan(
        revision(deployment()), replace(CONVERGED, processes=running(process(OLD), process(OLD, replica=1))), 0.0
    )

    assert [action.process.replica for action in more.actions if isinstance(action, Preheat)] == [1, 2]
    assert [(type(action), str(action.object)) for action in fewer.actions] == [(Retire, "process/screw/screw@1.0.0-1")]


def test_without_serving_a_version_is_proven_for_its_switch_and_its_process_then_retired() -> None:
    first = plan(revision(deployment()), Observed(zips=zipped(OLD)), NOW, serve=False)
    then = plan(revision(deployment()), CONVERGED, NOW, serve=False)
    last = plan(revision(deployment()), replace(CONVERGED, processes={}), NOW, serve=False)

    assert [type(action) for action in first.actions] == [Install, Preheat, Switch, Switch]
    assert [type(action) for action in then.actions] == [Retire]
    assert last.empty


def test_a_pid_that_changes_hands_is_answered_by_the_old_owners_process_until_it_moves() -> None:
    before = Observed(
        zips=zipped(OLD, NEW),
        installed=installed(OLD),
        active=active(OLD, "A01"),
        processes=running(process(OLD, name="first")),
    )
    wanted = revision(deployment("second", "1.1.0", "A01"))

    result = plan(wanted, before, NOW)

    assert not any(isinstance(action, Retire) for action in result.actions)
    assert [action.process.ref for action in result.actions if isinstance(action, Preheat)] == [NEW]


def test_a_renamed_deployments_old_process_goes_on_answering_until_the_new_one_is_ready() -> None:
    renamed = revision(deployment(name="bolt"))

    first = plan(renamed, CONVERGED, NOW)
    both = running(process(OLD), process(OLD, name="bolt"))
    second = plan(renamed, replace(CONVERGED, processes=both), NOW)

    assert [(type(action), str(action.object)) for action in first.actions] == [(Preheat, "process/bolt/screw@1.0.0-0")]
    assert [(type(action), str(action.object)) for action in second.actions] == [
        (Retire, "process/screw/screw@1.0.0-0")
    ]


def test_a_process_that_answers_is_not_ended_because_its_installation_is_damaged() -> None:
    result = plan(revision(deployment()), replace(CONVERGED, zips=(), installed={}), NOW)

    assert result.empty
    assert [str(blocked.object) for blocked in result.blocked] == ["package/screw@1.0.0"]


def test_the_plan_names_the_pids_of_every_step() -> None:
    strategy = {"canary": {"order": ["A02"], "steps": [{"setWeight": 50}, {"pause": {}}]}}
    observed = replace(CONVERGED, zips=zipped(OLD, NEW))

    result = plan(revision(deployment(version="1.1.0", strategy=strategy)), observed, NOW)

    assert [(step.step, step.pids) for step in result.steps] == [
        ("setWeight 50", ("A02",)),
        ("setWeight 100", ("A02", "A01")),
    ]


def test_of_two_zips_that_claim_one_version_the_other_is_taken_once_one_has_failed() -> None:
    bad, good = (replace(zipped(OLD)[0], digest=f"sha256:{name}", zip_name=f"{name}.zip") for name in ("a", "b"))
    failure = Failure(ObjectRef("package", OLD), "damaged", 2001, 1, retry_at=1e9, digest=bad.digest)

    first = plan(revision(deployment()), Observed(zips=(bad, good)), NOW)
    then = plan(revision(deployment()), Observed(zips=(bad, good), failures={failure.object: failure}), NOW)

    assert [action.zip_name for action in (*first.actions, *then.actions) if isinstance(action, Install)] == [
        "a.zip",
        "b.zip",
    ]


def test_a_zip_that_has_not_failed_is_tried_before_one_that_has_and_then_the_one_that_rested_longest() -> None:
    one, two, good = (replace(zipped(OLD)[0], digest=f"sha256:{name}", zip_name=f"{name}.zip") for name in "abc")
    earlier = Failure(ObjectRef("package", OLD), "damaged", 2001, 1, retry_at=5, digest=one.digest)
    latest = replace(earlier, retry_at=9, digest=two.digest, others=(earlier,))

    def chosen(*zips: PackageRecord) -> list[str]:
        result = plan(revision(deployment()), Observed(zips=zips, failures={latest.object: latest}), Instant("", 10))
        return [action.zip_name for action in result.actions if isinstance(action, Install)]

    assert chosen(one, two, good) == ["c.zip"]
    assert chosen(two, one) == ["a.zip"]


def test_surplus_processes_of_a_suspended_deployment_are_left_as_they_are() -> None:
    observed = replace(CONVERGED, processes=running(process(OLD), process(OLD, replica=1)))

    assert plan(revision(deployment(suspend=True)), observed, NOW).empty


def test_a_shadow_that_no_rollout_asks_for_is_ended_and_answers_for_nobody() -> None:
    shadow = process(OLD, shadow=True)

    result = plan(revision(deployment()), replace(CONVERGED, processes=running(shadow)), NOW)

    acted = [action for action in result.actions if isinstance(action, Preheat | Retire)]
    assert [(type(action), action.process.shadow) for action in acted] == [(Preheat, False), (Retire, True)]
