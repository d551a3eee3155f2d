"""The house rules that no linter knows: charters, sizes, the architecture page, and that nothing is left unused."""

from __future__ import annotations

import ast
import json
import re
import warnings
from pathlib import Path

import pytest

from tests.assertions import without_assertion
from tests.unused import read_package, read_references, unused

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ROOT / "controller"
MODULES = sorted(PRODUCT.rglob("*.py"))
PACKAGES = [path.parent for path in MODULES if path.name == "__init__.py"]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_LINES, MANY_LINES, MOST_LINES_OF_A_FUNCTION = 400, 300, 60


def name(path: Path) -> str:
    return str(path.relative_to(PRODUCT)) if path != PRODUCT else "controller"


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_a_package_says_what_lives_there_and_what_does_not(package: Path) -> None:
    charter = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""

    assert len(re.findall(r"[.)](?=\s|$)", charter)) >= 2
    assert re.search(r"^Here lives? ", charter, re.MULTILINE), "it does not say what lives there"
    assert re.search(r"^Not here: ", charter, re.MULTILINE), "it does not say what does not"


def test_modules_are_of_a_size_that_is_read_at_once() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    if many := {each: count for each, count in lines.items() if count > MANY_LINES}:
        warnings.warn(f"modules of more than {MANY_LINES} lines: {many}", stacklevel=1)
    assert {each: count for each, count in lines.items() if count > MOST_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    routines = (
        (f"{name(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    assert {each: lines for each, lines in routines if lines > MOST_LINES_OF_A_FUNCTION} == {}


@pytest.mark.parametrize("package", PACKAGES[1:], ids=name)
def test_the_architecture_page_names_every_package(package: Path) -> None:
    assert re.search(rf"(?<![\w/]){name(package)}(?:/|`)", ARCHITECTURE)


def places_named(text: str) -> set[str]:
    """Return the places in the product that a text names: `calls/data_plane.py`, `calls/plane`, `reconciler.ports`."""
    rooms = "|".join(package.name for package in PACKAGES if package.parent == PRODUCT)
    return {
        *re.findall(rf"(?<![\w/.])(?:{rooms})/[\w/]*\w(?:\.py)?", text),
        *(each.replace(".", "/") for each in re.findall(rf"(?<![\w/.])(?:{rooms})\.(?!py\b)[a-z_]+(?![\w(/])", text)),
    }


def modules_named(text: str) -> set[str]:
    """Return the modules that a text names without their place, such as `loop.py`."""
    return set(re.findall(r"(?<![\w/.<>-])\w+\.py\b", text))


def test_the_architecture_page_names_no_place_that_is_not_there() -> None:
    there = {name(path) for path in MODULES} | {name(package) for package in PACKAGES}

    assert {each for each in places_named(ARCHITECTURE) if not {each, f"{each}.py"} & there} == set()
    assert modules_named(ARCHITECTURE) <= {path.name for path in MODULES}


def test_the_simulator_uses_public_names_only_and_patches_nothing() -> None:
    for path in sorted((ROOT / "tests" / "simulator").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        private = {
            ast.unparse(node)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and re.match(r"_(?!_)", node.attr) and ast.unparse(node.value) != "self"
        }
        assert private == set(), path.name
        assert not re.search(r"monkeypatch|\bmock\b|\bsetattr\(", text), path.name


def test_every_test_can_fail() -> None:
    paths = sorted((ROOT / "tests").rglob("*.py"))
    files = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in paths}

    assert without_assertion(files) == []


IDLE = """
def look(): return 1
def check(): assert look()
class Cat:
    def purrs(self): check()
class Dog:
    def purrs(self): pass
def test_looks(): look()
def test_listens(cat): cat.purrs()
def test_checks(): [check() for _ in "ab"]
async def test_fails():
    with pytest.raises(OSError):
        look()
"""


def test_a_test_that_nothing_can_fail_is_found() -> None:
    found = without_assertion({Path("test_idle.py"): IDLE})

    assert found == ["test_idle.py:8 test_looks", "test_idle.py:9 test_listens"]


GOODS = """
from typing import Protocol

class Priced(Protocol):
    def price(self) -> int: ...

class Bread:
    def price(self) -> int:
        return 2

    @classmethod
    def of(cls, flour: str) -> "Bread":
        return cls.of(flour[1:]) if flour else cls()

class Cake:
    @classmethod
    def of(cls, flour: str) -> "Cake":
        return cls()

class Stale:
    pass

def total(each: Priced) -> Bread | Cake | int:
    return each.price() or Cake.of("wheat")
"""
REFERRED = {"shop.goods.Bread.of": 13, "shop.goods.Cake.of": 24, "shop.goods.Priced.price": 24}
"""What mypy writes down of it, with the lines."""


def test_what_nothing_refers_to_is_found_even_where_another_class_has_a_method_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "goods.py").write_text(GOODS)
    written = [{"target": target, "line": line, "column": 0} for target, line in REFERRED.items()]
    (tmp_path / "shop" / "goods.refs.json").write_text(json.dumps(written))

    found = unused(read_package(tmp_path / "shop"), read_references(tmp_path, ["shop/goods.py"]))

    assert {each.full_name for each in found} == {"shop.goods.Bread.of", "shop.goods.Stale", "shop.goods.total"}
