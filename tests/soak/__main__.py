"""`python -m tests.soak`: 1,000 switches, 20 killed algorithms and 3 killed daemons under load; every call judged.

Callers never pause for any of it. Bounded: every wait has an end, and the whole has one too. Prints a table, and exits
with 1 on any violation. The seed decides when the kills come; a run is not repeatable to the instant, since the machine
is not.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from examples.packing import Algorithm, build_package
from tests.builders import deployment
from tests.end_to_end.load import Call, Load
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.soak.judge import Judgement, Outage, judge
from tests.soak.leftovers import descriptors, image_files, resident_bytes
from tests.soak.witness import Witness
from tests.waiting import eventually

PIDS = ("A01", "A02", "A03", "A04")
VERSIONS = ("1.0.0", "1.1.0")
LEVELS = range(0, 250, 10)
DAEMON_KILLS, PROCESS_KILLS = 3, 20
AT_MOST = 900.0
"""Seconds after which the whole is ended, whatever it is doing."""
HEALTH = {
    # Killing is what this test does: no kill shall open the breaker, be paid for with a back-off or fail a version.
    "restarts": {"max": 1000, "window": "1s"},
    "errorRate": {"max": "90%"},
    "timeoutRate": {"max": "90%"},
}


def algorithm(version: str) -> Algorithm:
    """An algorithm that says which version and process it is, and what it saw."""
    return Algorithm(body=f"return ok(version={version!r}, os_pid=os.getpid(), seen=int(image[0, 0, 0]))")


def pictures() -> list[Any]:
    """Pictures that can be told apart, in turn passed by value (bytes) and by reference (arrays)."""
    arrays = [np.full((120, 160, 3), level, np.uint8) for level in LEVELS]
    return [array if number % 2 else _npy(array) for number, array in enumerate(arrays)]


def _npy(array: np.ndarray) -> bytes:
    stream = BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@dataclass(slots=True)
class Soak:
    """One run. `deaths` and `absences` are what was killed, from the kill until it was back."""

    station: Station
    daemon: Daemon
    witness: Witness
    random: random.Random
    deaths: list[Outage] = field(default_factory=list)
    absences: list[Outage] = field(default_factory=list)
    _killing: threading.Thread | None = None

    def perform(self, switches: int) -> None:
        """Switch all PIDs from one version to the other and back, killing on the way."""
        edits = switches // len(PIDS)
        process_kills = Counter(edits * (number + 1) // (PROCESS_KILLS + 1) for number in range(PROCESS_KILLS))
        daemon_kills = {edits * (number + 1) // (DAEMON_KILLS + 1) for number in range(DAEMON_KILLS)}
        for edit in range(edits):
            version = VERSIONS[(edit + 1) % 2]
            for _ in range(process_kills[edit]):
                self._kill_process(edit)
            self.desire(version)
            if edit in daemon_kills:
                self._kill_daemon()
            eventually(lambda version=version: self._all_on(version), f"edit {edit}: every PID on {version}", 60)
        if self._killing is not None:
            self._killing.join()

    def desire(self, version: str) -> None:
        """Save the deployment as an editor does: beside, then renamed."""
        document = deployment("soak", version, *PIDS, package="soak", health=HEALTH)
        temporary = self.station.desired / ".soak.yaml.new"
        temporary.write_text(yaml.safe_dump(document), encoding="utf-8")
        temporary.replace(self.station.desired / "soak.yaml")

    def _all_on(self, version: str) -> bool:
        return all(self.witness.version(pid) == version for pid in PIDS)

    def _kill_daemon(self) -> None:
        """Kill the daemon at some moment of the switch that has just been asked for, and start the next one."""
        if self._killing is not None:
            self._killing.join()
        time.sleep(self.random.uniform(0, 0.5))
        began = time.monotonic()
        self.daemon.kill()
        self.daemon.start()
        self.absences.append(Outage(began, time.monotonic()))

    def _kill_process(self, edit: int) -> None:
        """Kill an algorithm process while switches go on: three times out of four one that is being called."""
        if self._killing is not None:
            self._killing.join()
        version = VERSIONS[(edit + (edit % 4 == 0)) % 2]
        delay = self.random.uniform(0, 0.4)
        self._killing = threading.Thread(target=self._kill_and_wait, args=(version, delay), name="killer")
        self._killing.start()

    def _kill_and_wait(self, version: str, delay: float) -> None:
        time.sleep(delay)
        victim = eventually(lambda: self._ready(version), f"a process of {version} to kill")
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: self._ready(version) not in {None, victim}, f"another process of {version}", 60)
        self.deaths.append(Outage(began, time.monotonic()))

    def _ready(self, version: str) -> int | None:
        status, document = self.daemon.get("/v1/status")
        for process in document["processes"] if status == 200 else ():
            if process["version"] == version and process["state"] in {"ready", "busy"}:
                return int(process["os_pid"])
        return None

    def warm_up(self) -> None:
        """Make a daemon do once whatever it does, so that it has opened what it keeps open; then let it be idle."""
        with Load(self.station.store, PIDS, pictures(), callers=8) as load:
            for version in reversed(VERSIONS):
                self.desire(version)
                eventually(lambda version=version: self._all_on(version), f"every PID on {version}")
            load.until_answered(50)
        self.daemon.until(lambda status: status["converged"], "convergence")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `allowed` None: only told."""

    what: str
    value: object
    allowed: object = None

    @property
    def holds(self) -> bool:
        return self.allowed is None or self.value == self.allowed


def echoes(call: Call) -> bool:
    """Whether the algorithm saw the picture of this very call."""
    return call.debug.get("seen") == LEVELS[call.image]


def rows_of_calls(soak: Soak, load: Load, found: Judgement, switches: int) -> list[Row]:
    errors = sum(found.excused.values())
    dying = errors - found.excused["UnknownOutcome 1000"]
    slowest = max(call.ended - call.began for call in load.calls)
    return [
        Row("switches seen in active/", soak.witness.switches, switches),
        Row("algorithm processes killed", len(soak.deaths), PROCESS_KILLS),
        Row("daemons killed", len(soak.absences), DAEMON_KILLS),
        Row("calls begun", load.began),
        Row("answered", found.answered),
        Row("of these with one version that it could be", found.unambiguous),
        Row("ended with an error while a process or the daemon was dead", f"{errors} {dict(found.excused)}"),
        Row("more of these than processes killed (each had one call)", max(0, dying - len(soak.deaths)), 0),
        Row("slowest call, seconds", f"{slowest:.2f}"),
        Row("longest gap between two looks of the witness, ms", f"{soak.witness.longest_look * 1000:.0f}"),
        Row("lost: never ended", load.lost, 0),
        Row("answered by a version that was not active", len(found.stale), 0),
        Row("answered with another call's or version's result", len(found.swapped), 0),
        Row("failed without a reason", len(found.unexcused), 0),
    ]


def rows_of_leaks(soak: Soak) -> list[Row]:
    """Compare the daemon that did all this with a fresh one in the same situation; then end everything and look."""
    daemon, station = soak.daemon, soak.station
    soak.warm_up()
    old, memory = descriptors(daemon.os_pid), resident_bytes(daemon.os_pid)
    images = [name for name in image_files(station.store) if name.startswith("client-")]
    expected = 1 + 2 * len(daemon.status()["processes"])
    running = len(station.processes())
    assert daemon.stop() == 0
    daemon.start()
    soak.warm_up()
    fresh = descriptors(daemon.os_pid)
    rows = [
        Row("descriptors more than a fresh daemon's", dict(old - fresh), {}),
        Row(
            "resident memory of the daemon, MB", f"{memory / 1e6:.1f}, fresh {resident_bytes(daemon.os_pid) / 1e6:.1f}"
        ),
        Row("processes while idle (daemon, adapters, shims)", running, expected),
        Row("pictures of clients left while idle", images, []),
        Row("audit chain", station.json("audit", "--verify")["valid"], True),
    ]
    station.pvctl("down")
    assert daemon.wait() == 0
    left = [" ".join(process.cmdline()) for process in station.wait_until_gone()]
    run = sorted(path.name for path in (station.store / "run").iterdir() if path.suffix in {".json", ".sock"})
    return [
        *rows,
        Row("processes left after `pvctl down`", left, []),
        Row("image files left", image_files(station.store), []),
        Row("records and sockets left in run/", run, []),
    ]


def run(root: Path, switches: int, seed: int) -> bool:
    """Run the soak in a folder; print the table; return whether every promise was kept."""
    station = Station(root)
    daemon = Daemon(station)
    for version in VERSIONS:
        build_package(station.zips, name="soak", version=version, source=algorithm(version), supported_pids=PIDS)
    soak = Soak(station, daemon, Witness(station.store / "active", PIDS), random.Random(seed))
    try:
        soak.desire(VERSIONS[0])
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        began = time.monotonic()
        with soak.witness:
            with Load(station.store, PIDS, pictures(), callers=8, pace=0.005) as load:
                load.until_answered(100)
                soak.perform(switches)
                load.until_answered(100)
            found = judge(load.calls, soak.witness, soak.deaths, soak.absences, echoes)
            rows = rows_of_calls(soak, load, found, switches)
            print(f"{switches} switches in {time.monotonic() - began:.0f} s, seed {seed}")
            rows += rows_of_leaks(soak)
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)
    for row in rows:
        verdict = "" if row.allowed is None else "holds" if row.holds else "VIOLATED"
        print(f"{row.what:<60}  {row.value!s:<24}  {verdict}".rstrip())
    for sentence in [*found.stale, *found.swapped, *found.unexcused][:20]:
        print(f"  {sentence}")
    return all(row.holds for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--switches", type=int, default=1000, help="a multiple of four, at least 200")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", action="store_true", help="leave the station's folder")
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(AT_MOST, exit=True)
    root = Path(tempfile.mkdtemp(prefix="procvision-soak-"))
    try:
        return 0 if run(root, arguments.switches, arguments.seed) else 1
    finally:
        if arguments.keep:
            print(f"kept: {root}")
        else:
            shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
