"""Tests that nothing can fail: which neither assert nor call anything of ours that does."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FAIL = {"AssertionError", "raises", "warns", "fail", "expect"}
"""Calls that fail a test without an `assert`: of Python, pytest and playwright."""


@dataclass(frozen=True, eq=False)
class Routine:
    """A function or method. `calls` are the last names of what it calls."""

    name: str
    line: int
    asserts: bool
    calls: frozenset[str]


@dataclass(frozen=True, eq=False)
class File:
    """What a file defines, by name, and from which module it imports what."""

    path: Path
    routines: Mapping[str, list[Routine]]
    imports: Mapping[str, str]


def without_assertion(texts: Mapping[Path, str]) -> list[str]:
    """Return the tests in these files that cannot fail, as `file:line name`. Paths are relative to the checkout.

    A name that is called is looked up in the file itself, then where it is imported from, then in the `conftest.py`
    beside it, then everywhere: there each routine of that name has to assert, because whose method is called this
    does not know.
    """
    files = {".".join(path.with_suffix("").parts): _read(path, text) for path, text in texts.items()}
    everywhere: dict[str, list[Routine]] = defaultdict(list)
    for file in files.values():
        for name, routines in file.routines.items():
            everywhere[name] += routines

    def meant(name: str, caller: Routine, file: File) -> list[Routine]:
        beside = ".".join((*file.path.parent.parts, "conftest"))
        places = (file, files.get(file.imports.get(name, "")), files.get(beside))
        found = (place.routines.get(name, []) for place in places if place is not None)
        others = ([each for each in same if each is not caller] for same in (*found, everywhere[name]))
        return next(filter(None, others), [])

    left = {
        each: [called for name in each.calls if name in everywhere and (called := meant(name, each, file))]
        for file in files.values()
        for routines in file.routines.values()
        for each in routines
    }
    sure: set[Routine] = set()
    more = {each for each in left if each.asserts}
    while more:
        sure |= more
        left = {each: called for each, called in left.items() if each not in sure}
        more = {each for each, called in left.items() if any(map(sure.issuperset, called))}
    return [
        f"{file.path}:{each.line} {name}"
        for file in files.values() if file.path.name.startswith("test_")
        for name, routines in file.routines.items() if name.startswith("test_")
        for each in routines if each not in sure
    ]  # fmt: skip


def _read(path: Path, text: str) -> File:
    tree = ast.parse(text)
    routines: dict[str, list[Routine]] = defaultdict(list)
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            called = frozenset(_called(node))
            asserts = not _FAIL.isdisjoint(called) or any(isinstance(each, ast.Assert) for each in ast.walk(node))
            routines[node.name].append(Routine(node.name, node.lineno, asserts, called))
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {alias.asname or alias.name: node.module for alias in node.names}
    return File(path, routines, imports)


def _called(routine: ast.AST) -> Iterator[str]:
    """Yield the last names of what a routine calls."""
    for node in ast.walk(routine):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                yield name
