"""Calls by package name and version, as a host with work orders makes them: real packages, a real daemon, a switch."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from controller.client import AsyncClient, CallError, Client
from controller.errors import Code
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

pytestmark = pytest.mark.real
IMAGE = np.zeros((4, 4, 3), np.uint8)


class WorkOrder(threading.Thread):
    """Calls one version until it is told to stop. `answered` counts (own word for its version, PID told, PID said)."""

    def __init__(self, store: Path, package: str) -> None:
        super().__init__()
        self._store, self._package = store, package
        self._over = threading.Event()
        self.answered: Counter[tuple[str, str, str]] = Counter()
        self.refused: Counter[Code] = Counter()

    def run(self) -> None:
        with Client(store=self._store) as client:
            while not self._over.is_set():
                try:
                    answer = client.execute(self._package, IMAGE)
                except CallError as error:
                    self.refused[error.code] += 1
                else:
                    assert f"{answer.name}@{answer.version}" == self._package
                    debug = answer.data["debug"]
                    self.answered[debug["version"], debug["pid"], answer.pid] += 1

    def end(self) -> None:
        self._over.set()
        self.join()


def test_a_named_version_answers_while_it_is_active_and_no_other_ever_does(station: Station, bright: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        source = Algorithm(body=f"time.sleep(0.02)\nreturn ok(pid=pid, version='{version}')")
        build_package(station.zips, name="line", version=version, generation="0.0", source=source)
    station.desire("line", "line", "1.0.0", ["A02", "A01"])
    daemon = Daemon(station)
    daemon.start()
    orders = [WorkOrder(station.store, package) for package in ("line@1.0.0", "line@1.0.0", "line@1.1.0")]
    try:
        daemon.until(lambda status: status["converged"], "convergence")
        for order in orders:
            order.start()
        eventually(lambda: sum(orders[0].answered.values()) > 10 and orders[2].refused, "calls before the switch")
        station.desire("line", "line", "1.1.0", ["A02", "A01"])
        eventually(lambda: sum(orders[2].answered.values()) > 10 and orders[0].refused, "calls after the switch")
    finally:
        for order in orders:
            order.end()
    for order, version in zip(orders, ("1.0.0", "1.0.0", "1.1.0"), strict=True):
        assert order.answered.keys() <= {(version, "A01", "A01"), (version, "A02", "A02")}
        assert order.refused.keys() == {Code.no_active_version}

    async def ask() -> str:
        async with AsyncClient(store=station.store) as client:
            return (await client.execute("line@1.1.0", IMAGE, for_pid="A02")).data["debug"]["pid"]

    assert asyncio.run(ask()) == "A02"
    assert station.execute("line@1.1.0", bright)["pid"] == "A01"
    assert station.execute("line@1.1.0", bright, "--pid", "A02")["data"]["debug"]["pid"] == "A02"
    nowhere = "line@1.0.0 is not active for any PID; of line there is active: 1.1.0 on A01, A02"
    assert nowhere in station.pvctl("exec", "line@1.0.0", "--image", bright, expect=1).stderr

    assert daemon.stop() == 0
    assert station.execute("line@1.1.0", bright)["pid"] == "A01"
    assert station.execute("line@1.1.0", bright, "--pid", "A02")["data"]["debug"]["pid"] == "A02"
    assert nowhere in station.pvctl("exec", "line@1.0.0", "--image", bright, expect=1).stderr
