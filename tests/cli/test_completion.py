"""The completion scripts; that of bash in a real bash, the others where their shell is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Pvctl

# What readline does at the Tab key: the words, the cursor at the last one's end, the registered function.
TAB = """
source "$1"; shift
COMP_WORDS=(pvctl "$@"); COMP_CWORD=$#; COMP_LINE="pvctl $*"; COMP_POINT=${#COMP_LINE}
registered=$(complete -p pvctl); function=${registered#*-F }; function=${function%% *}
"$function" pvctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(pvctl: Pvctl, tmp_path: Path) -> Path:
    path = tmp_path / "pvctl.bash"
    path.write_text(pvctl("completion", "bash").out)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    (folder / "parts").mkdir(parents=True)
    (folder / "part.png").touch()
    return folder


def complete(script: Path, folder: Path, *words: str) -> set[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB, "bash", script, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.splitlines()} - {""}


def test_commands(script: Path, folder: Path) -> None:
    assert complete(script, folder, "re") == {
        "reconcile",
        "recordings",
        "replay",
        "restart",
        "resume",
        "retry",
        "revisions",
    }
    assert complete(script, folder, "-o", "json", "sta") == {"status"}
    assert complete(script, folder, "package", "") >= {"validate", "show"}


def test_options_and_their_values(script: Path, folder: Path) -> None:
    assert complete(script, folder, "exec", "A01", "--gui") == {"--guide-image", "--guide-info"}
    assert complete(script, folder, "status", "--st") == {"--store"}
    assert complete(script, folder, "--st") == {"--store"}
    assert complete(script, folder, "package", "show", "--des") == {"--desired"}
    assert complete(script, folder, "status", "-o", "") >= {"table", "json", "yaml"}
    assert complete(script, folder, "completion", "z") == {"zsh"}


def test_paths(script: Path, folder: Path) -> None:
    assert complete(script, folder, "exec", "A01", "--image", "par") == {"part.png", "parts"}
    assert complete(script, folder, "install", "part.") == {"part.png"}
    assert complete(script, folder, "status", "--store", "par") == {"parts"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_name_every_command_and_are_well_formed(pvctl: Pvctl, tmp_path: Path, shell: str) -> None:
    text = pvctl("completion", shell).out
    assert all(word in text for word in ("reconcile", "guide-image", "log-level", "rollback"))
    if program := shutil.which(shell):
        path = tmp_path / "script"
        path.write_text(text)
        subprocess.run([program, "-n", path], check=True)
