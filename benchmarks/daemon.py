"""The daemon as a whole, on real packages: what it costs while idle, how soon an edit answers, how soon commands start.

Ten deployments of one package, a process each, called once each before they are left alone. Memory is what the kernel
says is resident for the daemon alone. `save to first answer` includes the time in which the tree must be quiet before
it is read (a quarter of a second); the bare mechanism starts the same adapter and waits for its pong.

usage: python -m benchmarks.daemon [ROUNDS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.calls import BarePipes
from benchmarks.table import Row, median_ratio, megabytes, milliseconds, print_table
from controller.client import Client
from controller.model.observed import ProcessKey
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout
from examples.packing import build_package
from tests.end_to_end.running import Daemon, eventually
from tests.end_to_end.station import Station

_PROCESSES = 10
_WATCHED = 20.0
"""Seconds of idleness over which processor time is counted."""
_SETTLED = 12.0
"""Seconds after which what was freed has been given back to the system (`host/memory.py`)."""
_MOST_MEMORY, _MOST_SCRAPED, _MOST_CPU = 50e6, 60e6, 0.01
_AIMS = {"version": 3.0, "status": 5.0}
"""Starts of commands, by bare interpreters."""
_IMAGE = np.zeros((48, 64, 3), np.uint8)


@contextmanager
def _running(root: Path, pids: list[str], versions: tuple[str, ...]) -> Iterator[tuple[Station, Daemon]]:
    """Run a daemon with a deployment for each PID; end everything."""
    station = Station(root)
    daemon = Daemon(station)
    for version in versions:
        build_package(station.zips, name="bench", version=version, supported_pids=pids)
    for pid in pids:
        station.desire(pid.lower(), "bench", versions[0], [pid], rollbackWindow="0s")
    try:
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        yield station, daemon
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def _cpu_seconds(os_pid: int) -> float:
    fields = Path(f"/proc/{os_pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(os_pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{os_pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _resident_after(daemon: Daemon, path: str) -> int:
    """Return the resident memory of a daemon once it has answered a request, and given back what that took."""
    status, _, _ = daemon.fetch(path)
    assert status == 200
    time.sleep(_SETTLED)
    return resident(daemon.os_pid)


def _measure_idleness(root: Path) -> list[Row]:
    pids = [f"P{number:02}" for number in range(_PROCESSES)]
    with _running(root, pids, ("1.0.0",)) as (station, daemon):
        time.sleep(_SETTLED)
        installing = resident(daemon.os_pid)
        assert daemon.stop() == 0
        daemon.start()  # what a station is most of its life: started, everything installed, everything adopted
        with Client(store=station.store) as client:
            for pid in pids * 10:
                client.execute(pid, _IMAGE)
        daemon.until(lambda status: status["converged"], "convergence")
        began, used = time.monotonic(), _cpu_seconds(daemon.os_pid)
        time.sleep(_WATCHED)
        share = (_cpu_seconds(daemon.os_pid) - used) / (time.monotonic() - began)
        size = resident(daemon.os_pid)
        scraped, described = (_resident_after(daemon, path) for path in ("/metrics", "/openapi.json"))
    return [
        Row("idle daemon, 10 processes: share of a core / 1 %", f"{share:.2%}", f"{_MOST_CPU:.0%}",
            share / _MOST_CPU, 1.0),
        Row("idle daemon, 10 processes: resident memory / 50 MB", megabytes(size), megabytes(_MOST_MEMORY),
            size / _MOST_MEMORY, 1.0),
        Row("the same after a scrape / 60 MB", megabytes(scraped), megabytes(_MOST_SCRAPED),
            scraped / _MOST_SCRAPED, 1.0),
        Row("the same after /openapi.json as well", megabytes(described), megabytes(_MOST_SCRAPED),
            described / _MOST_SCRAPED, 1.0),
        Row("the same in the life that installed the package", megabytes(installing), megabytes(_MOST_MEMORY),
            installing / _MOST_MEMORY),
    ]  # fmt: skip


def _measure_edits(root: Path, rounds: int) -> Row:
    """Save the YAML of a version that is installed and not running, and call until it answers."""
    ours_s, bare_s = [], []
    versions = ("1.0.0", "1.1.0")
    with _running(root, ["A01"], versions) as (station, daemon), Client(store=station.store) as client:
        for turn in range(rounds + 2):
            version = versions[(turn + 1) % 2]
            began = time.perf_counter()
            station.desire("a01", "bench", version, ["A01"], rollbackWindow="0s")
            while client.execute("A01", _IMAGE).version != version:
                pass
            seconds = time.perf_counter() - began
            daemon.until(lambda status: status["converged"] and len(status["processes"]) == 1, "one process")
            if turn > 1:  # both are installed by then
                ours_s.append(seconds)
                bare_s.append(_bare_start(station, version))
    return Row("saved YAML to the new version's first answer / its start alone", milliseconds(ours_s),
               milliseconds(bare_s), median_ratio(ours_s, bare_s))  # fmt: skip


def _bare_start(station: Station, version: str) -> float:
    layout = StoreLayout.at(station.store)
    folder = layout.deployed / "bench" / version
    receipt = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))
    spec = ProcessSpec(
        key=ProcessKey("bare", "bench", version),
        digest=receipt["digest"],
        python=str(folder / "venv" / "bin" / "python"),
        working_directory=str(folder / receipt["working_directory"]),
        log_path=os.devnull,
        entry_point=receipt["entry_point"],
    )
    began = time.perf_counter()
    bare = BarePipes(spec, layout.images)
    seconds = time.perf_counter() - began
    bare.end()
    return seconds


def _measure_commands(root: Path, rounds: int) -> list[Row]:
    with _running(root, ["A01"], ("1.0.0",)) as (station, daemon):
        rows = [
            _measure_command("start of `pvctl version` / a bare interpreter", station, "version", rounds),
            _measure_command("start of `pvctl status`, daemon running / a bare interpreter", station, "status", rounds),
        ]
        assert daemon.stop() == 0
        eventually(lambda: not (station.store / "run" / "runner.sock").exists(), "the daemon's end")
        what = "start of `pvctl status`, no daemon / a bare interpreter"
        return [*rows, _measure_command(what, station, "status", rounds)]


def _measure_command(what: str, station: Station, command: str, rounds: int) -> Row:
    ours_s, bare_s = [], []
    _seconds_of(station.command(command))  # compiles what is imported, where that is not kept already
    for _ in range(rounds):
        ours_s.append(_seconds_of(station.command(command)))
        bare_s.append(_seconds_of([sys.executable, "-c", "pass"]))
    return Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), _AIMS[command])


def _seconds_of(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def run(rounds: int = 9) -> list[Row]:
    """Measure idleness once, edits `rounds` times, commands twice as often."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        return [
            *_measure_idleness(work / "idle"),
            _measure_edits(work / "edits", rounds),
            *_measure_commands(work / "commands", rounds * 2),
        ]


if __name__ == "__main__":
    sys.exit(0 if print_table(run(*map(int, sys.argv[1:]))) else 1)
