"""Rollouts and operators judge a version by recorded pictures, on a real station: no PID moves for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from examples.packing.algorithms import Algorithm
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.replay.parts import LOOK, MISSES_ONE_IN_TEN, SEES, inspector, record
from tests.waiting import HANGS, eventually

pytestmark = pytest.mark.real
PIDS = ("A01", "A02")
REPLAY = {"last": 60, "maxNewlyOK": "0.2%", "maxNewlyNG": "2%"}
STEPS = {"canary": {"steps": [{"replay": REPLAY}], "analysis": {"minSamples": 20}}}
BAD, GOOD = "2.0.0", "2.1.0"
SLOW = Algorithm(body=f"{LOOK}\ntime.sleep(0.1)\nreturn bad if scratched else ok()")


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    daemon = Daemon(station)
    for version, algorithm in {"1.0.0": SEES, BAD: MISSES_ONE_IN_TEN, GOOD: SLOW}.items():
        inspector(station.zips, version, algorithm)
    station.desire("line", "inspector", "1.0.0", PIDS, strategy=STEPS)
    yield daemon
    daemon.stop()


def deployment(station: Station) -> dict[str, Any]:
    (row,) = station.json("status")["deployments"]
    return dict(row)


def shown(report: Path, version: str, least: int) -> list[bytes]:
    """Return the lines of a version's pictures, where there are so many already; else nothing."""
    head, *lines = report.read_bytes().splitlines()
    lines = [line for line in lines if b'"recording"' in line]
    return lines if f'"version":"{version}"'.encode() in head and len(lines) >= least else []


def workers(station: Station) -> list[psutil.Process]:
    """Return the workers of this station's replays; other tests have theirs at the same time."""
    found = []
    for each in station.processes():
        with suppress(psutil.NoSuchProcess):
            if "controller.replay" in each.cmdline():
                found.append(each)
    return found


def test_a_version_that_lets_one_scratched_part_in_ten_pass_is_stopped_before_any_pid_moves(
    station: Station, daemon: Daemon
) -> None:
    daemon.start()
    eventually(lambda: {station.mapped(pid) for pid in PIDS} == {"1.0.0"}, "the first version")
    record(station.store, range(1, 61))

    station.desire("line", "inspector", BAD, PIDS, strategy=STEPS)
    eventually(lambda: deployment(station)["quarantined"], "the quarantine")

    moved = [row for pid in PIDS for row in station.json("history", pid) if row["version"] == BAD]
    assert moved == [], "it has answered no PID, ever"
    assert "newly OK" in str(deployment(station)["message"]) or deployment(station)["phase"] == "Degraded"
    (report,) = (station.store / "replays").glob("*.jsonl")
    assert report.name == "line.jsonl"

    said = station.json("replay", "line", "--version", BAD, "--last", "60", expect=5)
    assert {(cell["before"], cell["after"]): cell["pictures"] for cell in said["matrix"]} == {
        ("OK", "OK"): 40, ("NG", "NG"): 18, ("NG", "OK"): 2,
    }  # fmt: skip
    operations = station.json("operations")
    assert [(each["kind"], each["subject"], each["state"]) for each in operations] == [("replay", "line", "succeeded")]

    station.desire("line", "inspector", GOOD, PIDS, strategy=STEPS)
    kept = eventually(lambda: shown(report, GOOD, 10), "pictures of the better version")
    daemon.kill()
    assert psutil.wait_procs(workers(station), HANGS)[1] == [], "they end with the daemon"
    assert {station.mapped(pid) for pid in PIDS} == {"1.0.0"}
    daemon.start()
    eventually(lambda: {station.mapped(pid) for pid in PIDS} == {GOOD}, "the better version")
    assert shown(report, GOOD, 60)[: len(kept)] == kept, "it went on where it was"
    eventually(lambda: workers(station) == [], "the end of the worker")


def test_a_pipeline_and_an_operator_need_no_daemon(station: Station, tmp_path: Path) -> None:
    for version, algorithm in {"1.0.0": SEES, BAD: MISSES_ONE_IN_TEN}.items():
        inspector(station.zips, version, algorithm)
    station.desire("line", "inspector", "1.0.0", PIDS)
    station.reconcile()
    record(station.store, range(1, 61))
    station.desire("line", "inspector", BAD, PIDS, strategy=STEPS)

    station.pvctl("reconcile", "--once", "--wait", expect=5)

    assert {station.mapped(pid) for pid in PIDS} == {"1.0.0"}
    assert deployment(station)["quarantined"]

    page = tmp_path / "page.html"
    said = station.json("replay", "line", "--last", "31", "--report", page, expect=5)
    assert (said["package"], said["wanted"], said["newly_ok"]["pictures"]) == ("inspector@2.0.0", 31, 2)
    assert page.read_text().count("<image ") == 2
    assert "there is no deployment 'lane'" in station.pvctl("replay", "lane", expect=1).stderr
    assert "inspector@9.9.9 is not installed" in station.pvctl("replay", "line", "--version", "9.9.9", expect=1).stderr
    unanswered = station.pvctl("replay", "line", "--version", "1.0.0", expect=1).stderr
    assert "nothing could be compared" in unanswered, "it has answered all of them itself"
