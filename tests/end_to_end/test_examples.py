"""What the examples and the documents promise: trees validate, projects pack, algorithms see what they say."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.errors import Code
from examples import parts
from examples.demo.page import stay
from examples.demo.station import Station as DemoStation
from examples.demo.station import Unexpected
from examples.packing import ALGORITHMS, pack, projects

ROOT = Path(__file__).resolve().parents[2]
PVCTL = Path(sys.executable).with_name("pvctl")
TREES = ["desired", "desired-canary", "desired-full"]
PAGES = ["README.md", "docs/operations.md"]


def pvctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PVCTL, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("tree", TREES)
def test_desired_trees_are_valid(tree: str) -> None:
    done = pvctl("validate", f"examples/{tree}")
    assert done.returncode == 0, done.stderr


@pytest.mark.real
@pytest.mark.parametrize("project", projects(), ids=lambda project: f"{project.parent.name}-{project.name}")
def test_projects_pack_into_valid_packages(project: Path, tmp_path: Path) -> None:
    done = pvctl("package", "validate", str(pack(project, tmp_path)))
    assert done.returncode == 0, done.stderr


def algorithm(version: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a version of the example algorithm, loaded into this process."""
    monkeypatch.syspath_prepend(str(ALGORITHMS / "scratch_inspector" / version))
    for name in ("scratch_inspector", "scratch_inspector.main"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("scratch_inspector.main").ScratchInspectorAlgorithm()


def inspect(version: str, monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> dict[str, Any]:
    """Return the data of one detection by a version of the example algorithm."""
    answer = algorithm(version, monkeypatch).execute(1, "", image, image, [])
    assert answer["status"] == "OK"
    data: dict[str, Any] = answer["data"]
    return data


def test_the_bad_version_answers_error_to_one_call_in_five(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, image = algorithm("1.2.0", monkeypatch), parts.draw_part((), 50)
    statuses = [bad.execute(1, "", image, image, [])["status"] for _ in range(10)]
    assert statuses == ["OK", "OK", "OK", "OK", "ERROR"] * 2


@pytest.mark.parametrize("seed", range(50, 55))
@pytest.mark.parametrize(
    ("version", "scratches", "found"),
    [
        ("1.0.0", (), 0),
        ("1.0.0", (parts.DEEP,), 1),
        ("1.0.0", (parts.FAINT,), 0),
        ("1.1.0", (), 0),
        ("1.1.0", (parts.DEEP,), 1),
        ("1.1.0", (parts.FAINT,), 1),
        ("1.1.0", (parts.DEEP, parts.FAINT), 2),
    ],
)
def test_the_scratch_inspector_finds_what_its_version_can_see(
    version: str, scratches: tuple[Any, ...], found: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = inspect(version, monkeypatch, parts.draw_part(scratches, seed))
    assert len(data["defect_rects"]) == found
    assert data["result_status"] == ("NG" if found else "OK")


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_a_rectangle_lies_around_its_scratch(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (rect,) = inspect(version, monkeypatch, parts.draw_part((parts.DEEP,), 3))["defect_rects"]
    (left, top), (right, bottom), _ = parts.DEEP
    tolerance = 16
    assert abs(rect["x"] - left) <= tolerance
    assert abs(rect["y"] - top) <= tolerance
    assert abs(rect["x"] + rect["width"] - right) <= tolerance
    assert abs(rect["y"] + rect["height"] - bottom) <= tolerance


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = parts.write_parts(tmp_path / "a"), parts.write_parts(tmp_path / "b")
    assert {name: path.read_bytes() for name, path in first.items()} == {
        name: path.read_bytes() for name, path in second.items()
    }


@pytest.mark.parametrize("page", PAGES)
def test_documents_name_only_commands_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"pvctl ((?:package )?[a-z]+)", text))
    known = pvctl("--help").stdout
    assert named
    unknown = [name for name in named if not re.search(rf"^\W*{name.split()[0]}\b", known, re.MULTILINE)]
    assert not unknown


def test_operations_explain_every_error_code() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    missing = [code for code in Code if f"| {code.value} {code.name} |" not in text]
    assert not missing


def test_the_demos_token_opens_nothing_once_its_daemon_has_died(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = DemoStation(tmp_path)
    station.zips.mkdir(parents=True)
    station.desired.mkdir()

    def tokens() -> list[str]:
        told = station.run("-o", "json", "token", "list", show=False)
        return [each["name"] for each in json.loads(told)["tokens"]]

    def died() -> None:
        assert tokens() == ["demo"]
        raise Unexpected("the daemon ended with 1")

    station.check_daemon = died  # type: ignore[method-assign]
    with pytest.raises(Unexpected, match="ended with 1"):
        stay(station)

    assert re.search(r"Token: +pvt_\w+", capsys.readouterr().out)
    assert tokens() == []
