"""The files of deploy/: what service manager and container engine would make of them, as far as they can be asked here.

No container engine is needed or used: the Containerfile is read, not built.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "procvision-controller.service"
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
INSTRUCTIONS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER",
    "VOLUME", "WORKDIR",
}  # fmt: skip


def settings() -> dict[str, list[str]]:
    """Return the unit's settings; one may stand there several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if re.match(r"[A-Za-z]+=", line):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_the_unit_passes_the_service_managers_own_check(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    [command] = settings()["ExecStart"]
    here = str(Path(sys.executable).with_name("pvctl"))
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(command.split()[0], here), encoding="utf-8")

    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_lets_algorithms_outlive_the_controller() -> None:
    unit = settings()

    assert unit["KillMode"] == ["process"]
    assert unit["OOMPolicy"] == ["continue"]
    assert unit["Restart"] == ["always"]
    assert unit["Type"] == ["notify"]
    assert unit["WatchdogSec"]
    parts_old_from_new = {"PrivateTmp", "RuntimeDirectory", "PrivateDevices", "ProtectClock", "RestrictSUIDSGID"}
    assert not parts_old_from_new & unit.keys()


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions, each with its arguments on one line."""
    lines = [line for line in CONTAINERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_the_containerfile_is_made_of_known_instructions_and_of_files_that_exist() -> None:
    found = instructions()

    assert {name for name, _ in found} <= INSTRUCTIONS
    assert [rest for name, rest in found if name == "FROM"] == ["python:3.11-slim AS build", "python:3.11-slim"]
    copied = [word for name, rest in found if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]]
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_the_container_reaps_keeps_its_store_and_tells_of_its_health() -> None:
    found = dict(instructions())
    variables = dict(pair.split("=", 1) for pair in found["ENV"].split())

    assert json.loads(found["ENTRYPOINT"]) == ["/usr/bin/tini", "--", "pvctl"]
    assert json.loads(found["CMD"]) == ["run"]
    assert set(json.loads(found["VOLUME"])) == {variables["PVCTL_STORE"], variables["PVCTL_DESIRED"]}
    check = json.loads(found["HEALTHCHECK"].partition("CMD")[2])
    assert f"{variables['PVCTL_STORE']}/run/runner.sock" in check
    assert found["USER"] != "root"
