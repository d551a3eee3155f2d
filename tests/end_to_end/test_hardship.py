"""What befalls a running station from outside: processes that stand still, files of `run/` that somebody removes."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from controller.client import Client
from controller.store.layout import StoreLayout
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.end_to_end.test_daemon import IMAGE, started
from tests.packages.conftest import marked
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.real


@pytest.fixture
def cell(station: Station) -> Iterator[Daemon]:
    daemon = Daemon(station)
    yield started(daemon)
    daemon.leave_nothing()


def shim_of(daemon: Daemon, name: str) -> psutil.Process:
    return psutil.Process(daemon.os_pids()[name]).parent()


def test_a_process_that_stands_still_delays_neither_the_socket_nor_another_package(cell: Daemon) -> None:
    before, shim = cell.os_pids(), shim_of(cell, "cell/1.0.0")
    cell.kill()
    shim.suspend()
    cell.start(ready=False)

    eventually(lambda: cell.get("/healthz") == (200, {"alive": True}), "the socket")
    with Client(store=cell.station.store) as client:
        assert client.execute("B01", IMAGE).data["debug"]["os_pid"] == before["side/1.0.0"]
    eventually(lambda: cell.get("/v1/status")[0] == 200, "the first pass")
    status = cell.status()
    states = {each["deployment"]: each["state"] for each in status["processes"]}
    assert (states["cell"], states["side"] in {"ready", "busy"}) == ("adopting", True)
    assert {each["pid"]: each["ready"] for each in status["pids"]} == {"A01": False, "A02": False, "B01": True}
    assert not status["converged"]
    shim.resume()
    cell.until(lambda status: status["converged"], "its adoption")
    assert cell.os_pids() == before


def test_what_is_removed_of_the_run_folder_is_made_anew(cell: Daemon, bright: Path) -> None:
    station, before = cell.station, cell.os_pids()
    run = station.store / "run"

    (run / "runner.sock").unlink()
    assert station.execute("A01", bright)["status"] == "OK", "the command waits for the daemon to listen anew"
    (run / "controller.lock").unlink()
    second = station.pvctl("run", expect=1)
    assert "is held by" in second.stderr
    eventually((run / "controller.lock").read_text, "the lock's file with its owner")
    assert f"process {cell.os_pid}" in station.pvctl("run", expect=1).stderr

    shutil.rmtree(run)
    assert "is held by" in station.pvctl("run", expect=1).stderr
    assert station.execute("A01", bright)["data"]["debug"]["os_pid"] == before["cell/1.0.0"]
    with Client(store=station.store) as client:
        assert client.execute("B01", np.ones((4, 4, 3), np.uint8)).status == "OK", "an image that travels by reference"
    psutil.Process(before["cell/1.0.0"]).kill()
    status = cell.until(
        lambda status: status["converged"] and cell.os_pids()["cell/1.0.0"] not in {None, before["cell/1.0.0"]},
        "a restart in the new folder",
    )
    assert all(pid["ready"] for pid in status["pids"])

    cell.kill()
    ended = station.json("down")["ended"]
    assert {each.split("/")[0] for each in ended} == {"cell", "side"}
    assert station.wait_until_gone() == []


def test_down_ends_what_is_being_proven_beside_its_daemon_and_after_one_that_was_killed(station: Station) -> None:
    build_package(station.zips, name="line", source=Algorithm(top="time.sleep(613)"), supported_pids=["A01"])
    station.desire("line", "line", "1.0.0", ["A01"])
    daemon = Daemon(station)
    for killed in (False, True):
        daemon.start(ready=False)
        eventually(lambda: marked(StoreLayout.at(station.store), "probe_entry.py"), "a proof")
        if killed:
            daemon.kill()
        station.pvctl("down")
        if not killed:
            assert daemon.wait() == 0
        assert station.wait_until_gone(PATIENCE) == []


def test_a_daemon_that_is_stopped_leaves_no_command_without_a_sentence(cell: Daemon, bright: Path) -> None:
    station, name = cell.station, f"`pvctl run` (process {cell.os_pid}"
    cell.signal(signal.SIGSTOP)
    try:
        commands = (("-o", "json", "status"), ("pause", "cell"), ("exec", "A01", "--image", bright), ("down",))
        with ThreadPoolExecutor() as beside:
            asked = [beside.submit(station.pvctl, *each, expect=None) for each in commands]
            status, *refused = (each.result() for each in asked)
    finally:
        cell.signal(signal.SIGCONT)

    assert status.returncode == 0
    assert json.loads(status.stdout)["processes"], "its last status"
    assert f"{name}" in status.stderr
    assert [each.returncode for each in refused] == [1, 1, 1]
    for each in refused:
        assert "no sign of life" in each.stderr
    for each in (refused[0], refused[2]):
        assert name in each.stderr
        assert "kill -CONT" in each.stderr
