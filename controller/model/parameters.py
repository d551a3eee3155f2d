"""The parameters that a 0.0.x manifest declares for its steps: checked and completed before a call. Pure.

The SDK's scaffold has `steps: [{"index": 0, "params": [{"key", "type", "default", "min", "max"}]}]`; the SDK itself
reads none of it. What is not understood of a declaration is not held against a caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Steps = tuple[Mapping[str, Any], ...]

_NUMBERS = {"float", "double", "number"}
_WHOLE = {"int", "integer"}
_TEXTS = {"str", "string", "text"}
_BOOLEANS = {"bool", "boolean"}
_CHOICES = ("choices", "options", "enum", "values")


def completed(steps: Steps, step_index: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a caller gave for a step, with the declared defaults of what was left out.

    `step_index` counts from 1. A manifest whose lowest `index` is 0, as the scaffold's, counts from 0, so its step 0 is
    the first. What is not declared is passed on.

    Raises:
        ValueError: a value is not what its declaration says; the text names every such value.
    """
    declared = list(_declared(steps, step_index))
    problems = [
        f"{each['key']} must be {need}, got {given[each['key']]!r:.80}"
        for each in declared
        if each["key"] in given and (need := _need(each)) and not _fits(each, given[each["key"]])
    ]
    if problems:
        raise ValueError("; ".join(problems))
    defaults = {each["key"]: each["default"] for each in declared if each.get("default") is not None}
    return {**defaults, **given}


def _declared(steps: Steps, step_index: int) -> Iterator[Mapping[str, Any]]:
    """Yield the declarations of a step that name what they are about."""
    first = min((step["index"] for step in steps if _is_whole(step.get("index"))), default=1)
    wanted = step_index - 1 if first == 0 else step_index
    for step in steps:
        if step.get("index") == wanted:
            parameters = step.get("params")
            for each in parameters if isinstance(parameters, list) else ():
                if isinstance(each, Mapping) and isinstance(each.get("key"), str):
                    yield each


def _need(declared: Mapping[str, Any]) -> str:
    """Return what a value must be, in words; empty where the declaration says nothing that is understood."""
    kind = declared.get("type")
    if (choices := _choices(declared)) is not None:
        return f"one of {', '.join(map(repr, choices))}"
    if kind in _WHOLE | _NUMBERS:
        words = "a whole number" if kind in _WHOLE else "a number"
        low, high = _bounds(declared)
        if low is not None and high is not None:
            return f"{words} from {low:g} to {high:g}"
        return words + (f" from {low:g}" if low is not None else f" up to {high:g}" if high is not None else "")
    if kind in _TEXTS:
        return "text"
    return "true or false" if kind in _BOOLEANS else ""


def _fits(declared: Mapping[str, Any], value: object) -> bool:
    if (choices := _choices(declared)) is not None:
        return value in choices
    kind = declared.get("type")
    if kind in _TEXTS:
        return isinstance(value, str)
    if kind in _BOOLEANS:
        return isinstance(value, bool)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    low, high = _bounds(declared)
    whole = kind not in _WHOLE or float(value).is_integer()
    return whole and (low is None or value >= low) and (high is None or value <= high)


def _choices(declared: Mapping[str, Any]) -> list[Any] | None:
    return next((declared[key] for key in _CHOICES if isinstance(declared.get(key), list) and declared[key]), None)


def _bounds(declared: Mapping[str, Any]) -> tuple[float | None, float | None]:
    low, high = (value if _is_number(value := declared.get(key)) else None for key in ("min", "max"))
    return low, high


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
