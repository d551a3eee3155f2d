"""What pydantic found wrong, said in terms of what was written: where, and what was expected instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from controller.model.document import Location, did_you_mean, one_of
from controller.model.units import shown
from controller.sources.nodes import Node, Problem, Sequence, descend, locate, path_text, plain
from controller.sources.schema import choices, in_words, schema_at

Finding = dict[str, Any]  # one item of pydantic's `ValidationError.errors()`


def explain(error: ValidationError, kind: str, root: Node) -> Iterator[Problem]:
    """Yield a problem for every finding of a failed validation of `root` as a document of `kind`."""
    for found in error.errors(include_url=False):
        finding: Finding = dict(found)
        location: Location = finding["loc"]
        node = descend(root, *location)
        if finding["type"] == "too_short" and isinstance(node, Sequence) and node.items:
            continue  # pydantic does not count the items that are themselves wrong
        if node is not None:
            finding["input"] = plain(node)  # what was written: pydantic may have a value that is read already
        words = _WORDS.get(finding["type"], _something_else)(finding, kind)
        yield problem_at(root, location, words, at_key=finding["type"] in {"missing", "extra_forbidden"})


def problem_at(root: Node, location: Location, message: str, *, at_key: bool = False) -> Problem:
    """Return a problem at a location; `[key]` as its last item means the key and not its value."""
    if location[-1:] == ("[key]",):
        location, at_key = location[:-1], True
    place = locate(root, location)
    mark = place.key if at_key or not place.found else place.value
    return Problem(mark, path_text(location), message)


def _missing(finding: Finding, kind: str) -> str:
    return f"is missing (expected {in_words(schema_at(kind, finding['loc']))})"


def _unknown_key(finding: Finding, kind: str) -> str:
    known = choices(schema_at(kind, finding["loc"][:-1]))
    key = str(finding["loc"][-1])
    return f"unknown key (expected {one_of(known)}){did_you_mean(key, known)}"


def _own_words(finding: Finding, _kind: str) -> str:
    return str(finding["ctx"]["error"])


def _conflict(finding: Finding, _kind: str) -> str:
    return str(finding["ctx"]["message"])


def _bound(words: str, name: str) -> Callable[[Finding, str], str]:
    return lambda finding, _kind: f"got {shown(finding['input'])} (expected {words} {finding['ctx'][name]:g})"


def _empty(finding: Finding, kind: str) -> str:
    return f"is empty (expected {in_words(schema_at(kind, finding['loc']))})"


def _something_else(finding: Finding, kind: str) -> str:
    schema = schema_at(kind, finding["loc"])
    written = finding["input"]
    hint = did_you_mean(written, choices(schema)) if isinstance(written, str) else ""
    return f"got {shown(written)} (expected {in_words(schema)}){hint}"


_WORDS: dict[str, Callable[[Finding, str], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "value_error": _own_words,
    "conflict": _conflict,
    "too_short": _empty,
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
}
