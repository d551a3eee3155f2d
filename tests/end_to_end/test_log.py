"""`controller.log` through a bad day: each event is said once, at a level that says whether somebody has to look."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest

from controller.client import Client
from controller.errors import CallError
from examples import packing
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.host_limits import with_inotify
from tests.waiting import eventually

pytestmark = pytest.mark.real

SLOW = Algorithm(body="time.sleep(float(params.get('seconds', 0)))\nreturn ok()")
IMAGE = np.zeros((4, 4, 3), np.uint8)
ONE_SECOND = {"timeouts": {"call": "1s"}}


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    build_package(station.zips, name="cell", version="1.0.0", source=SLOW, supported_pids=["A01", "A02"])
    build_package(station.zips, name="cell", version="1.1.0", source=packing.RAISES, supported_pids=["A01", "A02"])
    station.desire("cell", "cell", "1.0.0", ["A01", "A02"], **ONE_SECOND)
    daemon = Daemon(station)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    yield daemon
    daemon.leave_nothing()


def said(daemon: Daemon, level: str, words: str) -> list[dict[str, Any]]:
    return [line for line in daemon.log() if line["level"] == level and words in line["message"]]


def heard(daemon: Daemon, level: str, words: str) -> dict[str, Any]:
    """Return the one line of a level with those words, once it is there."""
    [line] = eventually(lambda: said(daemon, level, words), f"{level}: {words}")
    return line


def test_the_log_says_what_happened_at_a_level_that_matches(station: Station, daemon: Daemon) -> None:
    assert str(station.store) in heard(daemon, "info", "started as process")["message"]
    assert str(station.desired) in heard(daemon, "info", "started as process")["message"]
    assert "runner.sock" in heard(daemon, "info", "listening at")["message"]
    assert "1 deployments, 2 PIDs" in heard(daemon, "info", "is in force")["message"]
    [os_pid] = daemon.os_pids().values()

    os.kill(os_pid, signal.SIGKILL)
    killed = heard(daemon, "warning", "exited unexpectedly")
    assert "killed by signal 9" in killed["message"]
    assert killed["package"] == "cell@1.0.0"

    with Client(store=station.store) as client:
        for _ in range(2):
            with pytest.raises(CallError):
                client.execute("A01", IMAGE, guide_info=[{"seconds": 30}])
        late = heard(daemon, "warning", "A01: a call failed on cell@1.0.0: 1005 timeout")
        assert (late["pid"], late["package"]) == ("A01", "cell@1.0.0")

        path = station.desired / "cell.yaml"
        text = path.read_text()
        path.write_text(text.replace("pids:", "pidz:").replace("timeouts:", "timeoutz:"))
        refused = heard(daemon, "error", "the desired tree is refused")
        assert "cell.yaml:" in refused["message"]
        assert "more; `pvctl validate` lists them); revision" in refused["message"]
        path.write_text(text)
        eventually(lambda: len(said(daemon, "info", "is in force")) == 2, "the correction")

        station.desire("cell", "cell", "1.1.0", ["A01", "A02"], **ONE_SECOND)
        daemon.until_active("A01", "1.1.0")
        while station.mapped("A01") == "1.1.0":
            with suppress(CallError):  # or it was rolled back a moment ago
                client.execute("A01", IMAGE)
    decided = heard(daemon, "error", "rollout of cell@1.1.0: rolled back")
    assert "error rate" in decided["message"]
    back = eventually(lambda: said(daemon, "warning", "cell@1.1.0 is rolled back"), "the switches back")
    [raised, *_] = said(daemon, "warning", "a call failed on cell@1.1.0: 1009 execute_exception")
    assert "in execute" in raised["exception"]
    assert {(line["pid"], line["package"]) for line in back} <= {("A01", "cell@1.0.0"), ("A02", "cell@1.0.0")}
    assert len(said(daemon, "error", "refused")) == 1


def test_stop_adoption_and_a_host_without_file_events_are_said(station: Station, daemon: Daemon) -> None:
    daemon.stop()
    assert heard(daemon, "info", "stopping: SIGTERM")
    assert heard(daemon, "info", "stopped; 1 algorithm processes go on")

    daemon.confined = partial(with_inotify, instances=0)
    daemon.start()
    assert "cell/cell@1.0.0-0" in heard(daemon, "info", "adopted as process")["message"]
    warned = heard(daemon, "warning", "the system tells of no changes of files")
    assert "fs.inotify.max_user_instances" in warned["message"]

    station.desire("cell", "cell", "1.0.0", ["A01"], **ONE_SECOND)
    eventually(lambda: station.mapped("A02") is None, "the edit")
