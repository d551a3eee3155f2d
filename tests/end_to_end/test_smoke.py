"""The one call before a version's first switch, on real packages: what it refuses, and what it only says."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examples import packing
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real

HANGS = Algorithm(body="time.sleep(617)")
DARK = Algorithm(body="if image.mean() > 250: raise ValueError('overexposed')\nreturn ng('a scratch')")
"""Raises on a white picture, and finds a scratch on every other."""


def picture(level: int) -> bytes:
    content = BytesIO()
    Image.fromarray(np.full((48, 64, 3), level, np.uint8)).save(content, "PNG")
    return content.getvalue()


def deliver(station: Station, name: str, pid: str, source: Algorithm, generation: Any = "0.3", **spec: Any) -> None:
    files = {"assets/golden.png": picture(40), "assets/white.png": picture(255)}
    build_package(
        station.zips, name=name, source=source, generation=generation, supported_pids=[pid], files=files
    )  # fmt: skip
    station.desire(name, name, "1.0.0", [pid], **spec)


def test_a_first_switch_waits_for_a_call(station: Station) -> None:
    deliver(station, "raises", "A01", packing.RAISES)
    deliver(station, "elder", "A02", packing.RAISES, "0.0")
    deliver(station, "answers", "A03", DARK, preheat={"image": "assets/golden.png"}, input={"guide": "required"})
    deliver(station, "overexposed", "B01", DARK, preheat={"image": "assets/white.png"})
    deliver(station, "dies", "B02", packing.CRASHES)
    deliver(station, "hangs", "B03", HANGS, timeouts={"call": "1s"})
    deliver(station, "trusted", "B04", packing.CRASHES, preheat={"smoke": False})

    status = station.reconcile(expect=5)

    found = {each["name"]: each for each in status["deployments"]}
    assert {name: each["phase"] for name, each in found.items()} == {
        **dict.fromkeys(("raises", "elder", "answers", "trusted"), "Healthy"),
        **dict.fromkeys(("overexposed", "dies", "hangs"), "Degraded"),
    }
    for name in ("raises", "elder"):
        assert "unproven" in found[name]["message"]
        assert "its smoke call on a generated picture failed" in found[name]["message"]
        assert "no focus" in found[name]["message"]
    assert not any(each["proven"] for each in found.values())
    refused = [name for name in found if not (station.store / "active" / f"{PID_OF[name]}.json").exists()]
    assert sorted(refused) == ["dies", "hangs", "overexposed"]
    assert "assets/white.png failed: " in found["overexposed"]["message"]
    assert "overexposed" in found["overexposed"]["message"]
    assert "exit status 3" in found["dies"]["message"]
    assert "did not answer within 1 s" in found["hangs"]["message"]
    assert "spec.preheat.image" in found["hangs"]["message"]


PID_OF = {
    "raises": "A01", "elder": "A02", "answers": "A03", "overexposed": "B01", "dies": "B02", "hangs": "B03",
    "trusted": "B04",
}  # fmt: skip


def test_a_version_that_never_answered_is_no_way_back_and_pushes_out_none_that_did(
    station: Station, bright: Path
) -> None:
    """A version that raises on every call, rolled out where nobody calls: nothing shows what it is."""

    def roll_out(version: str, source: Algorithm) -> Any:
        build_package(station.zips, name="line", version=version, source=source, supported_pids=["A01"])
        station.desire("line", "line", version, ["A01"], retention={"versions": 1}, rollbackWindow="0s")
        return station.reconcile()["deployments"][0]

    assert roll_out("1.0.0", packing.OK)["proven"] is False
    daemon = Daemon(station)
    daemon.start()
    station.execute("A01", bright)
    daemon.until(lambda status: status["deployments"][0]["proven"], "a call that counts")
    daemon.stop()

    for version in ("1.1.0", "1.2.0"):
        shown = roll_out(version, packing.RAISES)
        assert (shown["phase"], shown["stable_version"], shown["proven"]) == ("Healthy", version, False)
    assert (station.store / "algorithms" / "deployed" / "line" / "1.0.0").exists(), "the only one that ever worked"
    refused = station.pvctl("uninstall", "line", "1.0.0", expect=1).stderr
    assert "it is the way back of PID A01" in refused

    assert "A01 → line@1.0.0" in station.pvctl("rollback", "line", "--reason", "it raises").stdout
    assert station.reconcile()["deployments"][0]["proven"] is True
    assert station.mapped("A01") == "1.0.0"
