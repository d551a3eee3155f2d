"""Real algorithm packages: scaffolded and packed by the SDK's own `procvision-cli`, of both generations.

What is slow is made once: wheels are downloaded into `.cache/wheels/`, the 0.0.7 packager lives in
`.cache/sdk-0.0.7/`, and a package with the same content is taken from `.cache/packages/`.

    zip_path = build_package(tmp_path, name="screw-check", version="1.0.0", source=BRIGHTNESS)
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.packing.algorithms import OK, Algorithm
from examples.packing.tools import (
    ABI,
    CACHE,
    PYTHON_VERSION,
    SDK_VERSIONS,
    Generation,
    exclusively,
    packager,
    run,
    sdk_wheels,
)


def build_package(
    folder: Path,
    *,
    name: str,
    version: str = "1.0.0",
    generation: Generation = "0.3",
    source: Algorithm | str = OK,
    supported_pids: Sequence[str] | None = ("A01", "A02", "A03", "A04"),
    requirements: str | None = None,
    manifest: Mapping[str, Any] | None = None,
    files: Mapping[str, str | bytes] | None = None,
    wheels: Sequence[Path] | None = None,
) -> Path:
    """Make a package with the real packager and return the zip, `<folder>/<name>-<version>.zip`.

    `source` is an `Algorithm`, or the text of main.py with the class that the scaffold names. `files` are further
    files of the project, `manifest` further keys of its manifest, `wheels` takes the place of the SDK's own wheels.
    """
    wheels = sdk_wheels(generation) if wheels is None else list(wheels)
    plan = _Plan(
        name, version, generation, source, None if supported_pids is None else tuple(supported_pids),
        requirements if requirements is not None else _requirements(generation), dict(manifest or {}),
        dict(files or {}), tuple(wheels),
    )  # fmt: skip
    cached = CACHE / "packages" / f"{plan.key()}.zip"
    with exclusively(cached.with_suffix(".lock")):
        if not cached.exists():
            with tempfile.TemporaryDirectory(dir=cached.parent) as work:
                plan.pack(Path(work), cached)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}.zip"
    target.unlink(missing_ok=True)
    shutil.copyfile(cached, target)
    return target


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    version: str
    generation: Generation
    algorithm: Algorithm | str
    pids: tuple[str, ...] | None
    requirements: str
    manifest: dict[str, Any]
    files: dict[str, str | bytes]
    wheels: tuple[Path, ...]

    def key(self) -> str:
        parts = [
            PYTHON_VERSION, self.name, self.version, self.generation, self.algorithm, self.pids, self.requirements,
            sorted(self.manifest.items()), sorted(self.files.items()),
            [(wheel.name, wheel.stat().st_size, wheel.stat().st_mtime_ns) for wheel in self.wheels],
            *(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(__file__).parent.glob("*.py"))),
        ]  # fmt: skip
        return f"{self.name}-{self.version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"

    def pack(self, work: Path, target: Path) -> None:
        cli, project = str(packager(self.generation)), work / self.name
        run([cli, "init", self.name, "-d", str(project), "-v", self.version])
        manifest = self._complete_manifest(project / "manifest.json")
        module, class_name = manifest["entry_point"].split(":")
        source = self.algorithm
        if isinstance(source, Algorithm):
            source = source.source(self.generation, class_name, self.pids)
        project.joinpath(*module.split(".")).with_suffix(".py").write_text(source, encoding="utf-8")
        (project / "requirements.txt").write_text(self.requirements, encoding="utf-8")
        for path, content in self.files.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_bytes(content.encode() if isinstance(content, str) else content)
        (project / "wheels").mkdir()
        for wheel in self.wheels:
            (project / "wheels" / wheel.name).symlink_to(wheel)
        tags = ["-w", f"manylinux2014_{platform.machine()}", "-p", PYTHON_VERSION, "-b", ABI]
        plain = ["--no-embed-python"] if self.generation == "0.0" else []
        output = work / "out.zip"
        run([cli, "package", str(project), "-s", *tags, *plain, "-o", str(output)])
        output.replace(target)

    def _complete_manifest(self, path: Path) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        manifest.pop("supported_pids", None)
        if self.pids is not None:
            manifest["supported_pids"] = list(self.pids)
        manifest |= self.manifest
        path.write_text(json.dumps(manifest, ensure_ascii=False, indent=2), encoding="utf-8")
        return manifest


def _requirements(generation: Generation) -> str:
    return f"procvision-algorithm-sdk=={SDK_VERSIONS[generation]}\nnumpy\n"
