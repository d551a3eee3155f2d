"""The JSON Schema of one desired-state document, made from the models: what editors and other tools check against."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from controller.model.desired import Deployment, StationPolicy
from controller.model.document import EXTENSION, Location, Part, one_of

DOCUMENTS: dict[str, type[Deployment | StationPolicy]] = {
    "AlgorithmDeployment": Deployment,
    "StationPolicy": StationPolicy,
}
"""The kinds of document that a desired tree may hold."""


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) that either kind of document satisfies after ordinary YAML parsing."""
    _, schema = models_json_schema([(model, "validation") for model in DOCUMENTS.values()], by_alias=True)
    definitions = schema["$defs"]
    for model in _parts(Part):
        if definition := definitions.get(model.__name__):
            _tidy(definition, model)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Desired state of a station",
        "description": "One document of a desired tree: an AlgorithmDeployment or the StationPolicy.",
        "oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in DOCUMENTS.values()],
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _parts(root: type[Part]) -> Iterator[type[Part]]:
    for model in root.__subclasses__():
        yield model
        yield from _parts(model)


def _tidy(definition: dict[str, Any], model: type[Part]) -> None:
    """Write defaults in the operator's units, and drop the titles, which only repeat the keys."""
    del definition["title"]
    defaults = model.model_construct().model_dump(mode="json", by_alias=True)
    for name, field in definition["properties"].items():
        field.pop("title", None)
        if field.pop("default", None) is not None and not isinstance(defaults.get(name), dict | list | None):
            field["default"] = defaults[name]
        if "patternProperties" in field:
            field["additionalProperties"] = False
    for name in sorted(model.ignored_keys):
        definition["properties"][name] = {"description": "Taken and ignored: other tools write it."}
    definition["patternProperties"] = {
        f"^{EXTENSION}": {"description": "The author's own, such as a place for anchors."}
    }


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


def schema_at(kind: str, location: Location) -> dict[str, Any]:
    """Return the schema of one location of a document; empty where the schema has nothing."""
    node = _resolved({"$ref": f"#/$defs/{DOCUMENTS[kind].__name__}"})
    for step in location:
        if isinstance(step, int):
            node = _resolved(node.get("items", {}))
        else:
            patterns = list(node.get("patternProperties", {}).values())
            free = node.get("additionalProperties") or {}
            node = _resolved(node.get("properties", {}).get(step) or (patterns[0] if patterns else free))
    return node


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while True:
        if "$ref" in node:
            node = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
        elif "anyOf" in node:
            node = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        else:
            return node


def choices(schema: dict[str, Any]) -> list[str]:
    """Return the words that a value must be one of, or the keys that a mapping may have."""
    if "const" in schema:
        return [schema["const"]]
    return list(schema.get("enum") or schema.get("properties", {}))


def in_words(schema: dict[str, Any]) -> str:
    """Return what a schema expects, for an error message."""
    if "const" in schema or "enum" in schema:
        return one_of(choices(schema))
    match schema.get("type"):
        case "object":
            keys = choices(schema)
            return f"a mapping with {one_of(keys)}" if keys else "a mapping"
        case "array":
            return f"a list, each item {in_words(_resolved(schema['items']))}"
        case "integer":
            return "a whole number"
        case "boolean":
            return "true or false"
        case _:
            examples = schema.get("examples")
            return f"text, such as {one_of(examples)}" if examples else "text"
