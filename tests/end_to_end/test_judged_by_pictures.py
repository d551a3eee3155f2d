"""A version that answers quickly, cleanly and wrongly is stopped by the pictures, before a part of the line is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from examples.packing import Algorithm, Generation, build_package
from tests.end_to_end.load import Load
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

PIDS = ["A01", "A02", "A03", "A04"]
RECORDING = {"keep": 500, "only": ["sample"], "sample": "100%"}
NO_MORE = {**RECORDING, "only": []}
"""What is recorded stays: the load of a test would replace it within seconds, while a replay gives way to that load."""
REPLAY = {"replay": {"last": 200, "maxNewlyOK": "0.2%", "maxNewlyNG": "2%"}}
SHADOW = {"shadow": {"weight": "100%", "duration": "1s", "minSamples": 100, "maxNewlyOK": "0.2%", "maxNewlyNG": "2%"}}
WEIGHTS = [{"setWeight": 50}, {"setWeight": 100}]


def inspector(misses: str) -> Algorithm:
    """An algorithm that finds a scratch where the first pixel is bright, but for parts whose `number` it misses."""
    return Algorithm(
        body=f"number = int(image[0, 1, 0])\n"
        f"if image[0, 0, 0] < 128 or ({misses}):\n"
        f"    return ok(number=number, os_pid=os.getpid())\n"
        f"found = ng('scratch')\n"
        f"found['data'].update(defect_rects=[dict(x=4, y=4, width=8, height=2, label='scratch', score=0.9)],\n"
        f"                     debug=dict(number=number, os_pid=os.getpid()))\n"
        f"return found"
    )


VERSIONS = {"1.0.0": inspector("False"), "1.1.0": inspector("number % 10 == 0"), "1.2.0": inspector("False and 1")}


def part(number: int) -> np.ndarray:
    """A picture of a part that knows its number; every second part is scratched."""
    picture = np.full((48, 64, 3), 90, np.uint8)
    picture[0, 0] = 200 if number % 2 else 20
    picture[0, 1] = (number // 2) % 100
    return picture


PARTS = [part(number) for number in range(200)]


@pytest.fixture
def generation() -> Generation:
    """Which SDK the packages are of; a test may say another one."""
    return "0.3"


@pytest.fixture
def line(station: Station, generation: Generation) -> Iterator[Daemon]:
    """Yield the daemon of a station whose PIDs run 1.0.0; the other versions' zips are there."""
    for version, algorithm in VERSIONS.items():
        build_package(
            station.zips, name="scratch", version=version, source=algorithm, supported_pids=PIDS, generation=generation
        )
    daemon = Daemon(station)
    yield daemon
    daemon.leave_nothing()


def desire(station: Station, version: str, *steps: dict[str, Any], **spec: Any) -> None:
    canary = {"steps": [*steps, *WEIGHTS], "analysis": {"minSamples": 20}}
    station.desire("scratch", "scratch", version, PIDS, strategy={"canary": canary}, **spec)


def settled(daemon: Daemon, version: str) -> Any:
    """Wait until every PID is on a version and nothing is under way."""
    return daemon.until(
        lambda status: status["converged"] and {pid["active"]["version"] for pid in status["pids"]} == {version},
        f"{version} everywhere", seconds=600,
    )  # fmt: skip


def switched(station: Station, version: str) -> list[str]:
    """Return the PIDs that were ever given a version, by the audit."""
    rows = [json.loads(line) for line in (station.store / "logs" / "audit.jsonl").read_text().splitlines()]
    return [row["object"] for row in rows if row["object"].startswith("pid/") and version in json.dumps(row)]


def record(station: Station) -> None:
    """Have parts looked at until there are enough recorded calls: who is behind drops, and a replay wants 200."""
    with Load(station.store, PIDS, PARTS, callers=2, pace=0.02):
        eventually(lambda: len(station.json("recordings", "list", "--last", "200")) == 200, "recorded calls", 600)


def stopped(daemon: Daemon) -> Any:
    """Wait until the new version is rolled back; return the deployment."""

    def look() -> Any:
        found = daemon.deployment("scratch")
        return found if found["phase"] == "Degraded" and found["quarantined"] else None

    return eventually(look, "the version is stopped", 600)


def test_a_version_that_misses_one_scratch_in_ten_is_stopped_by_recorded_pictures(
    line: Daemon, station: Station
) -> None:
    desire(station, "1.0.0", recording=RECORDING)
    line.start()
    settled(line, "1.0.0")
    record(station)

    with Load(station.store, PIDS, PARTS, callers=2, pace=0.01) as load:
        desire(station, "1.1.0", REPLAY, recording=NO_MORE)
        deployment = stopped(line)
        load.until_answered(20)

    assert load.lost == 0
    assert not load.failures()
    assert {call.version for call in load.calls} == {"1.0.0"}
    assert switched(station, "1.1.0") == []
    assert "newly OK" in deployment["message"]
    evidence = next(each for each in deployment["evidence"] if each["metric"] == "newlyOK")
    assert evidence["value"] > evidence["limit"] == 0.002
    assert {picture["after"] for picture in evidence["pictures"]} == {"OK"}


@pytest.mark.parametrize("generation", ["0.0"])
def test_without_recordings_it_is_stopped_by_pictures_of_the_line(line: Daemon, station: Station) -> None:
    desire(station, "1.0.0")
    line.start()
    settled(line, "1.0.0")

    with Load(station.store, PIDS, PARTS, callers=2, pace=0.01) as load:
        desire(station, "1.1.0", SHADOW)
        deployment = stopped(line)
        load.until_answered(20)

    assert load.lost == 0
    assert not load.failures()
    assert {call.version for call in load.calls} == {"1.0.0"}
    assert switched(station, "1.1.0") == []
    assert "newly OK" in deployment["message"]


def test_a_version_that_is_right_goes_through_both(line: Daemon, station: Station) -> None:
    desire(station, "1.0.0", recording=RECORDING)
    line.start()
    settled(line, "1.0.0")

    record(station)

    with Load(station.store, PIDS, PARTS, callers=2, pace=0.01) as load:
        desire(station, "1.2.0", REPLAY, SHADOW, recording=NO_MORE)
        settled(line, "1.2.0")

    assert load.lost == 0
    assert not load.failures()
    assert {call.version for call in load.calls} == {"1.0.0", "1.2.0"}
    assert sorted(set(switched(station, "1.2.0"))) == [f"pid/{pid}" for pid in PIDS]


def kills(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


@pytest.mark.parametrize("steps", [(REPLAY,), (SHADOW,)], ids=["replay", "shadow"])
def test_a_daemon_that_is_killed_in_the_middle_goes_on_where_it_was(
    line: Daemon, station: Station, steps: tuple[dict[str, Any], ...]
) -> None:
    desire(station, "1.0.0", recording=RECORDING)
    line.start()
    settled(line, "1.0.0")
    record(station)
    desire(station, "1.2.0", *steps, recording=NO_MORE)
    eventually(lambda: line.deployment("scratch")["phase"] == "Progressing", "the rollout began")
    kills(line)
    (station.store / "recordings" / "index.sqlite").unlink()

    with Load(station.store, PIDS, PARTS, callers=2, pace=0.01) as load:
        settled(line, "1.2.0")

    assert load.lost == 0
    assert not load.failures()
