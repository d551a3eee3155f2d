"""Calls while every one of them is recorded with its picture, against calls on a station that records none.

Three daemons with the same package, whose calls alternate in blocks: one that records all its calls, one that records
none, and a second one of that kind, which says how far two equal stations lie apart: the noise. The algorithm does
nothing, which is the worst case; `PAUSE` milliseconds lie between two calls, as between the parts of a line (0: as fast
as one caller can, which no writer keeps up with). The processor time of daemon and caller for a call says the same on a
machine that has other things to do. In a fourth kind of block nothing is recorded, and a process with the writer's
priority, which knows nothing of calls, packs such a picture as often: what this machine makes of anything that works
beside the line. All of it runs in one scheduling group, as a service or a container does (`group.py`).

usage: python -m benchmarks.recording [ROUNDS] [PAUSE]
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks.group import own_group
from benchmarks.line import another_process
from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.client import Client
from examples.packing import build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

_AIM = 1.1
_BESIDE = 3
"""The kind of block beside which another process packs."""
_BLOCK = 2.0
"""Seconds of calls on one station, then the next has its turn."""
_SHAPES = {"640×480": (480, 640, 3), "1920×1200": (1200, 1920, 3)}
_PACKING = """
import sys, time
from controller.host.priority import give_way_entirely
from controller.recordings.pixels import pack
give_way_entirely()
shape, pixels, pause = tuple(map(int, sys.argv[2:])), memoryview(sys.stdin.buffer.read()), float(sys.argv[1])
while True:
    pack(pixels, shape)
    time.sleep(pause)
"""
_ALL = {"keep": 40, "only": ["sample"], "sample": "100%"}


@contextmanager
def _running(root: Path, **spec: object) -> Iterator[tuple[Station, int]]:
    """Yield a station and the process id of its daemon."""
    station = Station(root)
    daemon = Daemon(station)
    try:
        build_package(station.zips, name="bench", version="1.0.0", supported_pids=["A01"])
        station.order(page={"pictures": "off"})
        station.desire("bench", "bench", "1.0.0", ["A01"], **spec)
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        yield station, daemon.os_pid
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def run(rounds: int = 12, pause: float = 40.0) -> list[Row]:
    """Measure in `rounds` alternating rounds for each size; `pause` in milliseconds."""
    rows: list[Row] = []
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stations = [
            stack.enter_context(_running(root / "recording", recording=_ALL)),
            *(stack.enter_context(_running(root / name)) for name in ("off", "control")),
        ]
        lines = [_Line(stack.enter_context(Client(store=station.store)), os_pid) for station, os_pid in stations]
        for what, shape in _SHAPES.items():
            before = _counted(stations[0][0])
            rows += _measure(what, _picture(shape), lines, rounds, pause / 1000)
            time.sleep(1.0)  # what it has taken is written down
            kept, dropped = (now - then for now, then in zip(_counted(stations[0][0]), before, strict=True))
            rows.append(Row(f"{what}: calls recorded, of those that were to be", f"{kept} of {kept + dropped}", "all"))
    return rows


def _picture(shape: tuple[int, ...]) -> np.ndarray:
    """Return a picture with edges, slopes and a camera's noise."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    scene = 110 + 40 * np.sin(columns / 90) + 30 * np.cos(rows / 70) + 20 * ((columns // 64 + rows // 64) % 2)
    noise = np.random.default_rng(7).normal(0, 1.5, shape)
    return np.clip(scene[..., None] * (1.0, 0.9, 0.8) + noise, 0, 255).astype(np.uint8)


class _Block(NamedTuple):
    """Calls of one block: how long each took (s), and the processor time of daemon and caller for one (s)."""

    seconds: list[float]
    cpu: float


class _Line:
    """Calls one station, each time with another picture."""

    def __init__(self, client: Client, daemon: int) -> None:
        self._client = client
        self._tasks = Path(f"/proc/{daemon}/task")

    def block(self, image: np.ndarray, pause: float) -> _Block:
        before, end, seconds = self._cpu(), time.perf_counter() + _BLOCK, []
        while (began := time.perf_counter()) < end:
            image[0, :8] = len(seconds) % 251
            self._client.execute("A01", image)
            seconds.append(time.perf_counter() - began)
            time.sleep(pause)
        return _Block(seconds, (self._cpu() - before) / len(seconds))

    def _cpu(self) -> float:
        daemon = sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks.iterdir()) / 1e9
        return daemon + time.process_time()


def _measure(what: str, image: np.ndarray, lines: list[_Line], rounds: int, pause: float) -> Iterator[Row]:
    taken: list[list[_Block]] = [[], [], [], []]
    with another_process(_PACKING, pause, *image.shape, given=image.tobytes()) as other:
        for turn in range(rounds + 1):
            for index in sorted(range(4), key=lambda each: (each + turn) % 4):
                line = lines[min(index, 2)]
                if index == _BESIDE:
                    other.send_signal(signal.SIGCONT)
                block = line.block(image, pause)
                other.send_signal(signal.SIGSTOP)
                if turn:  # the first one is for warming up
                    taken[index].append(block)
    calls = [[second for block in blocks for second in block.seconds] for blocks in taken]
    yield _row(f"{what}: p50", [[median(block.seconds) for block in blocks] for blocks in taken])
    yield _row(f"{what}: p99 of {len(calls[0])} calls", [[_p99(seconds)] for seconds in calls])
    yield _row(f"{what}: processor time, daemon and caller", [[block.cpu for block in blocks] for blocks in taken])


def _row(name: str, seconds: list[list[float]]) -> Row:
    recorded, off, control, beside = seconds
    noise, other = median_ratio(control, off), median_ratio(beside, off)
    return Row(
        f"{name} (noise: {noise:.2f}; beside another process that packs: {other:.2f})",
        milliseconds(recorded), milliseconds(off), median_ratio(recorded, off), _AIM * max(noise, 1.0),
    )  # fmt: skip


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def _counted(station: Station) -> tuple[int, int]:
    """Return how many calls the station recorded, and how many it dropped."""
    said = station.pvctl("metrics").stdout
    kept = sum(map(float, re.findall(r"^procvision_calls_recorded_total (\S+)$", said, re.MULTILINE)))
    dropped = sum(map(float, re.findall(r"^procvision_calls_not_recorded_total\S* (\S+)$", said, re.MULTILINE)))
    return int(kept), int(dropped)


if __name__ == "__main__":
    rounds, pause = [*sys.argv[1:], *("12", "40")[len(sys.argv) - 1 :]]
    with own_group():
        met = print_table(run(int(rounds), float(pause)))
    sys.exit(not met)
