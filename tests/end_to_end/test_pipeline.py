"""The git-driven example pipeline against a local bare repository, real packages and real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.packing import pack, projects

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "pipeline" / "deploy"
DEPLOYMENT = "surface-scratch.yaml"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("git") is None, reason="the pipeline needs git, which is not installed"),
]


class Line:
    """A repository of desired trees, an operator's clone of it, and a station whose CI job is `deploy`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "desired.git"
        self.clone = folder / "clone"
        self.store = folder / "runtime_store"
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PVCTL_STORE": str(self.store),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "Operator",
            "GIT_AUTHOR_EMAIL": "operator@example.com",
            "GIT_COMMITTER_NAME": "Operator",
            "GIT_COMMITTER_EMAIL": "operator@example.com",
        }
        self.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.repository), check=True)
        self.run("git", "clone", "--quiet", str(self.repository), str(self.clone), check=True)
        self.run("git", "-C", str(self.clone), "checkout", "--quiet", "-B", "main", check=True)

    def run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=check,
        )  # fmt: skip

    def push(self, replace: str = "", by: str = "") -> str:
        """Push the example tree, with one text of the scratch deployment replaced, and return the commit."""
        shutil.copytree(ROOT / "examples" / "desired", self.clone / "desired", dirs_exist_ok=True)
        document = self.clone / "desired" / DEPLOYMENT
        document.write_text(
            document.read_text(encoding="utf-8").replace(replace, by) if replace else document.read_text()
        )
        git = ("git", "-C", str(self.clone))
        self.run(*git, "add", "--all", check=True)
        self.run(*git, "commit", "--quiet", "--allow-empty", "--message", f"Set {by or 'the example tree'}", check=True)
        self.run(*git, "push", "--quiet", "origin", "main", check=True)
        return self.run(*git, "rev-parse", "HEAD", check=True).stdout.strip()

    def deploy(self) -> subprocess.CompletedProcess[str]:
        return self.run(str(DEPLOY), str(self.repository), "main")

    def mappings(self) -> dict[str, tuple[str, int]]:
        """Return content and time of change of every active mapping."""
        files = sorted((self.store / "active").glob("*.json"))
        return {file.stem: (file.read_text(encoding="utf-8"), file.stat().st_mtime_ns) for file in files}

    def versions(self) -> dict[str, str]:
        return {pid: json.loads(text)["version"] for pid, (text, _) in self.mappings().items()}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    line = Line(tmp_path_factory.mktemp("line"))
    for project in projects():
        pack(project, line.store / "algorithms" / "zips")
    yield line
    assert line.run("pvctl", "down").returncode == 0


def test_a_good_push_is_applied_and_the_next_run_has_nothing_to_do(line: Line) -> None:
    commit = line.push()

    first = line.deploy()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "== changes pending" in first.stdout
    assert line.versions() == {"A01": "1.0.0", "A02": "1.0.0", "A03": "1.0.0", "A04": "1.0.0", "B01": "1.0.0"}
    status = json.loads(line.run("pvctl", "--desired", "workspace/desired", "-o", "json", "status").stdout)
    assert status["revision"]["id"] == commit
    assert status["converged"]

    applied = line.mappings()
    second = line.deploy()
    assert second.returncode == 0, second.stdout + second.stderr
    assert "== nothing to change" in second.stdout
    assert line.mappings() == applied


def test_a_push_of_the_next_version_moves_that_deployment_only(line: Line) -> None:
    line.push()
    assert line.deploy().returncode == 0
    before = line.mappings()

    line.push("version: 1.0.0", "version: 1.1.0")
    done = line.deploy()

    assert done.returncode == 0, done.stdout + done.stderr
    assert line.versions() == {"A01": "1.1.0", "A02": "1.1.0", "A03": "1.1.0", "A04": "1.1.0", "B01": "1.0.0"}
    assert line.mappings()["B01"] == before["B01"]


def test_a_bad_push_is_refused_with_its_place_and_changes_nothing(line: Line) -> None:
    line.push()
    assert line.deploy().returncode == 0
    before = line.mappings()

    line.push("  pids:", "  pidz:")
    done = line.deploy()

    where = (ROOT / "examples" / "desired" / DEPLOYMENT).read_text(encoding="utf-8").splitlines()
    number = next(number for number, text in enumerate(where, start=1) if text.startswith("  pids:"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"{DEPLOYMENT}:{number}" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "pvctl plan" not in done.stdout
    assert line.mappings() == before
