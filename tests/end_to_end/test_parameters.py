"""Parameters that the manifest declares, with a real 0.0.x package: what is wrong of them never reaches the version."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.client import Client
from controller.errors import CallError, Code
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real


def test_a_caller_s_bad_parameters_are_refused_and_not_held_against_the_version(station: Station, bright: Path) -> None:
    source = Algorithm(body="return ok(params=params, above=params['threshold'] > 0.4)")
    build_package(station.zips, name="legacy", generation="0.0", source=source)
    station.desire("line", "legacy", "1.0.0", ["A01"])
    daemon = Daemon(station)
    daemon.start()
    daemon.until_active("A01", "1.0.0")

    with Client(store=station.store) as client:
        assert client.execute("A01", bright).data["debug"] == {"params": {"threshold": 0.5}, "above": True}
        given = client.execute("A01", bright, params={"threshold": 0.1, "free": "text"})
        assert given.data["debug"] == {"params": {"threshold": 0.1, "free": "text"}, "above": False}
        for bad in ("abc", 2, None):
            with pytest.raises(CallError, match="threshold must be a number from 0 to 1, got ") as refused:
                client.execute("A01", bright, params={"threshold": bad})
            assert refused.value.code is Code.invalid_params
    said = station.pvctl("exec", "A01", "--image", bright, "--param", "threshold=abc", expect=1)
    assert "threshold must be a number from 0 to 1, got 'abc'" in said.stderr
    assert "package show" in said.stderr

    status = daemon.until(lambda status: status["pids"][0]["health"]["samples"] == 2, "the counts of two calls")
    assert status["pids"][0]["health"]["error_rate"] == 0
    assert status["deployments"][0]["quarantined"] == []
    shown = station.json("package", "show", station.zips / "legacy-1.0.0.zip")
    assert shown["steps"][0]["params"][0]["key"] == "threshold"
    assert daemon.stop() == 0
