"""Calls while somebody looks at the pictures of the parts, against calls on a station that shows none.

Three daemons with the same package, whose calls alternate in blocks: one that is looked at (a viewer follows the parts
four times a second and gets every new picture), one with `page: {pictures: off}`, and a second one of that kind, which
says how far two equal stations lie apart: the noise. The algorithm does nothing, which is the worst case: a picture's
cost is held against calls that take as long as calling takes. The viewer costs something, too, and is part of it.

The daemon's processor time for a call says the same on a machine that has other things to do.

usage: python -m benchmarks.pictures [ROUNDS]
"""

from __future__ import annotations

import http.client
import io
import itertools
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.client import Client
from examples.packing import build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

_AIM = 1.1
_BLOCK = 0.7
"""Seconds of calls on one station, then the next has its turn."""
_LOOK_EVERY = 0.25


def look(store: str) -> None:
    """Be a viewer until stdin ends; print how many pictures were seen."""
    import threading  # noqa: PLC0415 - only here

    ended, seen = threading.Event(), set()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    while not ended.wait(_LOOK_EVERY):
        _get(store, "/v1/parts")
        seen.add(_get(store, "/v1/pids/A01/picture"))
    print(len(seen - {None}))


def _get(store: str, path: str) -> str | None:
    """Get a resource; return its ETag."""
    connection = http.client.HTTPConnection("station")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(f"{store}/run/runner.sock")
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.headers["etag"]
    finally:
        connection.close()


@contextmanager
def _running(root: Path, *, pictures: str) -> Iterator[tuple[Station, int]]:
    """Yield a station and the process id of its daemon."""
    station = Station(root)
    daemon = Daemon(station)
    try:
        build_package(station.zips, name="bench", version="1.0.0", supported_pids=["A01"])
        station.order(page={"pictures": pictures})
        station.desire("bench", "bench", "1.0.0", ["A01"])
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        yield station, daemon.os_pid
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def run(rounds: int = 12) -> list[Row]:
    """Measure in `rounds` alternating rounds for each kind of picture."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stations = [
            stack.enter_context(_running(root / name, pictures=pictures))
            for name, pictures in (("shown", "on"), ("off", "off"), ("control", "off"))
        ]
        command = [sys.executable, "-m", "benchmarks.pictures", "--look", str(stations[0][0].store)]
        viewer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        began = time.monotonic()
        lines = [_Line(stack.enter_context(Client(store=station.store)), os_pid) for station, os_pid in stations]
        rows = list(itertools.chain.from_iterable(
            _measure(what, image, lines, rounds) for what, image in _images().items()
        ))  # fmt: skip
        seconds = time.monotonic() - began
        seen, _ = viewer.communicate("")
        per_second = int(seen) / (seconds / len(stations))
        return [
            *rows,
            Row("pictures seen in a second of calls on the station that is looked at", f"{per_second:.2f}", "0"),
        ]


def _images() -> dict[str, object]:
    """Return pictures in the forms that callers bring them in; of an encoded one, the size that files of it have."""
    noise = np.random.default_rng(7)
    small = noise.integers(0, 255, (480, 640, 3), np.uint8)
    large = np.kron(noise.integers(0, 255, (120, 192, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
    return {
        "640×480 array, shared": small,
        "1920×1200 array, shared": large,
        "1920×1200 JPEG": _encoded(large, "JPEG"),
        "1920×1200 PNG": _encoded(large, "PNG"),
    }


def _encoded(array: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


class _Block(NamedTuple):
    """What a block of calls came to, in seconds."""

    p50: float
    p99: float
    daemon_cpu: float


class _Line:
    """Calls one station, each time with another picture where it is an array."""

    def __init__(self, client: Client, daemon: int) -> None:
        self._client = client
        self._tasks = Path(f"/proc/{daemon}/task")
        self._numbers = itertools.count()

    def block(self, image: object) -> _Block:
        before, end = self._cpu(), time.perf_counter() + _BLOCK
        seconds: list[float] = []
        while (began := time.perf_counter()) < end or len(seconds) < 2:
            if isinstance(image, np.ndarray):
                image[0, :400] = next(self._numbers) % 251
            self._client.execute("A01", image)
            seconds.append(time.perf_counter() - began)
        seconds.sort()
        return _Block(median(seconds), seconds[int(len(seconds) * 0.99)], (self._cpu() - before) / len(seconds))

    def _cpu(self) -> float:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks.iterdir()) / 1e9


def _measure(what: str, image: object, lines: list[_Line], rounds: int) -> Iterator[Row]:
    """Yield p50 and p99 of a call, and what the daemon works for one."""
    for line in lines:
        line.block(image)
    taken: list[list[_Block]] = [[], [], []]
    for turn in range(rounds):
        for index in sorted(range(3), key=lambda each: (each + turn) % 3):
            taken[index].append(lines[index].block(image))
    for field, name in (("p50", "p50"), ("p99", "p99"), ("daemon_cpu", "processor time of the daemon")):
        shown, off, control = ([getattr(block, field) for block in blocks] for blocks in taken)
        noise = median_ratio(control, off)
        yield Row(
            f"{what}: {name} (noise: {noise:.2f})", milliseconds(shown), milliseconds(off), median_ratio(shown, off),
            _AIM * max(noise, 1.0),
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        look(sys.argv[2])
    else:
        sys.exit(not print_table(run(*map(int, sys.argv[1:]))))
