"""The data plane under load: a call through it, throughput with 1, 2 and 4 replicas, and what it costs while idle.

The bare mechanism is as many adapters of the same installed package (SDK 0.3.2) on blocking pipes, each driven by a
thread of its own: no routing, no queue, no fairness. Rounds of ours and bare alternate.

usage: python -m benchmarks.replicas [ROUNDS]
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from statistics import median
from typing import Any

import numpy as np
import uvloop

from benchmarks.calls import BarePipes
from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.calls.data_plane import DataPlane
from controller.calls.detection import smoke
from controller.calls.request import DetectionRequest
from controller.calls.service import Service
from controller.client.arguments import CallArguments
from controller.images.formats import ImageRef
from controller.model.observed import ActiveMapping, ProcessKey
from controller.packages.install import Installer
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.processes.supervision import Supervisor
from controller.store.active import ActiveMappings
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import Algorithm, build_package

_SHAPE = (480, 640, 3)
_CALLS = 60
_PIDS = ("A01", "A02", "A03", "A04")
_IDLE_SECONDS = 15.0
_SLEEP, _COMPUTE = {"seconds": 0.01}, {"rounds": 60}
_WORK = Algorithm(
    top="import numpy\nDATA = numpy.arange(30000, dtype=float)",
    body="time.sleep(params.get('seconds', 0))\n"
    "for _ in range(params.get('rounds', 0)): numpy.sort(DATA[::-1] * 2)\nreturn ok()",
)


def _now() -> str:
    return "2026-01-01T00:00:00Z"


@contextmanager
def installed() -> Iterator[tuple[StoreLayout, ProcessSpec]]:
    """A store with the benchmark's package, and how its first process is started."""
    with tempfile.TemporaryDirectory() as temporary:
        layout = StoreLayout.at(temporary)
        for folder in layout.folders:
            folder.mkdir(parents=True)
        installer = Installer(layout, MutationLock(layout), now=_now)
        receipt = installer.install(build_package(layout.zips, name="bench-work", source=_WORK))
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
            yield layout, spec
        finally:
            end_all(layout)


@asynccontextmanager
async def serving(layout: StoreLayout, spec: ProcessSpec, replicas: int) -> AsyncIterator[DataPlane]:
    """A data plane with so many processes; every PID of the benchmark is active on their version."""
    active = ActiveMappings(layout)
    for pid in _PIDS:
        active.write_all({pid: ActiveMapping(spec.key.name, spec.key.version, _now())}, lambda _: None)
    runner = ProcessPool(layout, smoke=smoke, now=_now)
    await runner.open()
    supervisor = Supervisor(runner, on_exited=print)
    plane = DataPlane(runner, active)
    plane.configure({"bench": Service(deployment="bench", pids=_PIDS)})
    supervisor.start()
    await plane.start()
    keys = [dataclasses.replace(spec.key, replica=number) for number in range(replicas)]
    for key in keys:
        await runner.start(dataclasses.replace(spec, key=key))
    np.save(layout.images / "cam.npy", np.zeros(_SHAPE, np.uint8))
    try:
        yield plane
    finally:
        (layout.images / "cam.npy").unlink()
        supervisor.stop()
        await plane.stop()
        for key in keys:
            await runner.stop(key, drain=1)
        await runner.close()


async def _measure_one_call(layout: StoreLayout, spec: ProcessSpec, rounds: int) -> Row:
    async with serving(layout, spec, 1) as plane:
        bare, request = BarePipes(spec, layout.images), DetectionRequest("A01", ImageRef("cam"))
        ours_s, bare_s = [], []
        for _ in range(rounds):
            taken = []
            for _ in range(_CALLS * 3):
                began = time.perf_counter()
                await plane.execute(request)
                taken.append(time.perf_counter() - began)
            ours_s.append(median(taken))
            bare_s.append(median(_timed(bare, {}) for _ in range(_CALLS * 3)))
        bare.end()
    what = "call through the data plane, in process / bare pipes"
    return Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), 1.15)


def _timed(bare: BarePipes, work: Mapping[str, Any]) -> float:
    began = time.perf_counter()
    bare.call("cam", _SHAPE, [work])
    return time.perf_counter() - began


async def _measure_throughput(
    layout: StoreLayout, spec: ProcessSpec, replicas: int, work: Mapping[str, Any], rounds: int
) -> Row:
    """Eight callers on four PIDs through the plane, against `replicas` threads on as many bare adapters."""
    ours_s, bare_s = [], []
    async with serving(layout, spec, replicas) as plane:
        bare = [BarePipes(spec, layout.images) for _ in range(replicas)]
        each = _CALLS // replicas
        with ThreadPoolExecutor(replicas) as threads:
            for _ in range(rounds):
                began = time.perf_counter()
                await asyncio.gather(*(_call_on(plane, pid, work) for pid in _PIDS * 2))
                ours_s.append((time.perf_counter() - began) / (8 * (_CALLS // 8)))
                began = time.perf_counter()
                await asyncio.gather(*(_drive(threads, one, work, each) for one in bare))
                bare_s.append((time.perf_counter() - began) / (each * replicas))
        for one in bare:
            one.end()
    kind = "sleeps 10 ms" if work is _SLEEP else "computes"
    what = f"{kind}, 8 callers on {replicas} replica(s) / {replicas} thread(s) on bare pipes"
    return Row(what, _rate(ours_s), _rate(bare_s), median_ratio(ours_s, bare_s))


async def _measure_a_second_replica(first: _Installed, second: _Installed, rounds: int) -> Row:
    """Four callers on two replicas against one caller on one: a serial algorithm that works 10 ms."""
    two_s, one_s = [], []
    async with serving(*first, 2) as two, serving(*second, 1) as one:
        for _ in range(rounds):
            began = time.perf_counter()
            await asyncio.gather(*(_call_on(two, pid, _SLEEP, _CALLS // 2) for pid in _PIDS))
            two_s.append((time.perf_counter() - began) / (_CALLS // 2 * 4))
            began = time.perf_counter()
            await _call_on(one, _PIDS[0], _SLEEP, _CALLS)
            one_s.append((time.perf_counter() - began) / _CALLS)
    ratio = median_ratio(one_s, two_s)
    what = "4 callers on 2 replicas / 1 caller on 1, sleeps 10 ms"
    return Row(what, _rate(two_s), _rate(one_s), ratio, 1.8, at_least=True)


_Installed = tuple[StoreLayout, ProcessSpec]


async def _call_on(plane: DataPlane, pid: str, work: Mapping[str, Any], count: int = _CALLS // 8) -> None:
    for _ in range(count):
        await plane.execute(DetectionRequest(pid, ImageRef("cam"), arguments=CallArguments(guide_info=[work])))


async def _drive(threads: ThreadPoolExecutor, bare: BarePipes, work: Mapping[str, Any], count: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(threads, lambda: [_timed(bare, work) for _ in range(count)])


def _rate(seconds_per_call: list[float]) -> str:
    return f"{1 / median(seconds_per_call):.0f} calls/s"


async def _measure_idle(layout: StoreLayout, spec: ProcessSpec) -> Row:
    async with serving(layout, spec, 10):
        await asyncio.sleep(1)
        began, used = time.perf_counter(), time.process_time()
        await asyncio.sleep(_IDLE_SECONDS)
        share = (time.process_time() - used) / (time.perf_counter() - began)
    what = "supervision of 10 idle processes / 1 % of a core"
    return Row(what, f"{share:.2%}", "1%", share / 0.01, 1.0)


def run(rounds: int = 7) -> list[Row]:
    """Measure in `rounds` alternating rounds each."""
    with installed() as (layout, spec), installed() as another:
        return [
            uvloop.run(_measure_one_call(layout, spec, rounds)),
            uvloop.run(_measure_a_second_replica((layout, spec), another, rounds)),
            *(
                uvloop.run(_measure_throughput(layout, spec, replicas, work, rounds))
                for work in (_SLEEP, _COMPUTE)
                for replicas in (1, 2, 4)
            ),
            uvloop.run(_measure_idle(layout, spec)),
        ]


if __name__ == "__main__":
    sys.exit(0 if print_table(run(*map(int, sys.argv[1:]))) else 1)
