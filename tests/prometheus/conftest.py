"""One real daemon for this folder, with two versions that have been called, served to the network with a token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from controller.client import Client
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

CALLS = 30
PICKY = Algorithm(body="return error('too dark') if image.mean() < 1 else ok()")
IMAGES = (np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 200, np.uint8), np.full((8, 8, 3), 201, np.uint8))


@dataclass
class Watched:
    """A station with a daemon, the port that it listens at, a token for viewers, and what was scraped."""

    station: Station
    daemon: Daemon
    port: int
    token: str = field(repr=False)

    def call(self) -> None:
        """Have A01 asked so often; a third of it fails on 1.1.0."""
        with Client(store=self.station.store) as client:
            for number in range(CALLS):
                client.execute("A01", IMAGES[number % 3])

    def scrape(self) -> str:
        return self.station.pvctl("metrics").stdout


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    station = Station(tmp_path_factory.mktemp("watched") / "station")
    daemon = Daemon(station)
    daemon.confined = lambda command: [*command, "--listen", "127.0.0.1:0"]
    for version, source in (("1.0.0", Algorithm()), ("1.1.0", PICKY)):
        build_package(station.zips, name="cell", version=version, source=source, supported_pids=["A01", "A02"])
    station.desire("cells", "cell", "1.0.0", ["A01", "A02"])
    token = station.json("token", "create", "prometheus", "--role", "viewer")["token"]
    try:
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        made = Watched(station, daemon, _port(daemon), token)
        made.call()
        limits = {"errorRate": {"max": "90%", "minSamples": 1000}}
        station.desire("cells", "cell", "1.1.0", ["A01", "A02"], health=limits)
        daemon.until_active("A01", "1.1.0")
        made.call()
        yield made
    finally:
        station.pvctl("down", expect=None)
        daemon.leave_nothing()


def _port(daemon: Daemon) -> int:
    def told() -> int:
        found = [re.search(r"https?://127\.0\.0\.1:(\d+)", line["message"]) for line in daemon.log()]
        return next((int(each[1]) for each in found if each), 0)

    return eventually(told, "where it listens")


@pytest.fixture
def prometheus_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    return folder
