"""What a caller did is told from what the version did, on real packages in a daemon."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from controller.client import CallError, Client
from examples import packing
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real

PICKY = Algorithm(body="return ok(limit=int(params.get('most', 5)))")
"""Raises where a caller's number is none; the manifest does not declare it, so nobody checks it before."""
BAD, GOOD = {"most": "abc"}, {"most": 7}


def judged(calls: int, status: Any) -> bool:
    """Whether a status document was written after so many calls of the version that is tried, or after its end."""
    return bool(status["deployments"][0]["quarantined"]) or status["pids"][0]["health"]["samples"] == calls


def test_a_callers_bad_input_costs_no_version_and_a_broken_version_is_rolled_back_all_the_same(
    station: Station,
) -> None:
    for version, source in (("1.0.0", PICKY), ("1.1.0", PICKY), ("1.2.0", packing.RAISES)):
        build_package(
            station.zips, name="line", version=version, generation="0.0", source=source, supported_pids=["A01"]
        )  # fmt: skip
    station.desire("line", "line", "1.0.0", ["A01"])
    daemon = Daemon(station)
    daemon.start()
    try:
        daemon.until_active("A01", "1.0.0")
        station.desire("line", "line", "1.1.0", ["A01"])
        daemon.until_active("A01", "1.1.0")
        daemon.until(lambda status: status["deployments"][0]["rollback_to"] == "1.0.0", "the promotion")
        with Client(store=station.store) as client:
            for level in range(10):  # the same parameters with ever other pictures: a caller that is wrong itself
                with pytest.raises(CallError, match="abc"):
                    client.execute("A01", np.full((4, 4, 3), level * 20, np.uint8), params=BAD)
            status = daemon.until(lambda status: status["pids"][0]["health"]["excused"] == 10, "the counts")
            [line], health = status["deployments"], status["pids"][0]["health"]
            assert (line["phase"], line["quarantined"], line["proven"]) == ("Healthy", [], False)
            assert (health["samples"], health["error_rate"]) == (0, None)
            assert client.execute("A01", np.zeros((4, 4, 3), np.uint8), params=GOOD).status == "OK"
            daemon.until(lambda status: status["deployments"][0]["proven"], "a call that counts")

            station.desire("line", "line", "1.2.0", ["A01"])
            daemon.until_active("A01", "1.2.0")

            failures = 0
            while not daemon.status()["deployments"][0]["quarantined"]:
                with pytest.raises(CallError, match="no focus"):
                    client.execute("A01", np.zeros((4, 4, 3), np.uint8), params=GOOD)
                failures += 1
                daemon.until(partial(judged, failures), "the judgement of each call before the next")
            daemon.until_active("A01", "1.1.0")
            assert client.execute("A01", np.zeros((4, 4, 3), np.uint8), params=GOOD).version == "1.1.0"
        failed = daemon.until(lambda status: status["deployments"][0]["last_words"], "what it said")["deployments"]
        assert failed[0]["quarantined"] == ["line@1.2.0"]
        [rate] = [each for each in failed[0]["evidence"] if each["metric"] == "errorRate"]
        assert (rate["value"], rate["progress"]) == (1.0, 1.0)
        assert rate["samples"] == failures <= 5, "a handful of calls"
        assert "no focus" in "".join(failed[0]["last_words"])
    finally:
        daemon.leave_nothing()
