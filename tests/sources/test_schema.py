"""The JSON Schema: the contract's example satisfies it, mistakes do not, and the file on disk is the models' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from controller.sources.documents import read_documents
from controller.sources.schema import json_schema
from controller.sources.yaml_text import read_yaml
from tests.sources.desired_text import FROM_KUSTOMIZE

ON_DISK = Path(__file__).parents[2] / "docs" / "schema" / "desired.schema.json"
EXAMPLE = f"""\
# yaml-language-server: $schema=../docs/schema/desired.schema.json
apiVersion: procvision.dev/v1
kind: AlgorithmDeployment
metadata:
  name: screw-check
  labels: {{line: A}}
spec:
  package:
    name: screw-check
    version: 1.1.0
    digest: sha256:{"0123456789abcdef" * 4}
  pids: [A01, A02, A03, A04]
  pinned: {{A03: 1.0.0}}
  replicas: 1
  suspend: false
  strategy:
    canary:
      order: [A04]
      critical: [A01]
      steps:
      - setWeight: 25
      - pause: {{duration: 10m}}
      - setWeight: 50
      - pause: {{}}
      analysis:
        initialDelay: 0s
        minSamples: 50
        onInconclusive: wait
    minHealthyTime: 30s
    progressDeadline: 10m
    autoPromote: true
    autoRevert: true
  health:
    errorRate:   {{max: 5%,    window: 5m, minSamples: 50}}
    timeoutRate: {{max: 1%,    window: 5m, minSamples: 50}}
    latencyP95:  {{max: 800ms, window: 5m, minSamples: 50}}
    ngRate:      {{maxChange: 10%, minSamples: 50}}
    memory:      {{max: 2GiB}}
    cpu:         {{max: 95%, window: 1m}}
    heartbeat:   {{interval: 5s, grace: 2s, maxMissed: 2}}
    restarts:    {{max: 5, window: 1m}}
  timeouts: {{start: 30s, call: 5s, drain: 30s}}
  preheat:
    smoke: true
    image: assets/golden.png
  rollbackWindow: 24h
  retention: {{versions: 3}}
---
apiVersion: procvision.dev/v1
kind: StationPolicy
metadata: {{name: default}}
spec:
  retention: {{versions: 3, zips: 10}}
  pythons: [/usr/bin/python3.10]
  allowUndeclaredPids: false
  page: {{pictures: on}}
  defaults: {{health: {{errorRate: {{max: 0.05}}}}, timeouts: {{call: 5s}}}}
"""


def test_the_file_on_disk_is_the_models_own_schema() -> None:
    assert json.loads(ON_DISK.read_text()) == json_schema(), "run `pvctl schema > docs/schema/desired.schema.json`"


def test_the_contracts_example_satisfies_schema_and_loader() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(yaml.safe_load(FROM_KUSTOMIZE), json_schema(), jsonschema.Draft202012Validator)
    for document in yaml.safe_load_all(EXAMPLE):
        jsonschema.validate(document, json_schema(), jsonschema.Draft202012Validator)
    contents = read_documents(read_yaml(EXAMPLE.encode(), "example.yaml").documents)
    assert contents.problems == []
    spec = contents.deployments[0].spec
    assert (spec.health.cpu and spec.health.cpu.max, spec.rollback_window, spec.pinned) == (
        0.95,
        86400.0,
        {"A03": "1.0.0"},
    )
    assert spec.health.memory is not None
    assert spec.health.memory.max == 2 * 2**30
    assert spec.strategy.canary is not None
    assert [step.set_weight for step in spec.strategy.canary.steps] == [25, None, 50, None]
    assert contents.policy.retention.zips == 10


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("pids: [A01, A02, A03, A04]", "pids: [1, 2]"),
        ("pids: [A01, A02, A03, A04]", "pids: []"),
        ("setWeight: 25", "setWeight: 101"),
        ("duration: 10m", "duration: 10"),
        ("duration: 10m", "duration: 10 m"),
        ("max: 5%", "max: 500%x"),
        ("2GiB", "2 gigabytes"),
        ("replicas: 1", "replicas: one"),
        ("suspend: false", "suspended: false"),
        ("A03: 1.0.0", "A/3: 1.0.0"),
        ("sha256:0", "sha1:0"),
        ("kind: AlgorithmDeployment", "kind: Deployment"),
    ],
)
def test_schema_and_loader_refuse_the_same_mistakes(good: str, bad: str) -> None:
    text = EXAMPLE.partition("---\n")[0].replace(good, bad)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema())
    if bad != "pids: [1, 2]":  # an editor's YAML sees numbers there; the loader sees the text that was written
        assert read_documents(read_yaml(text.encode(), "example.yaml").documents).problems


def test_every_key_is_described_and_every_mapping_closed() -> None:
    for name, definition in json_schema()["$defs"].items():
        assert definition["description"], name
        assert definition["additionalProperties"] is False
        for key, field in definition["properties"].items():
            assert field.get("description") or "$ref" in field, f"{name}.{key}"


def test_defaults_stand_in_the_operators_units() -> None:
    definitions: dict[str, Any] = json_schema()["$defs"]
    assert definitions["Timeouts"]["properties"]["call"]["default"] == "30s"
    assert definitions["ErrorRateLimit"]["properties"]["max"]["default"] == "5%"
    assert definitions["DeploymentSpec"]["properties"]["rollbackWindow"]["default"] == "1d"


def test_only_keywords_of_json_schema_are_used() -> None:
    known = {"type", "description", "default", "properties", "required", "additionalProperties", "patternProperties",
             "items", "minItems", "enum", "const", "anyOf", "$ref", "pattern", "examples", "minLength", "minimum",
             "exclusiveMinimum", "maximum", "propertyNames"}  # fmt: skip

    def keywords(schema: Any) -> set[str]:
        inner = [*schema.get("properties", {}).values(), *schema.get("patternProperties", {}).values()]
        inner += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
        return set(schema).union(*map(keywords, inner))

    for name, definition in json_schema()["$defs"].items():
        assert keywords(definition) <= known, name
