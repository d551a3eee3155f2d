"""PIDs that get their versions by hand, on real packages and a real daemon: unmanaged, and held until resumed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.client import Client
from controller.errors import CallError, Code
from examples.packing import OK, build_package
from tests.end_to_end.load import Load
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.http.conftest import Reply, ask
from tests.waiting import eventually

pytestmark = pytest.mark.real

IMAGE = np.full((4, 4, 3), 200, np.uint8)
FREE = ("T01", "T02")


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """A daemon with `cell` 1.0.0 on A01 and A02 by a deployment, and `hand`, which no deployment wants."""
    build_package(station.zips, name="cell", source=OK)
    station.desire("line", "cell", "1.0.0", ["A01", "A02"])
    for version in ("1.0.0", "1.1.0"):
        build_package(station.root / "deliveries", name="hand", version=version, source=OK, supported_pids=FREE)
    daemon = Daemon(station)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    yield daemon
    daemon.leave_nothing()


def post(station: Station, path: str, **body: Any) -> Reply:
    return ask(station.store / "run" / "runner.sock", "POST", path, json.dumps(body).encode())


def install(station: Station, *zips: Path) -> None:
    for each in zips:
        station.pvctl("install", each)


def answered_by(client: Client, pid: str, version: str) -> bool:
    """Whether a call of a PID is answered by a version; a daemon that starts may not be there yet."""
    try:
        return client.execute(pid, IMAGE).version == version
    except CallError:
        return False


def row(daemon: Daemon, pid: str) -> Any:
    return next(each for each in daemon.status()["pids"] if each["pid"] == pid)


def process(daemon: Daemon, version: str) -> Any:
    found = [each for each in daemon.status()["processes"] if (each["name"], each["version"]) == ("hand", version)]
    return found[0] if found else None


def test_a_pid_that_no_deployment_has_is_served_like_any_other(daemon: Daemon) -> None:
    station = daemon.station
    install(station, *sorted((station.root / "deliveries").glob("hand-*.zip")))

    first = post(station, "/algorithms/activate", name="hand", version="1.0.0", pid=["T01"])
    assert (first.status, [each["outcome"] for each in first.json["pids"]]) == (200, ["switched"])
    again = post(station, "/algorithms/activate", name="hand", version="1.0.0", pid=["T01", "A02"])
    assert [(each["pid"], each["outcome"]) for each in again.json["pids"]] == [("T01", "unchanged"), ("A02", "refused")]
    assert again.json["pids"][1]["error"]["code"] == 2006
    listed = station.json("package", "active", "--pid", "T01")["active"]
    assert [(each["version"], each["deployment"], each["installed"]) for each in listed] == [("1.0.0", None, True)]

    with Client(store=station.store) as client:
        assert client.execute("T01", IMAGE).version == "1.0.0"
        shown = daemon.until(lambda status: any(each["pid"] == "T01" for each in status["pids"]), "the row")
        assert (row(daemon, "T01")["deployment"], row(daemon, "T01")["ready"]) == (None, True)
        assert "active/T01.json" in shown["unmanaged"]

        os.kill(process(daemon, "1.0.0")["os_pid"], signal.SIGKILL)
        eventually(lambda: answered_by(client, "T01", "1.0.0"), "an answer after the process was killed")

        daemon.until(lambda status: status["converged"], "rest")
        kept = process(daemon, "1.0.0")["os_pid"]
        daemon.kill()
        daemon.start()
        assert client.execute("T01", IMAGE).version == "1.0.0"
        assert process(daemon, "1.0.0")["os_pid"] == kept, "the process outlived the controller"

        station.pvctl("down")
        daemon.start()  # as after a reboot: ready means that T01 is, too
        assert client.execute("T01", IMAGE).version == "1.0.0"

    _switch_under_load(daemon)
    _force_out(daemon)


def _switch_under_load(daemon: Daemon) -> None:
    station = daemon.station
    with Load(station.store, ["T01"], [IMAGE], callers=2) as load:
        load.until_answered(5)
        station.pvctl("switch", "hand", "1.1.0", "--pid", "T01", "--reason", "newer")
        load.until_answered(5)
    assert (load.lost, load.failures()) == (0, {})
    assert {call.version for call in load.answered()} == {"1.0.0", "1.1.0"}
    daemon.until(lambda _: process(daemon, "1.0.0") is None, "the end of the process that nobody needs")
    nothing = post(station, "/algorithms/switch", name="hand", version="1.1.0", pid=["T02"])
    assert (nothing.status, nothing.error["code"]) == (409, 2006)
    assert [each["reason"] for each in station.json("history", "T01")][-1] == "activated by hand: newer"


def _force_out(daemon: Daemon) -> None:
    station = daemon.station
    socket = station.store / "run" / "runner.sock"
    refused = ask(socket, "DELETE", "/algorithms/hand/1.1.0")
    assert (refused.status, refused.error["code"]) == (409, 2007)
    assert "it answers PID T01" in refused.error["message"]
    wanted = ask(socket, "DELETE", "/algorithms/cell/1.0.0?force=true")
    assert (wanted.status, wanted.error["code"]) == (409, 2007)
    assert ask(socket, "DELETE", "/algorithms/hand/1.1.0?forc=true").status == 400

    done = ask(socket, "DELETE", "/algorithms/hand/1.1.0?force=true")
    assert (done.status, done.json["version"]) == (200, "1.1.0")
    assert station.mapped("T01") is None
    with Client(store=station.store) as client, pytest.raises(CallError) as gone:
        client.execute("T01", IMAGE)
    assert gone.value.code == Code.no_active_version
    found = ask(socket, "GET", "/algorithms?state=installed&name=hand").json["algorithms"]
    assert [(each["version"], each["active"]) for each in found] == [("1.0.0", [])]
    acts = [
        (each["action"], each["object"]) for each in station.json("audit", "-n", "6") if each["outcome"] != "started"
    ]
    assert acts == [("deactivate", "pid/T01"), ("retire", "process/_unmanaged.hand/hand@1.1.0-0"),
                    ("uninstall", "package/hand@1.1.0")]  # fmt: skip
    assert daemon.status()["converged"]


def test_a_pid_of_a_deployment_is_held_against_it_and_resumed(daemon: Daemon) -> None:
    station = daemon.station
    install(station, build_package(station.root / "deliveries", name="cell", version="1.1.0", source=OK))

    refused = post(station, "/algorithms/activate", name="cell", version="1.1.0", pid=["A01"])
    assert (refused.status, refused.error["code"]) == (409, 2006)
    assert "deployment line has it" in refused.error["message"]
    silent = post(station, "/algorithms/activate", name="cell", version="1.1.0", pid=["A01"], hold=True)
    assert (silent.status, silent.error["code"]) == (400, 1003)

    held = station.json(
        "switch", "cell", "1.1.0", "--pid", "A01", "--pid", "A03", "--hold", "--reason", "trial", expect=1
    )
    assert [(each["pid"], each["outcome"], each["held"]) for each in held["pids"]] == [
        ("A01", "switched", True), ("A03", "refused", False),
    ]  # fmt: skip
    daemon.until(lambda _: row(daemon, "A01")["held"] and row(daemon, "A01")["ready"], "the hold in the status")
    assert "A01 on 1.1.0 by" in daemon.deployment("line")["message"]
    assert station.json("history", "A01")[-1]["reason"].endswith(": trial")
    told = [each for each in station.json("audit", "-n", "50") if each["action"] == "hold"]
    assert [(each["object"], each["outcome"], each["reason"]) for each in told] == [
        ("pid/A01", "started", "trial"), ("pid/A01", "succeeded", "trial"),
    ]  # fmt: skip
    assert station.mapped("A02") == "1.0.0"

    daemon.kill()
    daemon.start()
    assert daemon.until(lambda status: status["converged"], "convergence with the hold")
    assert station.mapped("A01") == "1.1.0"
    station.pvctl("resume", "A01")
    daemon.until_active("A01", "1.0.0")
    daemon.until(lambda status: status["converged"], "convergence without the hold")
    assert daemon.deployment("line")["rollback_to"] is None, "what was tried is no version to go back to by itself"


def test_a_version_that_does_not_start_changes_nothing(daemon: Daemon) -> None:
    station = daemon.station
    install(station, station.root / "deliveries" / "hand-1.0.0.zip")
    entry = station.store / "algorithms" / "deployed" / "hand" / "1.0.0" / "src" / "hand" / "main.py"
    entry.write_text("raise RuntimeError('broken after its installation')\n")

    refused = post(station, "/algorithms/activate", name="hand", version="1.0.0", pid=["T01"])
    assert refused.status == 503
    assert "broken after its installation" in refused.error["message"]
    assert station.mapped("T01") is None
    assert not (station.store / "history" / "T01.jsonl").exists()


def test_a_deployment_that_names_a_pid_takes_it_over(daemon: Daemon) -> None:
    station = daemon.station
    install(station, *sorted((station.root / "deliveries").glob("hand-*.zip")))
    station.pvctl("activate", "hand", "1.0.0", "--pid", "T01")

    station.desire("taken", "hand", "1.1.0", ["T01", "T02"])
    with Load(station.store, ["T01"], [IMAGE], callers=1) as load:
        load.until_answered(1)
        daemon.until_active("T02", "1.1.0")
        daemon.until_active("T01", "1.1.0")
        load.until_answered(1)
    assert (load.lost, load.failures()) == (0, {})
    daemon.until(lambda status: status["converged"] and "active/T01.json" not in status["unmanaged"], "the take-over")
    assert station.json("history", "T01")[-1]["deployment"] == "taken"


def test_pids_get_versions_also_where_no_daemon_runs(station: Station, bright: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        install(station, build_package(station.root, name="hand", version=version, source=OK, supported_pids=FREE))

    done = station.json("activate", "hand", "1.0.0", "--pid", "T01", "--pid", "A01", expect=1)
    assert [(each["pid"], each["outcome"]) for each in done["pids"]] == [("T01", "switched"), ("A01", "refused")]
    assert station.execute("T01", bright)["version"] == "1.0.0"
    station.pvctl("switch", "hand", "1.1.0", "--pid", "T01")
    assert station.execute("T01", bright)["version"] == "1.1.0"
    assert "no deployment has active/T01.json" in station.pvctl("status").stdout
    station.reconcile()
    assert [each["version"] for each in station.json("status")["processes"]] == ["1.1.0"], "the former one is ended"

    assert station.json("uninstall", "hand", "1.1.0", expect=1)["error"]["code"] == 2007
    station.pvctl("uninstall", "hand", "1.1.0", "--force")
    assert (station.mapped("T01"), station.processes()) == (None, [])
    listed = station.json("package", "list", "--name", "hand")["algorithms"]
    assert [each["state"] for each in listed] == ["installed", "discovered"]
