"""A virtual environment for each server: a dependency group of pyproject.toml, kept in `.cache/peers/`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import uv

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "peers"
_PATIENCE = 300.0
"""Seconds that one installation may take."""


class NotInstalled(Exception):
    """A server cannot be had on this machine; says why."""


def python_of(group: str) -> Path:
    """Return the interpreter of a group's environment, which is made where there is none or its pins have changed.

    Raises:
        NotInstalled: the registry has no such release for this machine, or does not answer in time.
    """
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"][group]
    mark = hashlib.sha256(repr((sys.version, pins)).encode()).hexdigest()
    home = CACHE / group
    stamp = home / "installed"
    if not stamp.exists() or stamp.read_text() != mark:
        print(f"bench-peers: installing {', '.join(pins)}", file=sys.stderr, flush=True)
        _install(group, home)
        stamp.write_text(mark)
    return home / "bin" / "python"


def _install(group: str, home: Path) -> None:
    """Install with uv; with pip where uv cannot, since only pip reads its own configuration of registries."""
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run([uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(home)])
        python = str(home / "bin" / "python")
        try:
            _run(
                [
                    uv.find_uv_bin(),
                    "pip",
                    "install",
                    "--quiet",
                    "--compile-bytecode",
                    "--python",
                    python,
                    "--group",
                    group,
                ]
            )
        except NotInstalled:
            _run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--group", group])
    except NotInstalled:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _run(command: list[str]) -> None:
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"its installation took more than {_PATIENCE:.0f} s") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()[-3:] or ["no word of why"]
        raise NotInstalled(f"its installation failed: {' '.join(words)[-300:]}")
