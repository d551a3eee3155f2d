"""What tests need of the system: installed where that may be, and told plainly where it may not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.system import program, requires

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "set-up-system"


def set_up(tools: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up where nothing is on the PATH but a shell and the tools in a folder."""
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, str(SCRIPT)], env={"PATH": str(tools), **environment}, capture_output=True, text=True, check=False
    )


def add(tools: Path, *names: str, text: str = "exit 0") -> None:
    tools.mkdir(exist_ok=True)
    for name in names:
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)


def test_what_cannot_be_installed_is_told_with_the_reason_and_fails_nothing(tmp_path: Path) -> None:
    done = set_up(tmp_path)

    assert done.returncode == 0
    assert done.stderr.startswith(
        "set-up: missing: chromium prometheus fontconfig fonts-wqy-microhei (there is no apt-get"
    )


def test_nothing_is_installed_where_that_is_not_wanted(tmp_path: Path) -> None:
    add(tmp_path, "apt-get", text="exit 1")

    assert "(PVCTL_SYSTEM is off)" in set_up(tmp_path, PVCTL_SYSTEM="off").stderr


def test_nothing_is_done_where_everything_is_there(tmp_path: Path) -> None:
    add(tmp_path, "chromium", "prometheus", "promtool", "apt-get")
    add(tmp_path, "fc-list", text="echo Micro Hei")

    done = set_up(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_test_whose_program_is_missing_is_skipped_with_its_name() -> None:
    assert program("sh") is not None
    assert requires("sh").args == (False,)

    mark = requires("sh", "no-such-program")
    assert mark.args == (True,)
    assert mark.kwargs["reason"] == "this system has no no-such-program; scripts/set-up-system says why"
