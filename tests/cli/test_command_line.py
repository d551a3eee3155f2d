"""The command line as a caller sees it: exit code, stdout and stderr. Nothing is faked but the algorithms' absence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.__main__ import Product
from controller.cli.app import run
from controller.store.layout import StoreLayout
from controller.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Store.at(StoreLayout.at(tmp_path / "store"), lambda: "").create_folders()
    return tmp_path / "store"


@pytest.mark.parametrize("command", [["down"], ["uninstall", "screw", "1.0.0"], ["retry", "screw-check"]])
def test_a_mistyped_store_is_named_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run([*command, "--store", str(tmp_path / "stroe")], Product) == 1

    assert f"there is no store at {tmp_path / 'stroe'}" in capsys.readouterr().err
    assert not (tmp_path / "stroe").exists()


@pytest.mark.parametrize("option", ["--store", "--desired"])
@pytest.mark.parametrize("before", [True, False])
def test_an_empty_path_is_wrong_usage(capsys: pytest.CaptureFixture[str], option: str, before: bool) -> None:
    assert run([option, "", "status"] if before else ["status", option, ""], Product) == 64

    assert "the path is empty" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["audit", "-n", "-1"], ["logs", "screw-check", "-n", "-1"]])
def test_a_negative_number_of_lines_is_wrong_usage(store: Path, command: list[str]) -> None:
    assert run([*command, "--store", str(store)], Product) == 64


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        (["install", "absent.zip"], 2001, 4),
        (["package", "show", "absent.zip"], 2001, 4),
        (["uninstall", "screw", "1.0.0"], 2007, 1),
        (["exec", "A01", "--image", "absent.png"], 1002, 1),
        (["history", "A01"], 1001, 1),
    ],
)
def test_an_error_with_a_code_is_the_same_object_in_every_command(
    store: Path, capsys: pytest.CaptureFixture[str], form: str, command: list[str], code: int, exit_code: int
) -> None:
    assert run([*command, "--store", str(store), "-o", form], Product) == exit_code

    error = parse(form, capsys.readouterr().out)["error"]
    assert error["code"] == code
    assert error.keys() == {"code", "name", "message", "details"}


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_down_answers_a_machine_too_and_says_when_nothing_ran(
    store: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert run(["down", "--store", str(store), "-o", form], Product) == 0
    assert parse(form, capsys.readouterr().out) == {"ended": []}

    assert run(["down", "--store", str(store)], Product) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no process of this store runs\n")


def test_an_error_of_the_machine_is_a_line_and_no_traceback(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("controller.cli.version.emit", full)

    assert run(["version", "--store", str(store)], Product) == 1
    assert capsys.readouterr().err == "error: No space left on device\n"


def test_a_working_directory_that_was_removed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert run(["status"], Product) == 1
    assert "error: the working directory was removed\n  next: go to another one" in capsys.readouterr().err


def parse(form: str, text: str) -> Any:
    return json.loads(text) if form == "json" else yaml.safe_load(text)
