"""A caller at the line of a station, block by block, and what its percentiles say beside those of another one."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.table import Row, milliseconds
from controller.client import Client
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

AIM = 1.1
"""What p50 and p99 at the line may become, as a ratio."""
KINDS = {"does nothing": 0.0, "computes for 10 ms": 0.01}
"""What the algorithm does, and for how long (s)."""
_BLOCK = 0.7
"""Seconds of calls on one station, then the next has its turn."""
_DRAWS = 400
_WORKING = Algorithm(
    body="""
end = time.process_time() + float(params.get("seconds", 0))
while time.process_time() < end:
    pass
return ok()
"""
)


class Block(NamedTuple):
    """What each call of a block took, and the daemon's processor time for each, in seconds."""

    calls: npt.NDArray[np.float64]
    used: float


@dataclass
class Line:
    """A caller of one station, each time with another picture."""

    client: Client
    daemon: Daemon
    station: Station
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def block(
        self, image: npt.NDArray[np.uint8], seconds: float, length: float = _BLOCK,
        goes_on: Callable[[], bool] = lambda: False,
    ) -> Block:  # fmt: skip
        """Call without a pause for `length` seconds, and as long as something goes on."""
        took: list[float] = []
        before, end = self._cpu(), time.perf_counter() + length
        while (began := time.perf_counter()) < end or len(took) < 2 or goes_on():
            image[0, :400] = next(self._numbers) % 251
            self.client.execute("A01", image, guide_info=[{"seconds": seconds}])
            took.append(time.perf_counter() - began)
        return Block(np.array(took), (self._cpu() - before) / len(took))

    def _cpu(self) -> float:
        tasks = Path(f"/proc/{self.daemon.os_pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def running(root: Path, **spec: object) -> Iterator[Line]:
    """Run a station whose PID A01 has version 1.0.0 of an algorithm; 1.1.0 of it is there as well."""
    station = Station(root)
    daemon = Daemon(station)
    try:
        for version in ("1.0.0", "1.1.0"):
            build_package(station.zips, name="bench", version=version, supported_pids=["A01"], source=_WORKING)
        station.desire("bench", "bench", "1.0.0", ["A01"], **spec)
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        with Client(store=station.store) as client:
            yield Line(client, daemon, station)
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def images() -> dict[str, npt.NDArray[np.uint8]]:
    """Return a picture of each size that is measured."""
    noise = np.random.default_rng(7)
    shapes = {"640×480": (480, 640, 3), "1920×1200": (1200, 1920, 3)}
    return {name: noise.integers(0, 255, shape, np.uint8) for name, shape in shapes.items()}


def rows(what: str, with_it: Sequence[Block], without: Sequence[Block], control: Sequence[Block]) -> Iterator[Row]:
    """Yield p50 and p99 of calls with something beside the line against those without, and the daemon's work."""
    for percent in (50, 99):
        (low, high), noise = _range(percent, with_it, without), _ratio(percent, control, without)
        yield Row(
            f"{what}: p{percent} at the line (noise {noise:.2f}; range {low:.2f} to {high:.2f})",
            milliseconds(_percentile(percent, with_it)), milliseconds(_percentile(percent, without)),
            _ratio(percent, with_it, without), AIM * max(noise, 1.0),
        )  # fmt: skip
    used, bare = ([each.used for each in blocks] for blocks in (with_it, without))
    yield Row("  processor time of the daemon for a call", milliseconds(used), milliseconds(bare),
              median(used) / median(bare))  # fmt: skip


def _percentile(percent: float, blocks: Iterable[Block]) -> float:
    return float(np.percentile(np.concatenate([each.calls for each in blocks]), percent))


def _ratio(percent: float, ours: Sequence[Block], bare: Sequence[Block]) -> float:
    return _percentile(percent, ours) / _percentile(percent, bare)


def _range(percent: float, ours: Sequence[Block], bare: Sequence[Block]) -> tuple[float, float]:
    """Return between what `_ratio` lies in 95 % of as many rounds drawn from these (the bootstrap, Efron 1979)."""
    draw, pairs = random.Random(1), list(zip(ours, bare, strict=True))  # noqa: S311 - the same range of the same rounds
    drawn = (draw.choices(pairs, k=len(pairs)) for _ in range(_DRAWS))
    found = sorted(_ratio(percent, *map(list, zip(*each, strict=True))) for each in drawn)
    return found[_DRAWS // 40], found[-_DRAWS // 40 - 1]


@contextmanager
def another_process(code: str, *arguments: object, given: bytes = b"") -> Iterator[subprocess.Popen[bytes]]:
    """Yield a stopped process that runs Python code in a session of its own, with what it is given on its input."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(given)
            process.stdin.close()
            time.sleep(1.0)  # it has begun
            process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()
