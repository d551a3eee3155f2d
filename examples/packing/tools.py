"""What packing needs, fetched once and kept in `.cache/`: the packager of each SDK generation and its wheels."""

from __future__ import annotations

import base64
import csv
import fcntl
import hashlib
import importlib.metadata
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import uv

Generation = Literal["0.3", "0.0"]

CACHE = Path(__file__).resolve().parent.parent.parent / ".cache"
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ABI = f"cp{sys.version_info.major}{sys.version_info.minor}"
SDK_VERSIONS: dict[Generation, str] = {"0.3": "0.3.2", "0.0": "0.0.7"}


def sdk_wheels(generation: Generation) -> list[Path]:
    """Return the wheels that a package of this generation carries, downloaded at the first call."""
    folder = CACHE / "wheels" / f"{ABI}-{SDK_VERSIONS[generation]}"
    with exclusively(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                pins = [f"{name}=={importlib.metadata.version(name)}" for name in ("numpy", "pillow")]
                wanted = [f"procvision-algorithm-sdk=={SDK_VERSIONS[generation]}", pins[0]]
                extra = [pins[1]] if generation == "0.0" else []
                run([sys.executable, "-m", "pip", "download", "-q", "-d", f"{work}/wheels",
                      "--only-binary=:all:", *wanted, *extra])  # fmt: skip
                Path(work, "wheels").rename(folder)
    return sorted(folder.glob("*.whl"))


def packager(generation: Generation) -> Path:
    """Return the `procvision-cli` of a generation, installed at the first call."""
    if generation == "0.3":
        return Path(sys.executable).with_name("procvision-cli")
    home = CACHE / f"sdk-{SDK_VERSIONS[generation]}-{ABI}"
    with exclusively(home.with_suffix(".lock")):
        cli = home / "bin" / "procvision-cli"
        if not cli.exists():
            command = [uv.find_uv_bin()]
            run([*command, "venv", "-q", "--clear", "--no-config", "--python", sys.executable, str(home)])
            run([*command, "pip", "install", "-q", "--no-config", "--offline", "--no-index",
                  *(f"--find-links={folder}" for folder in {w.parent for w in sdk_wheels(generation)}),
                  "--python", str(home / "bin" / "python"),
                  f"procvision-algorithm-sdk=={SDK_VERSIONS[generation]}"])  # fmt: skip
    return cli


def make_wheel(
    folder: Path, name: str, version: str = "1.0", *, requires: Sequence[str] = (), tag: str = "py3-none-any"
) -> Path:
    """Write a small pure wheel, `<name>` with one module, and return it: a dependency that no registry knows."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    members = {
        f"{stem}/__init__.py": f"version = {version!r}\n",
        f"{info}/METADATA": "".join(
            [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", *(f"Requires-Dist: {r}\n" for r in requires)]
        ),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.writerow([path, f"sha256={digest}", len(text.encode())])
    rows.writerow([f"{info}/RECORD", "", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{stem}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**members, f"{info}/RECORD": record.getvalue()}.items():
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), text)
    return wheel


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Test runs may happen at the same time: one makes, the others wait and take."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
