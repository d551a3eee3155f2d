"""Calls beside a slow disk: every sync of the daemon takes half a second more, at rest and while versions are switched.

The daemon runs in a process whose `os.fsync` and `os.fdatasync` first sleep for as long as a file says, so that one
daemon is measured with the disk as it is and with a slow one. Beside it: how often an idle daemon syncs at all.

usage: python -m benchmarks.slow_disk [SECONDS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

from benchmarks.table import Row, milliseconds, print_table
from controller.client import Client
from examples.packing import build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

_SLOW = 0.5
_WATCHED = 30.0
_MOST_SYNCS = 2.0
"""In so many idle seconds: one write of the status, for the sake of its figures."""
_AIM = 1.5
"""Of the 99th percentile: a hundredth of the calls meets whatever else two cores do."""
_VERSIONS = ("1.0.0", "1.1.0")
_IMAGE = np.zeros((48, 64, 3), np.uint8)
_DAEMON = """
import os, sys, time
from pathlib import Path
from controller.__main__ import main
delay, count = Path(sys.argv[1]), open(sys.argv[2], "ab", buffering=0)
def slowed(sync):
    def slow(descriptor):
        count.write(b".")
        time.sleep(float(delay.read_text()))
        sync(descriptor)
    return slow
os.fsync, os.fdatasync = slowed(os.fsync), slowed(os.fdatasync)
sys.argv = sys.argv[3:]
main()
"""


def _measure(root: Path, seconds: float) -> list[Row]:
    station = Station(root)
    daemon, delay, count = Daemon(station), root / "delay", root / "syncs"
    delay.write_text("0")
    count.touch()
    daemon.confined = lambda command: [sys.executable, "-c", _DAEMON, str(delay), str(count), *command]
    for version in _VERSIONS:
        build_package(station.zips, name="bench", version=version, supported_pids=("A01", "B01"))
    for pid in ("A01", "B01"):
        station.desire(pid.lower(), "bench", _VERSIONS[0], [pid], rollbackWindow="0s")
    try:
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        with Client(store=station.store) as client:
            rows = _compare(station, daemon, client, delay, seconds)
        _let_rest(daemon)
        before = count.stat().st_size
        time.sleep(_WATCHED)
        syncs = count.stat().st_size - before
    finally:
        delay.write_text("0")
        daemon.leave_nothing()
        station.pvctl("down", expect=None)
    return [*rows, Row(f"syncs in {_WATCHED:g} idle seconds / {_MOST_SYNCS:g}", str(syncs), f"{_MOST_SYNCS:g}",
                       syncs / _MOST_SYNCS, 1.0)]  # fmt: skip


def _compare(station: Station, daemon: Daemon, client: Client, delay: Path, seconds: float) -> list[Row]:
    """Call B01, at rest and while A01 is switched to and fro, with the disk as it is and with a slow one."""
    rows = []
    for what, switching in (("at rest", False), ("while another PID is switched", True)):
        quantiles = []
        for slow in (0.0, _SLOW):
            delay.write_text(str(slow))
            quantiles.append(_p99(station, client, seconds, switching=switching))
        delay.write_text("0")
        _let_rest(daemon)
        bare, ours = quantiles
        rows.append(Row(f"p99 of calls {what}, syncs of {_SLOW:g} s / syncs as they are", milliseconds(ours),
                        milliseconds(bare), ours / bare, _AIM))  # fmt: skip
    return rows


def _let_rest(daemon: Daemon) -> None:
    """Wait until the last edit was taken and done, and its old process is gone."""
    time.sleep(3.0)
    daemon.until(lambda status: status["converged"] and len(status["processes"]) == 2, "convergence")


def _p99(station: Station, client: Client, seconds: float, *, switching: bool) -> float:
    stop = Event()
    switcher = Thread(target=_switch, args=(station, stop))
    if switching:
        switcher.start()
    taken, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        client.execute("B01", _IMAGE)
        taken.append(time.perf_counter() - began)
    stop.set()
    if switching:
        switcher.join()
    return float(np.quantile(taken, 0.99))


def _switch(station: Station, stop: Event) -> None:
    turn = 0
    while not stop.is_set():
        turn += 1
        station.desire("a01", "bench", _VERSIONS[turn % 2], ["A01"], rollbackWindow="0s")
        stop.wait(3.0)


def main() -> bool:
    """Print the table; return whether every aim was met."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    with tempfile.TemporaryDirectory(prefix="pvctl-bench-") as root:
        return print_table(_measure(Path(root), seconds))


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
