"""Real algorithm packages for tests: scaffolded and packed by the SDK's own `procvision-cli`, of both generations.

What is slow is made once: wheels are downloaded into `.cache/wheels/`, the 0.0.7 packager lives in
`.cache/sdk-0.0.7/`, and a package with the same content is taken from `.cache/packages/`.

    zip_path = build_package(tmp_path, name="screw-check", version="1.0.0", source=BRIGHTNESS)
"""

from __future__ import annotations

import base64
import csv
import fcntl
import hashlib
import importlib.metadata
import io
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import uv

Generation = Literal["0.3", "0.0"]

CACHE = Path(__file__).resolve().parent.parent / ".cache"
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ABI = f"cp{sys.version_info.major}{sys.version_info.minor}"
SDK_VERSIONS: dict[Generation, str] = {"0.3": "0.3.2", "0.0": "0.0.7"}


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An algorithm in words that fit both SDK generations.

    `top` stands at module level, `setup` in `__init__` (0.3) or `setup()` (0.0), `body` in `execute`, where `image` is
    the array, `params` the first dict of guide_info or the user_params, and `ok(**debug)`, `ng(reason)` and
    `error(message)` build results. `info` overrides keys of what a 0.0 package's `get_info()` returns.
    """

    body: str = "return ok()"
    setup: str = "pass"
    top: str = ""
    info: Mapping[str, Any] | None = None

    def source(self, generation: Generation, class_name: str, pids: Sequence[str] | None) -> str:
        if generation == "0.3":
            methods = _METHODS_03.format(setup=_indent(self.setup), body=_indent(self.body))
        else:
            info = {"name": class_name, "supported_pids": list(pids or ()), "steps": [], **(self.info or {})}
            methods = _METHODS_00.format(info=info, setup=_indent(self.setup), body=_indent(self.body))
        return f"{_PREAMBLE}\n{self.top}\n\n\nclass {class_name}(BaseAlgorithm):\n{methods}"


def _indent(code: str) -> str:
    return "\n".join(" " * 8 + line for line in code.splitlines())


_PREAMBLE = """
import os, sys, time
from procvision_algorithm_sdk import BaseAlgorithm, read_image_from_shared_memory


def ok(**debug):
    return {"status": "OK", "data": {"result_status": "OK", "defect_rects": [], "debug": debug}}


def ng(reason):
    return {"status": "OK", "data": {"result_status": "NG", "ng_reason": reason, "defect_rects": []}}


def error(message):
    return {"status": "ERROR", "message": message}


def first_dict(guide_info):
    if isinstance(guide_info, dict):
        return guide_info
    return next((item for item in guide_info or [] if isinstance(item, dict)), {})
"""
_METHODS_03 = """
    def __init__(self):
        super().__init__()
{setup}

    def execute(self, step_index, step_desc, cur_image, guide_image, guide_info):
        image, params = cur_image, first_dict(guide_info)
{body}
"""
_METHODS_00 = """
    def setup(self):
{setup}

    def get_info(self):
        return {info!r}

    def pre_execute(self, step_index, pid, session, user_params, shared_mem_id, image_meta):
        return {{"status": "OK", "message": "ready"}}

    def execute(self, step_index, pid, session, user_params, shared_mem_id, image_meta):
        image, params = read_image_from_shared_memory(shared_mem_id, image_meta), user_params
{body}
"""

OK = Algorithm()
BRIGHTNESS = Algorithm(
    body="mean = float(image.mean())\nreturn ok(mean=mean) if mean >= params.get('dark_below', 100) else ng('too dark')"
)
"""NG where the image's mean is below `dark_below` (100 by default)."""
ECHO = Algorithm(
    body="return ok(mean=float(image.mean()), shape=list(image.shape), first=[int(v) for v in image[0, 0]],\n"
    "          os_pid=os.getpid(), params=params)"
)
"""Returns what the image that arrived looks like: mean, shape, first pixel, and the process that saw it."""
ERROR = Algorithm(body="return error(params.get('message', 'lamp is off'))")
RAISES = Algorithm(body="raise ValueError('no focus')")
CRASHES = Algorithm(body="os._exit(int(params.get('exit', 3))) if params.get('crash', True) else None\nreturn ok()")
"""Dies in execute, unless called with `crash: false`."""
SLEEPS = Algorithm(body="time.sleep(float(params.get('seconds', 0)))\nreturn ok(os_pid=os.getpid())")
"""Takes `seconds` in execute."""
PRINTS = Algorithm(top="print('hello from import')", setup="print('hello from set-up')", body="print('x')\nreturn ok()")
IMPORT_RAISES = Algorithm(top="raise RuntimeError('model file model.onnx is damaged')")
IMPORT_EXITS = Algorithm(top="print('licence expired')\nsys.exit(0)")
IMPORT_DIES = Algorithm(top="sys.stderr.write('last words\\n'); sys.stderr.flush(); os._exit(0)")
SETUP_RAISES = Algorithm(setup="raise RuntimeError('no such camera: cam-7')")
SETUP_HANGS = Algorithm(
    setup="import subprocess\nsubprocess.Popen(['sleep', '613'])\nprint('loading', flush=True)\ntime.sleep(613)"
)
"""Hangs in set-up, with a child process that would survive it."""
NOT_AN_ALGORITHM = Algorithm(top="BaseAlgorithm = object")
SHADOWS_STDOUT = Algorithm(top="os.write(1, b'not a frame, just text on the wire\\n' * 50)")
"""Writes past Python's stdout at import: breaks the frames of 0.0, is diverted by 0.3."""


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
    with _exclusively(cached.with_suffix(".lock")):
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
            hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        ]  # fmt: skip
        return f"{self.name}-{self.version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"

    def pack(self, work: Path, target: Path) -> None:
        cli, project = str(packager(self.generation)), work / self.name
        _run([cli, "init", self.name, "-d", str(project), "-v", self.version])
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
        _run([cli, "package", str(project), "-s", *tags, *plain, "-o", str(output)])
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


def sdk_wheels(generation: Generation) -> list[Path]:
    """Return the wheels that a package of this generation carries, downloaded at the first call."""
    folder = CACHE / "wheels" / f"{ABI}-{SDK_VERSIONS[generation]}"
    with _exclusively(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                pins = [f"{name}=={importlib.metadata.version(name)}" for name in ("numpy", "pillow")]
                wanted = [f"procvision-algorithm-sdk=={SDK_VERSIONS[generation]}", pins[0]]
                extra = [pins[1]] if generation == "0.0" else []
                _run([sys.executable, "-m", "pip", "download", "-q", "-d", f"{work}/wheels",
                      "--only-binary=:all:", *wanted, *extra])  # fmt: skip
                Path(work, "wheels").rename(folder)
    return sorted(folder.glob("*.whl"))


def packager(generation: Generation) -> Path:
    """Return the `procvision-cli` of a generation, installed at the first call."""
    if generation == "0.3":
        return Path(sys.executable).with_name("procvision-cli")
    home = CACHE / f"sdk-{SDK_VERSIONS[generation]}-{ABI}"
    with _exclusively(home.with_suffix(".lock")):
        cli = home / "bin" / "procvision-cli"
        if not cli.exists():
            command = [uv.find_uv_bin()]
            _run([*command, "venv", "-q", "--clear", "--no-config", "--python", sys.executable, str(home)])
            _run([*command, "pip", "install", "-q", "--no-config", "--offline", "--no-index",
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
def _exclusively(lock: Path) -> Iterator[None]:
    """Test runs may happen at the same time: one makes, the others wait and take."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
