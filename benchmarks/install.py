"""Install of a package whose wheels the station has already: against unzip + uv + one import, and against venv + pip.

Each round installs another version of one package, ours and bare in turn, from zips of the real packager. The bare
mechanism gets its best case: uv's cache is warm for the very folder of wheels that it is given.

usage: python -m benchmarks.install [ROUNDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import uv

from benchmarks.table import Row, median_ratio, megabytes, milliseconds, print_table
from controller.packages.install import Installer
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import ECHO, build_package

_NAME, _ENTRY = "bench-install", "bench_install.main"
_AIM = 1.2


def run(rounds: int = 7) -> list[Row]:
    """Measure `rounds` paired installs of further versions, and one by venv and pip."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        first, *others = [
            build_package(work / "zips", name=_NAME, version=f"1.{number}.0", source=ECHO)
            for number in range(rounds + 1)
        ]
        installer = _installer(work / "store")
        bare = _Bare(work / "bare", first)
        installer.install(first)
        bare.install(first)
        ours_s: list[float] = []
        bare_s: list[float] = []
        ours_bytes: list[int] = []
        for turn, package in enumerate(others):
            before = _inodes(work / "store")
            steps: list[tuple[list[float], Callable[[Path], object]]] = [
                (ours_s, installer.install), (bare_s, bare.install),
            ]  # fmt: skip
            for seconds, install in steps if turn % 2 else reversed(steps):
                seconds.append(_timed(install, package))
            ours_bytes.append(_new_bytes(work / "store", before))
        pip_s = _timed(lambda package: _venv_and_pip(work / "pip", package), first)
        pip_bytes = _new_bytes(work / "pip", set())
    ours, size = sorted(ours_s)[len(ours_s) // 2], sorted(ours_bytes)[len(ours_bytes) // 2]
    return [
        Row("install of a second version / unzip + uv + import", milliseconds(ours_s), milliseconds(bare_s),
            median_ratio(ours_s, bare_s), _AIM),
        Row(f"the same / venv + pip + import: {pip_s / ours:.0f} × faster", milliseconds(ours), milliseconds(pip_s),
            ours / pip_s),
        Row(f"new blocks on disk / venv + pip: {pip_bytes / size:.0f} × less", megabytes(size), megabytes(pip_bytes),
            size / pip_bytes),
    ]  # fmt: skip


def _installer(root: Path) -> Installer:
    layout = StoreLayout.at(root)
    return Installer(layout, MutationLock(layout), now=lambda: "2026-01-01T00:00:00Z")


def _timed(act: Callable[[Path], object], package: Path) -> float:
    began = time.perf_counter()
    act(package)
    return time.perf_counter() - began


class _Bare:
    """unzip + `uv venv` + `uv pip install` + one import, and nothing else: no check, no proof, nothing durable."""

    def __init__(self, folder: Path, first: Path) -> None:
        self._folder = folder
        self._wheels = folder / "wheels"
        with zipfile.ZipFile(first) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith("wheels/")])

    def install(self, package: Path) -> None:
        target = self._folder / package.stem
        with zipfile.ZipFile(package) as archive:
            archive.extractall(target)
        root, python = target / _NAME, target / "venv" / "bin" / "python"
        options = ["-q", "--offline", "--no-config", "--cache-dir", str(self._folder / "cache")]
        _run([uv.find_uv_bin(), "venv", *options, "--python", sys.executable, str(target / "venv")])
        _run([uv.find_uv_bin(), "pip", "install", *options, "--no-index", "--find-links", str(self._wheels),
              "--python", str(python), "-r", str(root / "requirements.txt")])  # fmt: skip
        _run([str(python), "-c", f"import procvision_algorithm_sdk.adapter.__main__, {_ENTRY}"], cwd=root)


def _venv_and_pip(folder: Path, package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    python = folder / "venv" / "bin" / "python"
    _run([sys.executable, "-m", "venv", str(folder / "venv")])
    _run([str(python), "-m", "pip", "install", "-q", "--no-index", "--find-links", str(folder / "wheels"),
          "-r", str(folder / _NAME / "requirements.txt")])  # fmt: skip
    _run([str(python), "-c", f"import {_ENTRY}"], cwd=folder / _NAME)


def _run(command: list[str], cwd: Path | None = None) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_", "PYTHON"))}
    subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)


def _inodes(folder: Path) -> set[int]:
    return {path.lstat().st_ino for path in folder.rglob("*")}


def _new_bytes(folder: Path, before: set[int]) -> int:
    blocks = {stat.st_ino: stat.st_blocks * 512 for path in folder.rglob("*") for stat in [path.lstat()]}
    return sum(size for inode, size in blocks.items() if inode not in before)


if __name__ == "__main__":
    sys.exit(not print_table(run(*map(int, sys.argv[1:2]))))
