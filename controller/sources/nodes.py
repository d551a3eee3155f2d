"""Trees of text with positions: what a YAML file becomes before anybody asks what it means."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from controller.model.document import Location

_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOLD = re.compile(
    r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?:(?P<path>(?:apiVersion|kind|metadata|spec)(?:[.\[].*?)?): )?"
)


class Mark(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(NamedTuple):
    """One thing that is wrong: where it stands in the file and in the document, and what it is."""

    mark: Mark
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.mark), self.path, self.message)))

    @classmethod
    def told(cls, text: str) -> Problem | None:
        """Return the problem that a text tells of; None for a text of another kind. Wrong keys at the top of a document
        are left in the message."""
        found = _TOLD.match(text)
        if found is None:
            return None
        mark = Mark(found["file"], int(found["line"]), int(found["column"]))
        return cls(mark, found["path"] or "", text[found.end() :])


@dataclass(slots=True)
class Scalar:
    """Text, or None for a plain null."""

    mark: Mark
    text: str | None
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class Sequence:
    """A list of nodes."""

    mark: Mark
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 0

    def append(self, item: Node) -> None:
        self.items.append(item)
        self.size += item.size
        self.height = max(self.height, item.height + 1)


class Entry(NamedTuple):
    """The value of a key, and where the key stands."""

    key: Mark
    value: Node


@dataclass(slots=True)
class Mapping:
    """Entries in the order in which they were written; merged ones come last."""

    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1
    height: int = 0

    def add(self, key: str, entry: Entry) -> None:
        self.entries[key] = entry
        self.size += 1 + entry.value.size
        self.height = max(self.height, entry.value.height + 1)


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """Return the node as dict, list, str and None. The depth is bounded by the limits it was read with."""
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(entry.value) for key, entry in node.entries.items()}


class Place(NamedTuple):
    """Where a location of a document stands: its value, and its key (the value itself where there is no key)."""

    value: Mark
    key: Mark
    found: bool


def locate(root: Node, location: Location) -> Place:
    """Return the place of a location, or of the nearest thing above it that was written."""
    node, key = root, root.mark
    for step in location:
        inner = child(node, step)
        if inner is None:
            return Place(node.mark, key, found=False)
        key = inner.key
        node = inner.value
    return Place(node.mark, key, found=True)


def child(node: Node | None, step: str | int) -> Entry | None:
    """Return what stands below a node under a key or an index, or None."""
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.entries.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return Entry(node.items[step].mark, node.items[step])
    return None


def descend(node: Node | None, *steps: str | int) -> Node | None:
    """Return the node at a location, or None."""
    for step in steps:
        entry = child(node, step)
        node = entry.value if entry else None
    return node


def text_of(node: Node | None) -> str | None:
    """Return the text of a scalar, or None."""
    return node.text if isinstance(node, Scalar) else None


def merged(below: Mapping, above: Mapping) -> Mapping:
    """Return a mapping with the entries of both, key by key at every level; `above` wins."""
    result = Mapping(above.mark)
    for key, entry in above.entries.items():
        other = below.entries.get(key)
        if other and isinstance(other.value, Mapping) and isinstance(entry.value, Mapping):
            entry = Entry(entry.key, merged(other.value, entry.value))  # noqa: PLW2901 - the merged one replaces it
        result.add(key, entry)
    for key, entry in below.entries.items():
        if key not in result.entries:
            result.add(key, entry)
    return result


def path_text(location: Location) -> str:
    """Return `spec.pids[3]`; a key that is no plain word stands in quotes."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _SIMPLE_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step[:60], ensure_ascii=False)}]"
    return text
