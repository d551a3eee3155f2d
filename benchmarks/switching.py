"""A switch to a warm version, and the automatic way back to one, against durable renames; and calls lost to switches.

The first two are the acts as the controller does them, with their audit and history, in this process: a real store and
the real pass, on packages and processes that are said to be there. `as the daemon does it` is a running daemon on real
packages, timed by its own audit: from the decision to roll a version back until the last PID's switch is on record.
The bare mechanism writes a file of the same size, syncs it, renames it and syncs the folder.

The way back is made while callers go on calling, as on a line. So its bare mechanism is measured while the same callers
go on calling, in a process of its own; a row without an aim shows the ratio against renames on the machine at rest.

usage: python -m benchmarks.switching [ROUNDS]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.renames import renaming, timed_renames
from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.host.clock import utc_now
from controller.model.actions import Plan, Switch
from controller.model.desired import Revision
from controller.packages.install import Installer
from controller.reconciler.apply import Applier
from controller.store.layout import StoreLayout
from controller.store.store import Store
from examples import packing
from examples.packing import build_package
from tests.end_to_end.load import Load
from tests.end_to_end.running import Daemon, eventually
from tests.end_to_end.station import Station

_AIM, _AIM_BACK = 3.0, 4.0
_PIDS = ("A01", "A02", "A03", "A04")
_SHADOWED = "B01"
_SHADOW = {"duration": "0s", "minSamples": 10_000_000, "maxNewlyOK": "100%", "maxNewlyNG": "100%"}
"""A shadow step that does not end."""
_RECORDING = {"keep": 200, "only": ["sample"], "sample": "100%"}
_EDITS = 50
_IMAGE = np.zeros((48, 64, 3), np.uint8)


async def _measure_switches(folder: Path, rounds: int) -> Row:
    """Time one switch at a time, audited and on record, against one rename."""
    layout = StoreLayout.at(folder)
    store = Store.at(layout, utc_now)
    store.create_folders()
    installer = Installer(layout, store.lock, now=utc_now)
    refs = [installer.install(build_package(layout.zips, name="bench", version=version)).ref for version in _VERSIONS]
    applier = Applier(store, installer, _NoProcesses(), actor="bench", now=utc_now, notify=lambda _: None)
    revision = Revision(id="bench", source="bench", loaded_at=utc_now(), deployments=())
    bare = folder / "bare"
    bare.mkdir()
    ours_s, bare_s = [], []
    for number in range(rounds * 10):
        act = Switch("A01", "bench", refs[(number + 1) % 2], refs[number % 2], "measured", ())
        began = time.perf_counter()
        applier.launch(Plan((act,)), revision)
        [result] = await applier.next_results()
        ours_s.append(time.perf_counter() - began)
        assert result.error is None
        bare_s.append(timed_renames(bare, 1))
    what = "switch to a warm version, with audit and history / one durable rename"
    return Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), _AIM)


_VERSIONS = ("1.0.0", "1.1.0")


class _NoProcesses:
    """Warm processes need nothing done; a switch that starts or stops one is not what is measured."""

    async def observe(self) -> dict[Any, Any]:
        return {}

    async def start(self, spec: Any) -> Any:
        raise AssertionError(f"a switch started {spec.key}")

    async def stop(self, key: Any, *, drain: float) -> None:
        raise AssertionError(f"a switch stopped {key}, draining {drain}")


@contextmanager
def _running(root: Path) -> Iterator[tuple[Station, Daemon]]:
    station = Station(root)
    daemon = Daemon(station)
    try:
        yield station, daemon
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def _measure_lost_calls(root: Path) -> Row:
    """Switch four PIDs to and fro under the load of ten callers, every call recorded, and a fifth PID shadowed."""
    with _running(root) as (station, daemon):
        for version in _VERSIONS:
            build_package(station.zips, name="bench", version=version, supported_pids=(*_PIDS, _SHADOWED))
        station.desire("bench", "bench", _VERSIONS[0], _PIDS, recording=_RECORDING)
        station.desire("beside", "bench", _VERSIONS[0], [_SHADOWED], recording=_RECORDING)
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        canary: dict[str, Any] = {"steps": [{"shadow": _SHADOW}]}
        station.desire("beside", "bench", _VERSIONS[1], [_SHADOWED], recording=_RECORDING, strategy={"canary": canary})
        daemon.until(lambda status: any(each.get("shadow") for each in status["processes"]), "a shadow")
        with Load(station.store, (*_PIDS, _SHADOWED), [_IMAGE], callers=10, pace=0.002) as load:
            load.until_answered(100)
            for edit in range(_EDITS):
                version = _VERSIONS[(edit + 1) % 2]
                station.desire("bench", "bench", version, _PIDS, recording=_RECORDING)
                eventually(lambda version=version: _all_on(station, version), f"every PID on {version}")
        failed = load.lost + sum(load.failures().values())
    switches = _EDITS * len(_PIDS)
    what = f"calls lost or failed over {switches} switches under load, with shadow and recording (1,000: make soak)"
    return Row(what, f"{failed} of {load.began}", "0", float(failed), 0.0)


def _measure_the_way_back(root: Path, rounds: int) -> list[Row]:
    """Let versions that answer ERROR be promoted and rolled back by the daemon, from all PIDs at once."""
    ours_s, loaded_s, idle_s = [], [], []
    bare = root / "bare"
    with _running(root) as (station, daemon):
        bare.mkdir()
        build_package(station.zips, name="bench", version="1.0.0", supported_pids=_PIDS)
        station.desire("bench", "bench", "1.0.0", _PIDS)
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        with renaming(bare) as renamer:
            for number in range(1, rounds + 1):
                bad = f"2.{number}.0"
                build_package(station.zips, name="bench", version=bad, source=packing.ERROR, supported_pids=_PIDS)
                with Load(station.store, _PIDS, [_IMAGE], callers=4, pace=0.005):
                    station.desire("bench", "bench", bad, _PIDS)
                    daemon.until(lambda status, bad=bad: f"bench@{bad}" in _quarantined(status), "the verdict")
                    eventually(lambda: _all_on(station, "1.0.0"), "the way back")
                    daemon.until(lambda status: not _under_way(status), "rest")
                    loaded_s.append(renamer.seconds(len(_PIDS)))
                ours_s.append(_seconds_back(station, bad))
                idle_s.append(renamer.seconds(len(_PIDS)))
    what = "automatic rollback of 4 PIDs under load, decision and audit included / 4 durable renames"
    return [
        Row(f"{what} beside the same load", milliseconds(ours_s), milliseconds(loaded_s),
            median_ratio(ours_s, loaded_s), _AIM_BACK),
        Row("the same / 4 durable renames on the machine at rest", milliseconds(ours_s), milliseconds(idle_s),
            median_ratio(ours_s, idle_s)),
    ]  # fmt: skip


def _all_on(station: Station, version: str) -> bool:
    return all(station.mapped(pid) == version for pid in _PIDS)


def _quarantined(status: Any) -> Any:
    return status["deployments"][0]["quarantined"]


def _under_way(status: Any) -> bool:
    return any(each["version"] != "1.0.0" for each in status["processes"])


def _seconds_back(station: Station, bad: str) -> float:
    """Return the time from the decision to take a version back until the last PID's switch was done, by the audit."""
    records = station.json("audit", "-n", "100000")
    taken = [each for each in records if each["action"] == "remember" and f"{bad}: rolled back" in each["reason"]]
    switched = [
        each for each in records
        if each["action"] == "switch" and each["outcome"] == "succeeded" and f"{bad} is rolled back" in each["reason"]
    ]  # fmt: skip
    assert len(switched) == len(_PIDS), f"{len(switched)} switches back from {bad}"
    ended = max(datetime.fromisoformat(each["time"]) for each in switched)
    return (ended - datetime.fromisoformat(taken[0]["time"])).total_seconds()


def run(rounds: int = 7) -> list[Row]:
    """Measure switches (ten for each round), the way back (once a round), and calls lost."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        return [
            _run_on_uvloop(work / "switches", rounds),
            *_measure_the_way_back(work / "back", rounds),
            _measure_lost_calls(work / "lost"),
        ]


def _run_on_uvloop(folder: Path, rounds: int) -> Row:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure_switches(folder, rounds))


if __name__ == "__main__":
    sys.exit(0 if print_table(run(*map(int, sys.argv[1:]))) else 1)
