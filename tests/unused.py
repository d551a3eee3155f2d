"""`python -m tests.unused`: the functions, methods and classes of the product that no line of the product refers to.

Runs after mypy (`make lint`), which writes down what each line refers to, types taken into account (`export_ref_info`):
a method counts as used where a value of its class, of a base or subclass of it, or of a protocol is asked for it. So
two methods of one name are told apart, which a search by names cannot do. Use in `tests/` is no use.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = ROOT / ".mypy_cache" / "3.11"
ALLOWED = {
    "controller.cli.*.add_arguments": "app.py imports a command's module when the command is asked for",
    "controller.cli.*.run": "the same",
    "controller.cli.parser.Parser.parse_known_args": "argparse calls it for each subcommand",
    "controller.cli.parser.Parser.error": "argparse calls it on wrong usage",
    "controller.cli.parser._Help._fill_text": "argparse calls it for a description",
    "controller.client.exchange.Exchange.on_*": "httptools calls it as it parses",
    "controller.gateway.listener._Protocol.connection_*": "asyncio calls it",
    "controller.gateway.upstream.Connection.on_*": "httptools calls it as it parses",
    "controller.host.adapter_pictures.install": "adapter_entry.py loads it by its place on the disk",
    "controller.host.adapter_pictures.Numpy.load": "the SDK calls it, as numpy's",
    "controller.http.connections.StationProtocol.*": "asyncio, httptools and uvicorn call it",
    "controller.http.connections._Together.*": "uvicorn calls it",
    "controller.http.quick.QuickCycle.set": "the same",
    "controller.http.whole_body.BodyReceiver.*": "asyncio calls it",
    "controller.http.whole_body.Reader.*": "the same",
    "controller.json_log.LogFile.handleError": "logging calls it where a record cannot be written",
    "controller.json_log.LogFile.close": "closed by its block as a handler",
    "controller.json_log._Lines.handleError": "logging calls it where a record finds no room",
    "controller.json_log._Lines.prepare": "logging calls it for each record",
    "controller.model.desired.DeploymentSpec._parts_agree": "pydantic calls a validator",
    "controller.model.document.Part._without_ignored": "pydantic calls a validator",
    "controller.model.recording.Recording._something_is_meant": "the same",
    "controller.model.strategy.Canary._pictures_can_be_compared": "the same",
    "controller.model.strategy.CanaryStep._exactly_one": "the same",
    "controller.model.strategy.Strategy._progress_is_possible": "the same",
    "controller.processes.shim.serve.serve": "shim.py loads it by its place on the disk",
    "controller.sources.watch.*.on_any_event": "watchdog calls it",
}
"""What a framework calls, and how."""


@dataclass(frozen=True)
class Definition:
    """Where something is defined. `owner` is its class or module."""

    name: str
    owner: str
    file: str
    lines: range

    @property
    def full_name(self) -> str:
        return f"{self.owner}.{self.name}"


@dataclass
class Package:
    """What a package defines; `bases` are the names that each class names as its own."""

    routines: list[Definition] = field(default_factory=list)
    classes: dict[str, Definition] = field(default_factory=dict)
    bases: dict[str, frozenset[str]] = field(default_factory=dict)
    names: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    """Where each name stands, in code or in quotes."""
    lines: dict[str, frozenset[str]] = field(default_factory=dict)
    """Of each class those above it, as they were asked for."""
    kins: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, node: ast.AST, owner: str, file: str) -> None:
        """Add what stands in a module or class."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                lines = range(child.lineno, (child.end_lineno or child.lineno) + 1)
                definition = Definition(child.name, owner, file, lines)
                if isinstance(child, ast.ClassDef):
                    self.classes[definition.full_name] = definition
                    self.bases[definition.full_name] = frozenset(map(_last_name, child.bases))
                    self.add(child, definition.full_name, file)
                elif not child.name.startswith("__"):
                    self.routines.append(definition)
            elif isinstance(child, ast.If | ast.Try):
                self.add(child, owner, file)

    def kin(self, owner: str) -> frozenset[str]:
        """Return the classes whose values may be asked for a method of `owner`: itself, its line, protocols it fits."""
        if owner not in self.kins:
            self.kins[owner] = self._kin(owner)
        return self.kins[owner]

    def _kin(self, owner: str) -> frozenset[str]:
        above, below = self._above(owner), {each for each in self.classes if owner in self._above(each)}
        methods = self._methods({owner, *above})
        ports = {
            each for each, bases in self.bases.items() if "Protocol" in bases and self._methods({each}) <= methods
        }  # fmt: skip
        return frozenset({owner, *above, *below, *ports})

    def _methods(self, owners: set[str]) -> set[str]:
        return {each.name for each in self.routines if each.owner in owners}

    def _above(self, owner: str) -> frozenset[str]:
        if owner not in self.lines:
            names = self.bases[owner]
            direct = {each for each, found in self.classes.items() if found.name in names and each != owner}
            self.lines[owner] = frozenset(direct).union(*(self._above(each) for each in direct))
        return self.lines[owner]


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def read_package(folder: Path) -> Package:
    """Return what the modules below a folder define, and the names that stand in them."""
    package = Package()
    for path in sorted(folder.rglob("*.py")):
        file = str(path.relative_to(folder.parent))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package.add(tree, file.removesuffix(".py").removesuffix("/__init__").replace("/", "."), file)
        for name, line in _names(tree):
            package.names[name].append((file, line))
    return package


def _names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                yield name, node.lineno


def read_references(cache: Path, files: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
    """Return where each full name is referred to. `*.name` is what mypy could not tell the type of."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for file in files:
        written = cache / f"{file.removesuffix('.py')}.refs.json"
        for each in json.loads(written.read_bytes()):
            found[each["target"]].append((file, each["line"]))
    return found


def read_templates(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Return where templates name attributes; of which type, nobody can tell."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path in sorted(folder.rglob("*.html")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            for code in re.findall(r"{[{%](.*?)[}%]}", line):
                for name in re.findall(r"\.([a-z_]\w*)", re.sub(r"'[^']*'", "", code)):
                    found[f"*.{name}"].append((path.name, number))
    return found


def unused(package: Package, references: Mapping[str, list[tuple[str, int]]]) -> Iterator[Definition]:
    """Yield what is referred to nowhere but in its own definition."""

    def used(definition: Definition, places: Iterable[tuple[str, int]]) -> bool:
        return any(file != definition.file or line not in definition.lines for file, line in places)

    for definition in package.routines:
        is_method = definition.owner in package.classes
        owners = {*package.kin(definition.owner), "*"} if is_method else {definition.owner}
        places = (place for owner in owners for place in references.get(f"{owner}.{definition.name}", ()))
        if not used(definition, places):
            yield definition
    for definition in package.classes.values():
        if not used(definition, package.names[definition.name]):
            yield definition


def main() -> int:
    """Print what is unused and not allowed, and what is allowed and not found; return the exit code."""
    package = read_package(ROOT / "controller")
    files = {each.file for each in (*package.routines, *package.classes.values())}
    try:
        references = {**read_references(REFERENCES, files)}
        for name, places in read_templates(ROOT / "controller").items():
            references[name] = [*references.get(name, ()), *places]
        found = {each.full_name: each for each in unused(package, references)}
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename} is missing: run mypy first (pyproject.toml: export_ref_info)\n")
        return 1
    wrong = [name for name in found if not any(fnmatchcase(name, pattern) for pattern in ALLOWED)]
    for name in wrong:
        sys.stderr.write(f"{found[name].file}:{found[name].lines.start}: the product uses {name} nowhere; delete it\n")
    stale = [pattern for pattern in ALLOWED if not any(fnmatchcase(name, pattern) for name in found)]
    for pattern in stale:
        sys.stderr.write(f"tests/unused.py: {pattern} is allowed and needs no allowance any more; remove it\n")
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main())
