"""Packages exactly as each published SDK's own `procvision-cli` scaffolds and packs them; only the PID is filled in."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from pathlib import Path

import uv

from examples.packing.tools import ABI, CACHE, PYTHON_VERSION, exclusively, run, sdk_wheels

WITHOUT_ADAPTER = ("0.0.3", "0.0.4", "0.0.5")
WITH_ADAPTER = ("0.0.6", "0.0.7", "0.3.0", "0.3.1", "0.3.2")
EMBEDS_PYTHON = ("0.0.7", "0.3.0", "0.3.1")
"""Those whose packager puts a Python into the zip unless it is told not to."""


def scaffolded(sdk: str, pid: str) -> Path:
    """Return the package that this SDK's packager makes of its own scaffold, for one PID; made once and kept."""
    made = CACHE / "packages" / f"scaffold-{sdk}-{ABI}-{pid}.zip"
    with exclusively(made.with_suffix(".lock")):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=made.parent) as work:
                _pack(sdk, pid, Path(work)).replace(made)
    return made


def _pack(sdk: str, pid: str, work: Path) -> Path:
    wheels = _wheels(sdk)
    cli, project = str(_packager(sdk, wheels)), work / "screws"
    run([cli, "init", "screws", "-d", str(project), "-v", "1.0.0"])
    manifest = json.loads((project / "manifest.json").read_text(encoding="utf-8")) | {"supported_pids": [pid]}
    (project / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
    main = project / "screws" / "main.py"
    main.write_text(main.read_text(encoding="utf-8").replace("PID_TO_FILL", pid), encoding="utf-8")
    needed = f"procvision-algorithm-sdk=={sdk}\nnumpy\npillow\n"
    (project / "requirements.txt").write_text(needed, encoding="utf-8")
    (project / "wheels").mkdir()
    for wheel in wheels:
        (project / "wheels" / wheel.name).symlink_to(wheel)
    tags = ["-w", f"manylinux2014_{platform.machine()}", "-p", PYTHON_VERSION, "-b", ABI]
    plain = ["--no-embed-python"] if sdk in EMBEDS_PYTHON else []
    run([cli, "package", str(project), "-s", *tags, *plain, "-o", str(work / "out.zip")])
    return work / "out.zip"


def _wheels(sdk: str) -> list[Path]:
    """Return the wheels of the scaffold: the SDK's own, and what every 0.0.7 package carries beside it."""
    folder = CACHE / "wheels" / f"sdk-{sdk}"
    with exclusively(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                wanted = ["--no-deps", f"procvision-algorithm-sdk=={sdk}"]
                run([sys.executable, "-m", "pip", "download", "-q", "-d", f"{work}/wheels", *wanted])
                Path(work, "wheels").rename(folder)
    others = [wheel for wheel in sdk_wheels("0.0") if not wheel.name.startswith("procvision")]
    return [*folder.glob("*.whl"), *others]


def _packager(sdk: str, wheels: list[Path]) -> Path:
    home = CACHE / f"packager-{sdk}-{ABI}"
    cli = home / "bin" / "procvision-cli"
    with exclusively(home.with_suffix(".lock")):
        if not cli.exists():
            command = [uv.find_uv_bin()]
            run([*command, "venv", "-q", "--clear", "--no-config", "--python", sys.executable, str(home)])
            run([*command, "pip", "install", "-q", "--no-config", "--offline", "--no-index",
                 *(f"--find-links={folder}" for folder in {wheel.parent for wheel in wheels}),
                 "--python", str(home / "bin" / "python"), f"procvision-algorithm-sdk=={sdk}"])  # fmt: skip
    return cli
