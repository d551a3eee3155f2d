"""Two controllers for one store: the `pvctl` of this checkout, and that of an earlier commit as stations have it.

The earlier one is built from git history and installed, with the dependencies that it was released with, into an
environment of its own under `.cache/releases/<commit>/`. It is a black box: nothing of it is ever imported here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Self

import psutil
import pytest
import uv

import controller
from examples.packing import ABI, CACHE
from examples.packing.tools import exclusively, run
from tests.end_to_end.station import Station

COMMIT = "e9c9e46ceb86f9770962552a549483bd0860fb57"
"""The last commit before the rebuild from inside."""
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Controller:
    """One `pvctl`. `python` is the command that runs its Python, `code` the folder that its modules are in."""

    name: str
    python: tuple[str, ...]
    command: tuple[str, ...]
    code: Path

    def started(self, os_pid: int) -> bool:
        """Whether an algorithm process was started by this one's code: its parent is a script of it."""
        parent = psutil.Process(os_pid).parent()
        return parent is not None and any(part.startswith(f"{self.code}/") for part in parent.cmdline())


def this_checkout() -> Controller:
    """Return the controller under test."""
    python = (sys.executable,)
    return Controller("new", python, (*python, "-m", "controller"), Path(controller.__file__).parent)


def released() -> Controller:
    """Return the controller of `COMMIT`, installed at the first call. Skips the test where its history is not here."""
    home = _installed()
    # Isolated: neither the folder where the tests run nor PYTHONPATH may put this checkout's modules in its place.
    python = (str(home / "bin" / "python"), "-I")
    [code] = home.glob("lib/python*/site-packages/controller")
    return Controller("old", python, (*python, str(home / "bin" / "pvctl")), code)


def _installed() -> Path:
    home = (CACHE / "releases" / COMMIT / ABI).resolve()
    with exclusively(home.with_suffix(".lock")):
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=home.parent) as work:
                source = Path(work, "source")
                zipfile.ZipFile(BytesIO(_archive())).extractall(source)
                _install(source, Path(work, "wheels"), Path(work, "environment"))
                Path(work, "environment").rename(home)
    return home


def _archive() -> bytes:
    """Return the files of `COMMIT` as a zip."""
    try:
        command = ["git", "-C", str(_CHECKOUT), "archive", "--format=zip", COMMIT]
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError:
        why = "git is not installed"
    except subprocess.CalledProcessError as error:
        why = error.stderr.decode(errors="replace").strip()
    else:
        return done.stdout
    pytest.skip(f"the release to upgrade from, commit {COMMIT[:7]}, is not in the history of this checkout: {why}; "
                "`git fetch --unshallow` completes a shallow clone")  # fmt: skip


def _install(source: Path, wheels: Path, environment: Path) -> None:
    """Build the wheel, collect its dependencies with pip (which knows the registry), and install them with uv."""
    constraints = source / "constraints.txt"
    run([sys.executable, "-m", "pip", "wheel", "-q", "-c", str(constraints), "-w", str(wheels), str(source)])
    run([uv.find_uv_bin(), "venv", "-q", "--no-config", "--relocatable", "--python", sys.executable,
          str(environment)])  # fmt: skip
    run([uv.find_uv_bin(), "pip", "install", "-q", "--no-config", "--offline", "--no-index", "--compile-bytecode",
          "--find-links", str(wheels), "--python", str(environment / "bin" / "python"),
          "procvision-controller"])  # fmt: skip


class SharedStation(Station):
    """A station that several controllers work on in turn. Every command goes to `by`, the one that was named last."""

    def __init__(self, root: Path, by: Controller) -> None:
        super().__init__(root)
        self.by = by

    def through(self, by: Controller) -> Self:
        """Return the station itself, asked through another controller from now on."""
        self.by = by
        return self

    def command(self, *arguments: str | Path) -> list[str]:
        return [*self.by.command, *super().command(*arguments)[1:]]
