"""A call through the runner, and a start, against bare blocking pipes to an adapter of the same package (SDK 0.3.2).

Rounds of ours and bare alternate, on two processes of one installed package, so that what disturbs the machine
disturbs both. `image_ref` and the bare frame name the same picture, which is in memory-backed storage already.

usage: python -m benchmarks.calls [ROUNDS]
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import uvloop

from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.calls.detection import detect, smoke
from controller.calls.request import DetectionRequest
from controller.host.environment import ALLOCATOR
from controller.images.formats import ImageRef
from controller.model.observed import ProcessKey
from controller.packages.install import Installer
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import OK, build_package

_CALLS = 200
_SMALL, _LARGE = (480, 640, 3), (1200, 1920, 3)


def _now() -> str:
    return "2026-01-01T00:00:00Z"


class BarePipes:
    """spawn + hello + ping + pong, and calls by blocking reads and writes: nothing is checked, nothing is bounded.

    The adapter is started as the SDK's documents say. `ours`: as the controller starts it, with its environment and its
    way to read pictures (ADR 42), which is a stricter measure of what the controller adds.
    """

    def __init__(self, spec: ProcessSpec, images: Path, *, ours: bool = False) -> None:
        self._images = images
        self._name = "own" if ours else "bare"
        self._slots: dict[tuple[int, ...], np.memmap] = {}
        environment = {
            **os.environ, "PROC_ENV": "prod", "PROC_ALGO_ROOT": spec.working_directory, "PROC_SHM_DIR": str(images),
            "PROC_ENTRY_POINT": spec.entry_point, **(ALLOCATOR if ours else {}),
        }  # fmt: skip
        command = spec.command if ours else [spec.python, "-u", "-m", "procvision_algorithm_sdk.adapter"]
        self._process = subprocess.Popen(
            command, cwd=spec.working_directory, env=environment, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._read()["type"] == "hello"
        self._write({"type": "hello", "runner_version": "0", "heartbeat_interval_ms": 5000, "heartbeat_grace_ms": 2000})
        self._write({"type": "ping", "request_id": "0"})
        assert self._read()["type"] == "pong"

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        body = json.dumps(message).encode()
        os.write(self._process.stdin.fileno(), len(body).to_bytes(4, "big") + body)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        data = os.read(descriptor, 65536)
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            data += os.read(descriptor, 65536)
        answer: dict[str, Any] = json.loads(data[4:])
        return answer

    def call(self, image_id: str, shape: tuple[int, ...], guide_info: Sequence[Any] = ()) -> None:
        meta = {
            "width": shape[1], "height": shape[0], "timestamp_ms": int(time.time() * 1000), "camera_id": "",
            "color_space": "RGB",
        }  # fmt: skip
        data = {
            "step_index": 1, "step_desc": "", "guide_info": guide_info, "cur_image_shm_id": image_id,
            "cur_image_meta": meta, "guide_image_shm_id": image_id, "guide_image_meta": meta,
        }  # fmt: skip
        self._write({"type": "call", "request_id": "1", "data": data})
        assert self._read()["status"] == "OK"

    def overwrite_and_call(self, array: np.ndarray, guide_info: Sequence[Any] = ()) -> None:
        """Copy an array over what is in a mapped file, and call with it."""
        slot = self._slots.get(array.shape)
        if slot is None:
            path = self._images / f"{self._name}-{array.shape[1]}.npy"
            slot = self._slots[array.shape] = np.lib.format.open_memmap(path, "w+", array.dtype, array.shape)
        slot[:] = array
        self.call_slot(array.shape, guide_info)

    def call_slot(self, shape: tuple[int, ...], guide_info: Sequence[Any] = ()) -> None:
        """Call with what the mapped file of a shape holds."""
        self.call(f"{self._name}-{shape[1]}", shape, guide_info)

    @property
    def slots(self) -> list[np.ndarray]:
        """The mapped files, of each shape that an array had."""
        return list(self._slots.values())

    @property
    def descriptors(self) -> list[int]:
        """The pipes to the adapter."""
        assert self._process.stdin
        assert self._process.stdout
        return [self._process.stdin.fileno(), self._process.stdout.fileno()]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
        for path in self._images.glob(f"{self._name}-*.npy"):
            path.unlink()


async def _measure_calls(spec: ProcessSpec, layout: StoreLayout, rounds: int) -> list[Row]:
    runner = ProcessPool(layout, smoke=smoke, now=_now)
    await runner.open()
    await runner.start(spec)
    bare = BarePipes(spec, layout.images)
    small, large = np.zeros(_SMALL, np.uint8), np.zeros(_LARGE, np.uint8)
    np.save(layout.images / "cam.npy", small)
    (process,) = runner.processes()

    async def by_reference() -> None:
        await detect(process, DetectionRequest("A01", ImageRef("cam")))

    async def with_array() -> None:
        await detect(process, DetectionRequest("A01", large))

    cases = [
        ("call in process, image in shared storage / bare pipes", by_reference, lambda: bare.call("cam", _SMALL), 1.15),
        (
            "call with a 1920×1200 array / a mapped slot overwritten + bare pipes",
            with_array,
            lambda: bare.overwrite_and_call(large),
            1.15,
        ),
    ]
    rows = []
    for what, ours, plain, aim in cases:
        count = _CALLS if ours is by_reference else _CALLS // 10
        ours_s, bare_s = [], []
        for _ in range(rounds):
            ours_s.append(await _p50(ours, count))
            bare_s.append(_p50_blocking(plain, count))
        rows.append(Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), aim))
    bare.end()
    (layout.images / "cam.npy").unlink()
    await runner.stop(spec.key, drain=1)
    return rows


async def _p50(call: Any, count: int) -> float:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _p50_blocking(call: Any, count: int) -> float:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


async def _measure_starts(spec: ProcessSpec, layout: StoreLayout, rounds: int) -> Row:
    runner = ProcessPool(layout, smoke=smoke, now=_now)
    await runner.open()
    ours_s, bare_s = [], []
    await runner.start(spec)  # compiles what is imported, where that is not kept already
    await runner.stop(spec.key, drain=1)
    for _ in range(rounds):
        began = time.perf_counter()
        await runner.start(spec)
        ours_s.append(time.perf_counter() - began)
        await runner.stop(spec.key, drain=1)
        began = time.perf_counter()
        bare = BarePipes(spec, layout.images)
        bare_s.append(time.perf_counter() - began)
        bare.end()
    what = "start to ready / spawn + hello + pong"
    return Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), 1.1)


def run(rounds: int = 15) -> list[Row]:
    """Measure calls and starts in `rounds` alternating rounds each."""
    with tempfile.TemporaryDirectory() as temporary:
        layout = StoreLayout.at(temporary)
        for folder in layout.folders:
            folder.mkdir(parents=True)
        installer = Installer(layout, MutationLock(layout), now=_now)
        receipt = installer.install(build_package(layout.zips, name="bench-calls", source=OK))
        folder = layout.package(receipt.ref)
        spec = ProcessSpec(
            key=ProcessKey("bench", receipt.name, receipt.version),
            digest=receipt.digest,
            python=str(folder / "venv" / "bin" / "python"),
            working_directory=str(folder / receipt.working_directory),
            log_path=str(layout.process_log("bench", receipt.version, 0)),
            entry_point=receipt.entry_point,
        )
        try:
            rows = uvloop.run(_measure_calls(spec, layout, rounds))
            return [*rows, uvloop.run(_measure_starts(dataclasses.replace(spec), layout, rounds))]
        finally:
            end_all(layout)


if __name__ == "__main__":
    sys.exit(0 if print_table(run(*map(int, sys.argv[1:]))) else 1)
