"""Packs an algorithm project into the offline zip that a station installs, with the SDK's own `procvision-cli`."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from examples.packing.tools import ABI, PYTHON_VERSION, Generation, packager, sdk_wheels

ALGORITHMS = Path(__file__).parent.parent / "algorithms"


def projects() -> list[Path]:
    """Return the folders of all example projects, oldest version first."""
    return sorted(manifest.parent for manifest in ALGORITHMS.glob("*/*/manifest.json"))


def pack(project: Path, folder: Path) -> Path:
    """Return the zip made from `project` in `folder`. Raises RuntimeError with the packager's own words.

    The packager writes into the project it packs, so it gets a copy. The wheels were downloaded once for all projects
    of an SDK generation (`-s` packs what is there); a team would leave `-s` out and let the packager download them.
    """
    manifest = json.loads((project / "manifest.json").read_text(encoding="utf-8"))
    generation = generation_of(project)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".packing-") as work:
        copy = Path(work) / manifest["name"]
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "wheels").mkdir()
        for wheel in sdk_wheels(generation):
            (copy / "wheels" / wheel.name).symlink_to(wheel)
        output = folder / f"{manifest['name']}-v{manifest['version']}-offline.zip"
        command = [str(packager(generation)), "package", str(copy), "-s", "-o", str(output)]
        command += ["-w", f"manylinux2014_{platform.machine()}", "-p", PYTHON_VERSION, "-b", ABI]
        command += ["--no-embed-python"] if generation == "0.0" else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"procvision-cli could not pack {project}:\n{done.stdout}{done.stderr}")
    return output


def generation_of(project: Path) -> Generation:
    """Return the SDK generation that the project's requirements.txt pins."""
    requirements = (project / "requirements.txt").read_text(encoding="utf-8")
    return "0.0" if "procvision-algorithm-sdk==0.0." in requirements else "0.3"
