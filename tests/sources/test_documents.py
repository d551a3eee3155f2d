"""What documents mean: every mistake with its place, what was written and what was expected; all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import DesiredStateError
from controller.model.desired import DeploymentSpec
from controller.model.units import PID_PATTERN
from controller.sources.documents import read_documents
from controller.sources.nodes import Node
from controller.sources.yaml_text import read_yaml
from tests.sources.desired_text import FROM_KUSTOMIZE, deployment, load, policy

NULLS = {"null", "Null", "NULL"}


def nodes(text: str) -> list[Node]:
    read = read_yaml(text.encode(), "d.yaml")
    assert read.problems == []
    return read.documents


def problems(*texts: str) -> list[str]:
    documents = [node for text in texts for node in read_yaml(text.encode(), "d.yaml").documents]
    return [str(problem) for problem in sorted(read_documents(documents).problems)]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("  pidz: [A01]\n", "7:3: spec.pidz: unknown key (expected one of package, pids|; did you mean pids?"),
        ("  health: {eRorRate: {max: 5%}}\n", "7:12: spec.health.eRorRate: unknown key (|; did you mean errorRate?"),
        ("  health:\n    errorRate: {max: 5}\n", "8:22: spec.health.errorRate.max: got '5' (expected a percentage"),
        ("  health: {latencyP95: {}}\n", "7:12: spec.health.latencyP95.max: is missing (expected text, such as 30s"),
        ("  health: {latencyP95: {max: 800}}\n", "7:30: spec.health.latencyP95.max: got '800' (expected a duration"),
        ("  health: {latencyP95: {max: 0s}}\n", "7:30: spec.health.latencyP95.max: got '0s' (expected more than 0)"),
        ("  health: {memory: {max: 2}}\n", "7:26: spec.health.memory.max: got '2' (expected a size with a unit"),
        ("  health: {errorRate: ~}\n", "7:23: spec.health.errorRate: got nothing (expected a mapping with max"),
        ("  replicas: 007\n", "7:13: spec.replicas: got '007' (expected a whole number)"),
        ("  replicas: 0\n", "7:13: spec.replicas: got '0' (expected at least 1)"),
        ("  replicas: 65\n", "7:13: spec.replicas: got '65' (expected at most 64)"),
        ("  suspend: yes\n", "7:12: spec.suspend: got 'yes' (expected true or false)"),
        ("  suspend: [a]\n", "7:12: spec.suspend: got a list (expected true or false)"),
        ("  strategy: canary\n", "7:13: spec.strategy: got 'canary' (expected a mapping with canary"),
        ("  strategy: {canary: {steps: {setWeight: 5}}}\n", "7:30: spec.strategy.canary.steps: got a mapping ("),
        ("  strategy: {canary: {steps: [{setWeight: 101}]}}\n", "steps[0].setWeight: got '101' (expected a whole perc"),
        ("  strategy: {canary: {steps: [{pause: 10m}]}}\n", "steps[0].pause: got '10m' (expected a mapping with d"),
        ("  strategy: {canary: {steps: [{}]}}\n", "7:31: spec.strategy.canary.steps[0]: a step is setWeight, p"),
        ("  strategy: {canary: {steps: [{setWeight: 100}, {replay: {}}]}}\n",
         "7:58: spec.strategy.canary.steps[1].replay: comes after setWeight: 100"),
        ("  strategy: {canary: {steps: [{shadow: {weight: 0}}]}}\n",
         "7:49: spec.strategy.canary.steps[0].shadow.weight: of 0 % of the PIDs no picture is shown"),
        ("  recording: {only: [sample], sample: 0%}\n",
         "7:39: spec.recording.sample: records nothing: only has nothing but sample (expected more than 0%, or only: "),
        ("  strategy: {canary: {steps: [{setWeight: 50}, {shadow: {weight: 60%}}]}}\n",
         "7:57: spec.strategy.canary.steps[1].shadow: shows it nothing: after setWeight: 50, 1 of 2 PIDs have the new"),
        ("  strategy: {canary: {steps: [{shadow: {}}, {shadow: {compare: {defects: {iou: 0.5}}}}]}}\n",
         "7:64: spec.strategy.canary.steps[1].shadow.compare: is not that of the shadow step before"),
        ("  strategy: {canary: {steps: [{replay: {last: 0}}]}}\n",
         "steps[0].replay.last: got '0' (expected at least 1)"),
        ("  strategy: {canary: {steps: [{replay: {maxNewlyOk: 1%}}]}}\n", "did you mean maxNewlyOK?"),
        ("  strategy:\n    canary:\n      steps:\n      - setWeight: 50\n      - setWeight: 25\n",
         "11:20: spec.strategy.canary.steps[1].setWeight: 25 is less than the 50 of a step before"),
        ("  strategy: {canary: {analysis: {onInconclusive: wiat}}}\n",
         "got 'wiat' (expected wait, promote or revert); did you mean wait?"),
        ("  strategy: {minHealthyTime: 20m}\n", "7:3: spec.strategy.progressDeadline: must be longer than"),
        ("  strategy: {canary: {order: [A09]}}\n",
         "7:31: spec.strategy.canary.order[0]: PID 'A09' is not in spec.pids (expected A01 or A02)"),
        ("  strategy: {canary: {order: [A01], critical: [A01]}}\n", "critical[0]: PID 'A01' is in order too"),
        ("  strategy: {canary: {order: [A01, A01]}}\n", "order[1]: PID 'A01' is listed twice, first as item 0"),
        ("  pinned:\n    A3: 1.0.0\n", "8:5: spec.pinned.A3: PID 'A3' is not in spec.pids (expected A01 or A02)"),
        ("  pinned: {a01: 1.0.0}\n", "7:12: spec.pinned.a01: PID 'a01' is not in spec.pids|; did you mean A01?"),
        ("  pinned: {A01: ../1}\n", "7:17: spec.pinned.A01: '../1' cannot be a version"),
        ("  pinned: [A01]\n", "7:11: spec.pinned: got a list (expected a mapping"),
        ("  preheat: {image: /etc/passwd}\n", "7:20: spec.preheat.image: '/etc/passwd' leaves the package"),
        ("  preheat: {image: a/../../b}\n", "7:20: spec.preheat.image: 'a/../../b' leaves the package"),
        ("  retention: {versions: 0}\n", "7:25: spec.retention.versions: got '0' (expected at least 1)"),
        ("  rollbackWindow: 1 day\n", "7:19: spec.rollbackWindow: got '1 day' (expected a duration with a unit"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_spec(more: str, line: str) -> None:
    found = problems(deployment(more=more))
    assert len(found) == 1
    for piece in line.split("|"):
        assert piece in found[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (deployment(pids="[]"), "d.yaml:6:9: spec.pids: is empty (expected a list, each item text, such as A01)"),
        (deployment(pids="A01"), "d.yaml:6:9: spec.pids: got 'A01' (expected a list"),
        (deployment(pids=""), "d.yaml:6:8: spec.pids: got nothing (expected a list"),
        (deployment(pids="[A01, null]"), "d.yaml:6:15: spec.pids[1]: got nothing (expected text)"),
        (deployment(pids="[.]"), "d.yaml:6:10: spec.pids[0]: '.' cannot be a PID (expected letters"),
        (deployment(pids="[A01, ..]"), "spec.pids[1]: '..' cannot be a PID"),
        (deployment(pids="[a/b]"), "spec.pids[0]: 'a/b' cannot be a PID"),
        (deployment(pids="[A01, A01]"), "d.yaml:6:15: spec.pids[1]: PID 'A01' is listed twice, first as item 0"),
        (deployment(pids="[A01, a01]"), "spec.pids[1]: PID 'a01' differs only in case from 'A01', item 0"),
        (deployment(name="-x"), "d.yaml:3:18: metadata.name: '-x' cannot be a name"),
        (deployment().replace("1.1.0", "[1]"), "d.yaml:5:41: spec.package.version: got a list (expected text)"),
        (deployment().replace(", version: 1.1.0", ""),
         "d.yaml:5:3: spec.package.version: is missing (expected text, such as 1.1.0)"),
        (deployment().replace("1.1.0", "1, digest: sha256:AB"),
         "spec.package.digest: got 'sha256:AB' (expected sha256: and 64"),
        (deployment().replace("dev/v1", "dev/v2"),
         "d.yaml:1:13: apiVersion: got 'procvision.dev/v2' (expected procvision.dev/v1); did you mean procvision.dev/"),
        (deployment().replace("Deployment", "Deploymnt"),
         "d.yaml:2:7: kind: got 'AlgorithmDeploymnt' (expected AlgorithmDeployment); did you mean"),
        ("kind: ConfigMap\n", "d.yaml:1:7: kind: got 'ConfigMap' (expected AlgorithmDeployment or StationPolicy)"),
        ("a: 1\n", "d.yaml:1:1: kind: is missing (expected AlgorithmDeployment or StationPolicy)"),
        ("- a\n", "d.yaml:1:1: the document is a list (expected a mapping with apiVersion, kind, metadata)"),
        ("just words\n", "d.yaml:1:1: the document is 'just words'"),
        (policy("{pythons: [python3.10]}"), "d.yaml:4:18: spec.pythons[0]: 'python3.10' is not absolute"),
        (policy("{retention: {zips: -1}}"), "spec.retention.zips: got '-1' (expected at least 0)"),
        (policy("{defaults: {timeouts: {cal: 5s}}}"),
         "spec.defaults.timeouts.cal: unknown key (expected start, call or drain); did you mean call?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_document(text: str, line: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert line in found[0]


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    found = problems(
        "apiVersion: procvision.dev/v1\nkind: AlgorithmDeployment\nmetadata: {nam: x}\nspec:\n"
        "  package: {name: x}\n  pids: [A/1, A02, A02]\n  pinned: {B: 1}\n  replicas: x\n"
        "  strategy: {canary: {steps: [{setWeight: 9}, {setWeight: 5}]}}\n"
    )
    assert [line.split(" ")[1].rstrip(":") for line in found] == [
        "metadata.name", "metadata.nam", "spec.package.version", "spec.pids[0]", "spec.pids[2]", "spec.pinned.B",
        "spec.replicas", "spec.strategy.canary.steps[1].setWeight",
    ]  # fmt: skip


def test_two_deployments_cannot_claim_one_pid_nor_one_name() -> None:
    first, second = deployment("one", "[A01, A02]"), deployment("two", "[A03, a02, A01]")
    once = "(expected each PID in one deployment)"
    assert problems(first, second) == [
        f"d.yaml:6:15: spec.pids[1]: PID 'a02' is also claimed by deployment 'one' as 'A02' at d.yaml:6:15 {once}",
        f"d.yaml:6:20: spec.pids[2]: PID 'A01' is also claimed by deployment 'one' at d.yaml:6:10 {once}",
    ]
    assert "deployment 'one' is there twice, first at d.yaml:3:18" in problems(first, deployment("one", "[B1]"))[0]
    assert "differs only in case from 'one'" in problems(first, deployment("One", "[B1]"))[0]


def test_a_claim_is_told_even_when_the_other_document_is_wrong_elsewhere() -> None:
    found = problems(deployment("one", "[A01]"), deployment("two", "[A01]", "  replicas: x\n"))
    assert any("also claimed by deployment 'one'" in line for line in found)
    assert len(found) == 2


def test_a_deployment_may_record_less_than_the_station_does_or_nothing(tmp_path: Path) -> None:
    revision = load(
        tmp_path,
        policy=policy("{defaults: {recording: {keep: 200, only: [NG, ERROR]}}}"),
        a=deployment("a", "[A]"),
        b=deployment("b", "[B]", "  recording: {keep: 50}\n"),
        c=deployment("c", "[C]", "  recording: {only: []}\n"),
    )
    found = {name: each.spec.recording for name, each in revision.by_name.items()}
    assert {name: (each.keep, each.only) for name, each in found.items() if each} == {
        "a": (200, ("NG", "ERROR")), "b": (50, ("NG", "ERROR")), "c": (200, ()),
    }  # fmt: skip


def test_one_policy_at_most() -> None:
    assert problems(policy("{}"), policy("{}")) == [
        "d.yaml:1:1: kind: a second StationPolicy; the first is at d.yaml:1:1 (expected at most one in the tree)"
    ]


def test_defaults_of_the_policy_lie_below_each_deployments_own(tmp_path: Path) -> None:
    revision = load(
        tmp_path,
        policy=policy("""
  retention: {versions: 7, zips: 10}
  defaults:
    health: {errorRate: {max: 2%, minSamples: 9}, latencyP95: {max: 1s}, memory: {max: 1GiB}}
    timeouts: {call: 9s}"""),
        a=deployment("a", "[A]", "  health: {errorRate: {window: 1m}, latencyP95: {window: 2m}, memory: ~}\n"),
        b=deployment("b", "[B]", "  timeouts: {call: 1s, start: 2s}\n  retention: {versions: 2}\n"),
    )
    a, b = (revision.by_name[name].spec for name in "ab")
    assert (a.health.error_rate.max, a.health.error_rate.window, a.health.error_rate.min_samples) == (0.02, 60.0, 9)
    assert a.health.latency_p95 is not None
    assert (a.health.latency_p95.max, a.health.latency_p95.window) == (1.0, 120.0)
    assert a.health.memory is None, "null takes a default back"
    assert (a.timeouts.call, a.timeouts.start, a.retention.versions) == (9.0, 30.0, 7)
    assert (b.timeouts.call, b.timeouts.start, b.retention.versions) == (1.0, 2.0, 2)
    assert b.health.memory is not None
    assert revision.policy.retention.zips == 10


def test_a_mistake_in_the_policys_defaults_is_told_once() -> None:
    found = problems(policy("{defaults: {health: {cpu: {max: lots}}}}"), deployment("a", "[A]"), deployment("b", "[B]"))
    assert len(found) == 1
    assert found[0].startswith(
        "d.yaml:4:39: spec.defaults.health.cpu.max: got 'lots' (expected a percentage of one core"
    )


@given(st.from_regex(PID_PATTERN, fullmatch=True))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_pid_loads_as_itself(pid: str) -> None:
    if pid in NULLS:
        return
    documents = read_yaml(deployment(pids=f"\n  - {pid}\n").encode(), "d.yaml").documents
    contents = read_documents(documents)
    assert contents.problems == []
    assert contents.deployments[0].spec.pids == (pid,)


_anything = st.recursive(
    st.none() | st.sampled_from(["A01", "5%", "10m", "-1", "x\ny", "", "true", "1e99", "9" * 5000, "٣s", "A" * 300]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["max", "steps", "pause", "A01", "setWeight", "[key]"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
_places = st.sampled_from([*DeploymentSpec.model_json_schema()["properties"], "more"])


@given(st.dictionaries(_places, _anything, max_size=4))
@settings(max_examples=200, deadline=None)
def test_whatever_is_written_the_answer_is_plain_words(spec: dict[str, object]) -> None:
    import json

    body = {"package": {"name": "x", "version": "1"}, "pids": ["A01"]} | spec
    head = {"apiVersion": "procvision.dev/v1", "kind": "AlgorithmDeployment", "metadata": {"name": "x"}}
    found = problems(json.dumps(head | {"spec": body}, ensure_ascii=False))
    for line in found:
        assert "\n" not in line
        assert not any(jargon in line for jargon in ("pydantic", "Input should", "Value error", "http", "type="))
        assert "expected" in line


def test_a_tree_with_problems_raises_them_all_sorted_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DesiredStateError) as caught:
        load(tmp_path, b=deployment("b", "[A/]") + "---\na: [\n", a=deployment("a", "[B]", "  x: 1\n  y: 2\n"))
    places = [line.split(" ")[0].removeprefix(f"{tmp_path}/") for line in caught.value.problems]
    assert places == ["a.yaml:7:3:", "a.yaml:8:3:", "b.yaml:6:10:", "b.yaml:9:1:"]


def test_what_other_tools_write_is_taken_and_ignored_and_a_namespace_is_told() -> None:
    welds = FROM_KUSTOMIZE.replace("screws", "welds").replace("A01, x-1", "B01, x-2").replace("x-1:", "x-2:")
    told = read_documents([*nodes(FROM_KUSTOMIZE), *nodes(welds)])

    [screws, _] = told.deployments
    assert (screws.spec.pids, screws.spec.pinned) == (("A01", "x-1"), {"x-1": "0.9.0"})
    assert screws.spec.timeouts.call == 7
    assert screws.metadata.labels == {"x-team": "vision"}
    assert told.problems == []
    [note] = told.notes
    assert note.path == "metadata.namespace"
    assert note.message == "is ignored: a station has no namespaces; so it is in 1 other documents"
    assert "annotations" not in screws.model_dump_json()
