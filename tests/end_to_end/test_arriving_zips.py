"""A running daemon judges the zips that arrive, before anybody wants them, on real packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.packing import OK, SETUP_RAISES, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.packages.zips import rewrite
from tests.roomy import with_room

pytestmark = pytest.mark.real


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    daemon = Daemon(station)
    daemon.confined = with_room
    yield daemon
    daemon.leave_nothing()


def states(status: Any) -> dict[str, str]:
    return {each["name"]: each["state"] for each in status["packages"]}


def packed_for_windows(source: Path, target: Path) -> Path:
    def rename(name: str) -> str:
        return "wheels/numpy-2.4.6-cp310-cp310-win_amd64.whl" if name.startswith("wheels/numpy") else name

    return rewrite(source, target, rename=rename)


def test_zips_are_judged_as_they_arrive_and_a_restart_knows_it_still(daemon: Daemon, tmp_path: Path) -> None:
    station = daemon.station
    build_package(station.zips, name="cell", source=OK)
    station.desire("cell", "cell", "1.0.0", ["A01"])
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")

    build_package(station.zips, name="spare", source=OK)
    build_package(station.zips, name="no-camera", source=SETUP_RAISES)
    packed_for_windows(build_package(tmp_path, name="windows", source=OK), station.zips / "windows.zip")
    told = {"cell": "installed", "spare": "validated", "no-camera": "invalid", "windows": "invalid"}
    status = daemon.until(lambda status: states(status) == told, "a verdict on each", 120)
    reasons = {each["name"]: (each["error_code"], each["reason"]) for each in status["packages"]}
    assert reasons["windows"][0] == 2003
    assert "it is packed for Windows" in reasons["windows"][1]
    assert reasons["no-camera"][0] == 2005
    assert "no such camera: cam-7" in reasons["no-camera"][1]
    assert status["converged"], "what nobody wants is nobody's trouble"

    checked = len([line for line in daemon.log() if "valid" in line["message"]])
    assert daemon.stop() == 0
    assert not list((station.store / "algorithms" / ".staging").iterdir())
    daemon.start()
    daemon.until(lambda status: states(status) == told, "the verdicts of before")
    assert len([line for line in daemon.log() if "valid" in line["message"]]) == checked
