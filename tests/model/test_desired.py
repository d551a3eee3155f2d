"""The desired-state models: defaults of the contract, lossless documents, and a generation that follows the meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.model.desired import Deployment, DeploymentSpec, Revision, StationPolicy
from controller.model.document import did_you_mean, one_of

MINIMAL: dict[str, Any] = {"package": {"name": "screw-check", "version": "1.10"}, "pids": ["A01"]}


def spec(**more: Any) -> DeploymentSpec:
    return DeploymentSpec.model_validate(MINIMAL | more)


def test_the_defaults_are_those_of_the_contract() -> None:
    default = spec()
    assert default.strategy.canary is None
    assert (default.strategy.min_healthy_time, default.strategy.progress_deadline) == (0.0, 600.0)
    assert (default.strategy.auto_promote, default.strategy.auto_revert) == (True, True)
    assert (default.replicas, default.suspend, default.preheat.smoke, default.preheat.image) == (1, False, True, None)
    health = default.health
    assert (health.error_rate.max, health.error_rate.window, health.error_rate.min_samples) == (0.05, 300.0, 50)
    assert (health.timeout_rate.max, health.timeout_rate.window) == (0.01, 300.0)
    assert (health.heartbeat.interval, health.heartbeat.grace, health.heartbeat.max_missed) == (5.0, 2.0, 2)
    assert (health.restarts.max, health.restarts.window) == (5, 60.0)
    assert (health.latency_p95, health.ng_rate, health.memory, health.cpu) == (None, None, None, None)
    assert (default.timeouts.start, default.timeouts.call, default.timeouts.drain) == (30.0, 30.0, 30.0)
    assert (default.rollback_window, default.retention.versions) == (86400.0, 3)
    policy = StationPolicy.model_validate(
        {"apiVersion": "procvision.dev/v1", "kind": "StationPolicy", "metadata": {"name": "x"}}
    ).spec
    assert (policy.retention.versions, policy.retention.zips, policy.pythons) == (3, None, ())
    assert policy.allow_undeclared_pids is False


def test_a_rate_keeps_its_default_limit_when_only_the_window_is_given() -> None:
    assert spec(health={"errorRate": {"window": "1m"}}).health.error_rate.max == 0.05
    assert spec(health={"timeoutRate": {"minSamples": "5"}}).health.timeout_rate.max == 0.01


def test_names_of_python_are_no_keys_of_the_document() -> None:
    with pytest.raises(ValidationError, match="min_healthy_time"):
        spec(strategy={"min_healthy_time": "1s"})


def test_equal_weights_and_pinned_to_the_packages_own_version_are_fine() -> None:
    steps = [{"setWeight": "25%"}, {"pause": {}}, {"setWeight": "25"}, {"setWeight": 100}]
    built = spec(strategy={"canary": {"steps": steps}}, pinned={"A01": "1.10"})
    pinned = built.pinned_ref("A01")
    assert str(pinned) == "screw-check@1.10"
    assert built.pinned_ref("A02") is None


_durations = st.integers(1, 10**9).map(lambda millis: f"{millis}ms")
_rates = st.fixed_dictionaries(
    {"max": st.integers(0, 10**6).map(lambda parts: f"{parts / 10**4}%")},
    optional={"window": _durations, "minSamples": st.integers(1, 10**6)},
)
_limits = {"latencyP95": st.fixed_dictionaries({"max": _durations}), "memory": st.just({"max": "1.5GiB"}),
           "errorRate": _rates, "cpu": st.just({"max": "250%"}), "restarts": st.just({"max": 0})}  # fmt: skip
_canaries = st.fixed_dictionaries(
    {},
    optional={
        "order": st.just(["A02"]),
        "steps": st.lists(st.integers(0, 100)).map(
            lambda weights: [{"setWeight": weight} for weight in sorted(weights)]
        ),
    },
)
_specs = st.fixed_dictionaries(
    {"package": st.just(MINIMAL["package"]), "pids": st.just(["A01", "A02", "NO", "007"])},
    optional={
        "pinned": st.dictionaries(st.sampled_from(["NO", "007"]), st.just("1.0")),
        "health": st.fixed_dictionaries({}, optional=_limits),
        "strategy": st.fixed_dictionaries({}, optional={"canary": _canaries, "autoPromote": st.booleans()}),
        "rollbackWindow": _durations,
        "suspend": st.booleans(),
        "input": st.fixed_dictionaries(
            {},
            optional={
                "guide": st.sampled_from(["same", "required", "none"]),
                "swap": st.booleans(),
                "colorSpace": st.sampled_from(["RGB", "BGR"]),
            },
        ),
        "images": st.fixed_dictionaries({}, optional={"zeroCopy": st.booleans()}),
    },
)


@given(_specs, st.dictionaries(st.text(), st.text(), max_size=3))
@settings(deadline=None)
def test_a_revision_survives_being_written_as_json(body: dict[str, Any], labels: dict[str, str]) -> None:
    document = {"apiVersion": "procvision.dev/v1", "kind": "AlgorithmDeployment",
                "metadata": {"name": "x", "labels": labels}, "spec": body}  # fmt: skip
    policy = {"pythons": ["/usr/bin/python3.10"], "retention": {"zips": 4}, "defaults": {"timeouts": {"call": "1ms"}}}
    revision = Revision.model_validate(
        {"id": "abc", "source": "desired", "loadedAt": "then", "deployments": [document], "policy": policy}
    )
    again = Revision.model_validate(json.loads(json.dumps(revision.to_document())))
    assert again == revision
    assert again.deployments[0].generation == revision.deployments[0].generation
    assert again.to_document() == revision.to_document()


def test_a_revision_is_written_without_added_keys_that_say_nothing() -> None:
    """The release before refuses keys that it does not know: `tests/end_to_end/test_upgrade.py` lets it read one."""

    def written(**spec: Any) -> Any:
        document = {"apiVersion": "procvision.dev/v1", "kind": "AlgorithmDeployment", "metadata": {"name": "x"},
                    "spec": MINIMAL | spec}  # fmt: skip
        head = {"id": "abc", "source": "desired", "loadedAt": "then"}
        return Revision.model_validate({**head, "deployments": [document]}).to_document()

    plain, said = (
        written(),
        written(input={"swap": "true"}, health={"escapes": {"max": "1%"}}, images={"zeroCopy": True}),
    )
    assert {"input", "images", "health"} & plain["deployments"][0]["spec"].keys() == {"health"}
    assert {"escapes", "overkill"} & plain["deployments"][0]["spec"]["health"].keys() == set()
    assert "limits" not in plain["policy"]
    assert plain["deployments"][0]["spec"]["timeouts"]["call"] == "30s", "what it means by default is written"
    assert said["deployments"][0]["spec"]["input"]["swap"] is True
    assert said["deployments"][0]["spec"]["images"] == {"zeroCopy": True}
    assert said["deployments"][0]["spec"]["health"]["escapes"]["max"] == "1%"


def test_the_generation_follows_the_meaning() -> None:
    def generation(**more: Any) -> str:
        body = {"metadata": {"name": "x", "labels": more.pop("labels", {})}, "spec": MINIMAL | more}
        head = {"apiVersion": "procvision.dev/v1", "kind": "AlgorithmDeployment"}
        return Deployment.model_validate(head | body).generation

    assert generation(rollbackWindow="90s") == generation(rollbackWindow="1m30s", labels={"line": "A"})
    assert generation() == generation(health={"errorRate": {"max": "0.05"}}, replicas="1")
    assert generation() != generation(replicas="2")


def test_suggestions() -> None:
    assert did_you_mean("pidz", ["pids", "pinned"]) == "; did you mean pids?"
    assert did_you_mean("a01", ["A01"]) == "; did you mean A01?"
    assert did_you_mean("zzz", ["pids"]) == ""
    assert [one_of(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a or b", "a, b or c"]
    assert one_of([str(number) for number in range(20)]).endswith("11, …")
