"""What a scrape of 1,000 PIDs costs the calls beside it: how long it holds the event loop, which they share.

A daemon's own parts with counts of two versions for each PID; the outcome of a pass for as many. A task beside the
scrape asks for the loop's next turn again and again and notes the longest wait, in processor time of the loop's thread,
since other programs of the machine are nobody's fault here; bare is its longest wait without a scrape.
Also what the count that the daemon makes every second holds the loop for, when every PID was called since.

Then a real daemon with as many PIDs: calls one after the other, in windows of ten seconds, with a scrape every five
seconds and without one in turn. A process of its own scrapes, and gives way, as another machine's Prometheus would.

usage: python -m benchmarks.scrape [ROUNDS]
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import uvloop

from benchmarks.daemon import resident
from benchmarks.table import Row, megabytes, milliseconds, print_table
from controller.calls.series import CallSeries
from controller.calls.shadow_counts import ShadowCounts
from controller.client import Client
from controller.client.addresses import Address
from controller.host.priority import give_way_to_all
from controller.model.package import PackageRef
from controller.model.status import DeploymentStatus, EvidenceStatus, PidStatus, RevisionStatus, Status
from controller.model.tally import Counted, Kind, Recorder
from controller.reconciler.counts import ActCounts, PassCounts
from controller.station.commands.measuring import GetMetrics
from controller.station.metrics.scrape import Scrapes, Sources
from controller.station.port import Caller, finish
from controller.station.remote import RemoteStation
from examples.packing import build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import HANGS

_PIDS, _EACH = 1000, 100
"""PIDs, and how many of them a deployment has."""
_AIM = 1.5
"""Longest hold of the loop, in milliseconds, as the median of rounds."""
_WINDOW, _EVERY = 10.0, 5.0
"""Seconds in which calls are made with scrapes, or without; seconds between two scrapes."""
_IMAGE = np.zeros((48, 64, 3), np.uint8)
_VERSIONS = ("1.0.0", "1.1.0")


def _recorders() -> dict[Counted, Recorder]:
    chance = random.Random(1)  # noqa: S311 - no secret
    found = {}
    for number in range(_PIDS):
        for version in _VERSIONS:
            recorder = found[f"P{number:04}", PackageRef("screw-check", version)] = Recorder()
            for _ in range(40):
                recorder.record(chance.choice([Kind.ok, Kind.ng, Kind.error]), chance.uniform(0.01, 0.2))
    return found


def _status() -> Status:
    names = [f"cell-{number}" for number in range(_PIDS // _EACH)]
    evidence = tuple(EvidenceStatus(metric, 0.01, 0.05, 50, 0.3, "") for metric in ("errorRate", "timeoutRate", "cpu"))
    rows = tuple(
        DeploymentStatus(name, "Progressing", "g", "screw-check", "1.1.0", "1.0.0", evidence=evidence) for name in names
    )
    active = {"name": "screw-check", "version": "1.1.0", "activated_at": "2026-01-01T00:00:00Z"}
    pids = tuple(
        PidStatus(f"P{number:04}", names[number // _EACH], active, "1.1.0", False, False, True)
        for number in range(_PIDS)
    )
    return Status(RevisionStatus("r", "desired", True, loaded_at="2026-01-01T00:00:00Z"), True, rows, pids)


def _scrapes(series: CallSeries) -> Scrapes:
    status, applier = _status(), SimpleNamespace(counts=ActCounts(), in_flight=())
    revision = SimpleNamespace(by_name=[each.name for each in status.deployments])
    outcome = SimpleNamespace(
        status=status, desired=SimpleNamespace(revision=revision),
        plan=SimpleNamespace(records={}, waiting=()),
    )  # fmt: skip
    loop = SimpleNamespace(
        counts=PassCounts(), outcome=outcome, refusal=None, concluded=None,
        reconciler=SimpleNamespace(applier=applier, backoff=SimpleNamespace(failures={})),
    )  # fmt: skip
    plane = SimpleNamespace(loads=lambda: (), turned_away={})
    pool = SimpleNamespace(look=dict)
    mirror = SimpleNamespace(counts=ShadowCounts(), waiting=dict)
    recordings = SimpleNamespace(kept=0, dropped={}, total=SimpleNamespace(calls=0, size=0))
    parts = (plane, mirror, series, pool, loop, recordings, dict)
    return Scrapes(Sources(*(cast("Any", each) for each in parts)), "2026-01-01T00:00:00Z")


async def _longest_hold(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the longest time that `work` kept the loop from its next turn, and how long it took (seconds)."""
    longest, over = 0.0, False

    async def look() -> None:
        nonlocal longest
        before = time.thread_time()
        while not over:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now

    looking = asyncio.create_task(look())
    await asyncio.sleep(0)
    began = time.perf_counter()
    await work()
    took, over = time.perf_counter() - began, True
    await looking
    return longest, took


async def _measure(rounds: int) -> list[Row]:
    recorders, series = _recorders(), CallSeries()
    series.configure({f"P{number:04}": f"cell-{number // _EACH}" for number in range(_PIDS)})
    scrapes = _scrapes(series)

    async def count() -> None:
        await series.take({key: each.tally for key, each in recorders.items()}, time.time())

    await count()
    text = (await scrapes.scrape("")).text
    held, took, bare, counted = [], [], [], []
    for _ in range(rounds):
        for (_, ref), recorder in recorders.items():
            if ref.version == _VERSIONS[-1]:
                recorder.record(Kind.ok, 0.05)
        tallies = {key: each.tally for key, each in recorders.items()}
        counted.append((await _longest_hold(lambda tallies=tallies: series.take(tallies, time.time())))[0])  # type: ignore[misc]
        hold, seconds = await _longest_hold(lambda: scrapes.scrape(""))
        held.append(hold)
        took.append(seconds)
        bare.append((await _longest_hold(lambda seconds=seconds: asyncio.sleep(seconds)))[0])  # type: ignore[misc]
    lines = text.count("\n")
    return [
        Row(f"scrape of {_PIDS:,} PIDs ({lines:,} lines): the loop is held for", milliseconds(held), milliseconds(bare),
            median(held) * 1000 / _AIM, 1.0),
        Row("the same: from beginning to end", milliseconds(took), "-"),
        Row(f"counting, each of {_PIDS:,} PIDs called since: the loop is held for", milliseconds(counted),
            milliseconds(bare), median(counted) * 1000 / _AIM, 1.0),
    ]  # fmt: skip


def _measure_calls(root: Path, rounds: int) -> list[Row]:
    """Return how long calls take beside scrapes, and without them; and what the scrapes cost in memory."""
    pids = [f"P{number:04}" for number in range(_PIDS)]
    station = Station(root)
    daemon = Daemon(station)
    build_package(station.zips, name="bench", version="1.0.0", supported_pids=pids)
    for number in range(0, _PIDS, _EACH):
        station.desire(f"cell-{number // _EACH}", "bench", "1.0.0", pids[number : number + _EACH])
    calls: dict[bool, list[float]] = {True: [], False: []}
    try:
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence", HANGS)
        with Client(store=station.store) as client, _scraping(station.store) as scrape:
            for pid in pids:
                client.execute(pid, _IMAGE)
            before = resident(daemon.os_pid)
            for number in range(2 * rounds):
                scraped, now = bool(number % 2), time.perf_counter()
                until, due = now + _WINDOW, now if scraped else float("inf")
                while (began := time.perf_counter()) < until:
                    if began >= due:
                        scrape()
                        due += _EVERY
                        began = time.perf_counter()
                    client.execute("P0000", _IMAGE)
                    calls[scraped].append(time.perf_counter() - began)
        after = resident(daemon.os_pid)
    finally:
        station.pvctl("down", expect=None)
        daemon.leave_nothing()
    return [
        _row("p50 of calls beside a scrape every 5 s", calls, 0.5),
        _row("p99 of the same", calls, 0.99),
        Row("daemon with that many PIDs: memory, scraped", megabytes(after), megabytes(before), after / before),
    ]


@contextmanager
def _scraping(store: Path) -> Iterator[Callable[[], None]]:
    """Have a process that scrapes whenever it is told to; who tells it does not wait."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scrape", "--scrape", str(store)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield partial(os.write, process.stdin.fileno(), b"\n")
        process.stdin.close()
        assert process.wait(HANGS) == 0


def _scrape(store: Path) -> None:
    give_way_to_all()
    asked = RemoteStation(Address.of(store, None, None))
    print("ready", flush=True)
    for _ in sys.stdin:
        finish(asked.execute(GetMetrics(), Caller("benchmark")))


def _row(what: str, calls: dict[bool, list[float]], share: float) -> Row:
    ours, bare = (sorted(each)[int(share * len(each))] for each in (calls[True], calls[False]))
    return Row(what, milliseconds(ours), milliseconds(bare), ours / bare, 1.1)


def run(rounds: int) -> list[Row]:
    """Return the rows of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        return [*uvloop.run(_measure(rounds)), *_measure_calls(Path(folder) / "station", max(1, rounds // 3))]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--scrape"]:
        _scrape(Path(sys.argv[2]))
    else:
        sys.exit(not print_table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15)))
