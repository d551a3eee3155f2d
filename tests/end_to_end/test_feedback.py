"""Feedback on verdicts, with a real daemon: counted once, kept over restarts, and a reason to roll a version back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from controller.client import Client
from controller.client.answers import Detection
from examples.packing import build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real
IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    daemon = Daemon(station)
    yield daemon
    daemon.leave_nothing()


def call(station: Station) -> Detection:
    with Client(store=station.store) as client:
        return client.execute("A01", IMAGE)


def test_escapes_that_feedback_tells_of_roll_the_version_back(station: Station, daemon: Daemon, bright: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        build_package(station.zips, name="screws", version=version)
    limits = {"escapes": {"max": "5%"}}
    station.desire("line", "screws", "1.0.0", ["A01"], health=limits)
    daemon.start()
    daemon.until_active("A01", "1.0.0")
    first = call(station)
    station.desire("line", "screws", "1.1.0", ["A01"], health=limits)
    daemon.until_active("A01", "1.1.0")

    answers = [call(station) for _ in range(12)]
    assert {(each.version, each.data["result_status"]) for each in answers} == {("1.1.0", "OK")}
    told = station.json("feedback", answers[0].request_id, "NG", "--source", "final inspection")
    assert told == {
        "request_id": answers[0].request_id, "pid": "A01", "name": "screws", "version": "1.1.0",
        "verdict": "OK", "truth": "NG", "counted": "escape",
    }  # fmt: skip
    assert station.json("feedback", answers[0].request_id, "NG")["counted"] == "escape"  # told again, counted once
    refused = station.pvctl("feedback", answers[0].request_id, "OK", expect=1)
    assert "final inspection told already that the part is NG" in refused.stderr
    assert "no verdict of a detection" in station.pvctl("feedback", "0123abcd", "NG", expect=1).stderr
    assert station.json("feedback", first.request_id, "OK")["counted"] == "right"  # of the version before

    daemon.stop()
    assert "no daemon runs" in station.pvctl("feedback", answers[1].request_id, "NG", expect=1).stderr
    daemon.start()
    (row,) = daemon.until(lambda status: status["pids"][0]["health"]["reviewed"] == 1, "the count")["pids"]
    assert (row["health"]["escapes"], row["health"]["overkill"]) == (1, 0)
    for each in answers[1:]:
        station.pvctl("feedback", each.request_id, "NG")
    daemon.until_active("A01", "1.0.0")

    status = daemon.until(lambda status: status["deployments"][0]["quarantined"], "the quarantine")
    assert status["deployments"][0]["quarantined"] == ["screws@1.1.0"]
    assert "escapes 100 %" in status["deployments"][0]["message"]
    assert "verdicts with feedback on A01, limit 5%" in status["deployments"][0]["message"]
