"""YAML bytes to trees of text with positions. Knows YAML and its limits, nothing of what the documents mean.

Nodes are built from the parser's events, so that depth, node count and alias expansion are bounded while they grow.
Every scalar stays the text that was written: YAML 1.1 would read `NO` as false, `1.10` as 1.1 and `12:30` as 750.
Only the plain forms of null become None, and only where nothing is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from controller.model.document import did_you_mean
from controller.model.units import shown
from controller.sources.nodes import Entry, Mapping, Mark, Node, Problem, Scalar, Sequence
from controller.sources.yaml_errors import in_plain_words

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = {"", "~", "null", "Null", "NULL"}
_CORE_TAGS = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "tag:yaml.org,2002:float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan"),
    "tag:yaml.org,2002:bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "tag:yaml.org,2002:null": re.compile(r"|~|null|Null|NULL"),
}
_STRING_TAGS = {"tag:yaml.org,2002:str", "!"}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may hold. Nodes are counted after the expansion of aliases and merges."""

    size: int = 1024 * 1024
    nodes: int = 250_000
    depth: int = 32


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class YamlFile:
    """What one file holds: the documents that could be read, and every problem that was found."""

    documents: list[Node] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Unreadable(Exception):
    """Reading cannot go on after this problem."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(mark, "", message)


def read_yaml(data: bytes, file: str, limits: Limits = DEFAULT_LIMITS) -> YamlFile:
    """Read every document of a file. Never raises: what is wrong is in the result's `problems`."""
    result = YamlFile()
    try:
        text = _decode(data, file, limits)
        builder = _Builder(yaml.parse(text, Loader=_Loader), file, limits, result.problems)
        result.documents.extend(builder.documents())
    except _Unreadable as error:
        result.problems.append(error.problem)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file, 1, 1)
        result.problems.append(Problem(mark, "", in_plain_words(error, text)))
    except yaml.YAMLError as error:
        result.problems.append(Problem(Mark(file, 1, 1), "", f"cannot be read as YAML: {error}"))
    return result


def _decode(data: bytes, file: str, limits: Limits) -> str:
    if len(data) > limits.size:
        raise _Unreadable(
            Mark(file, 1, 1), f"the file is larger than {limits.size // 1024} KiB (expected several smaller files)"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        encoding = "UTF-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "another encoding"
        message = f"the file is not UTF-8 but {encoding} (expected it to be saved as UTF-8)"
        raise _Unreadable(_mark_after(before, file), message) from None
    if bad := _UNPRINTABLE.search(text):
        message = f"character U+{ord(bad.group()):04X} is not allowed (expected printable text)"
        raise _Unreadable(_mark_after(text[: bad.start()], file), message)
    return text


def _mark_after(before: str, file: str) -> Mark:
    return Mark(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Builder:
    """Builds the documents of one event stream."""

    def __init__(self, events: Iterator[Event], file: str, limits: Limits, problems: list[Problem]) -> None:
        self._events = events
        self._file = file
        self._limits = limits
        self._problems = problems
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def documents(self) -> Iterator[Node]:
        """Yield the documents that are not empty."""
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                self._anchors = {}
                node = self._node(next(self._events), 0)
                if not (isinstance(node, Scalar) and node.text is None):
                    yield node

    def _node(self, event: Event, depth: int) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        mark = self._mark(event)
        self._bound_depth(depth, mark)
        self._grow(1, mark)
        anchor: str | None = event.anchor  # type: ignore[attr-defined]
        if anchor is not None:
            self._anchors[anchor] = None
        node: Node
        if isinstance(event, ScalarEvent):
            node = Scalar(mark, self._text(event, mark))
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, mark, depth)
        else:
            assert isinstance(event, MappingStartEvent)  # noqa: S101 - the parser's grammar has no other node
            node = self._mapping(event, mark, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _sequence(self, event: SequenceStartEvent, mark: Mark, depth: int) -> Sequence:
        self._expect_tag(event, "seq", "a list", mark)
        node = Sequence(mark)
        while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
            node.append(self._node(inner, depth + 1))
        return node

    def _mapping(self, event: MappingStartEvent, mark: Mark, depth: int) -> Mapping:
        self._expect_tag(event, "map", "a mapping", mark)
        node = Mapping(mark)
        merges: list[Mapping] = []
        merge_at: Mark | None = None
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            at = self._mark(inner) if isinstance(inner, AliasEvent) else key.mark
            value = self._node(next(self._events), depth + 1)
            if not (isinstance(inner, ScalarEvent) and inner.value == "<<" and _is_plain(inner)):
                self._add(node, key, at, value)
                continue
            if merge_at:
                self._problem(at, f"the key << is written twice, first at {merge_at} (expected it once)")
            merge_at = merge_at or at
            merges.extend(self._merged(value, at))
        for source in merges:
            self._merge(node, source, mark)
        return node

    def _add(self, node: Mapping, key: Node, at: Mark, value: Node) -> None:
        if not isinstance(key, Scalar):
            self._problem(at, "a list or mapping cannot be a key (expected text)")
        elif key.text is None:
            self._problem(at, "nothing is written as a key (expected text; put the word null in quotes)")
        elif key.text in node.entries:
            first = node.entries[key.text].key
            self._problem(at, f"the key {shown(key.text)} is written twice, first at {first} (expected it once)")
        else:
            node.add(key.text, Entry(at, value))

    def _merged(self, value: Node, at: Mark) -> list[Mapping]:
        sources = value.items if isinstance(value, Sequence) else [value]
        mappings = [source for source in sources if isinstance(source, Mapping)]
        if len(mappings) != len(sources):
            self._problem(at, "<< merges something that is no mapping (expected *anchor or [*one, *two])")
        return mappings

    def _merge(self, node: Mapping, source: Mapping, mark: Mark) -> None:
        for key, entry in source.entries.items():
            if key not in node.entries:
                node.add(key, entry)
                self._grow(1 + entry.value.size, mark)

    def _alias(self, event: AliasEvent, depth: int) -> Node:
        mark = self._mark(event)
        name = str(event.anchor)
        if name not in self._anchors:
            hint = did_you_mean(name, self._anchors)
            self._problem(mark, f"*{name} refers to no anchor (expected &{name} above it){hint}")
            return Scalar(mark, None)
        node = self._anchors[name]
        if node is None:
            raise _Unreadable(mark, f"*{name} contains itself (expected an anchor that is complete)")
        self._bound_depth(depth + node.height, mark)
        self._grow(node.size, mark)
        return node

    def _text(self, event: ScalarEvent, mark: Mark) -> str | None:
        text: str = event.value
        is_null = text in _NULLS and _is_plain(event)
        tag = event.tag
        if tag is None or tag in _STRING_TAGS:
            return None if is_null and tag is None else text
        core = _CORE_TAGS.get(tag)
        if core is None or not core.fullmatch(text):
            self._problem(mark, f"the tag {_short(tag)} is not allowed on {shown(text)} (expected no tag)")
        return None if tag.endswith(":null") else text

    def _expect_tag(self, event: SequenceStartEvent | MappingStartEvent, core: str, what: str, mark: Mark) -> None:
        if event.tag not in {None, "!", f"tag:yaml.org,2002:{core}"}:
            self._problem(mark, f"the tag {_short(event.tag)} is not allowed on {what} (expected no tag)")

    def _bound_depth(self, depth: int, mark: Mark) -> None:
        if depth >= self._limits.depth:
            message = f"the nesting is deeper than {self._limits.depth} levels (expected a flat document)"
            raise _Unreadable(mark, message)

    def _grow(self, size: int, mark: Mark) -> None:
        self._count += size
        if self._count > self._limits.nodes:
            message = f"more than {self._limits.nodes} values once aliases are expanded (expected fewer)"
            raise _Unreadable(mark, message)

    def _mark(self, event: Event) -> Mark:
        start: Any = event.start_mark  # the stubs allow None, which no parser's event has
        return Mark(self._file, start.line + 1, start.column + 1)

    def _problem(self, mark: Mark, message: str) -> None:
        self._problems.append(Problem(mark, "", message))


def _is_plain(event: ScalarEvent) -> bool:
    return not event.style


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!", 1)
