"""`pvctl install` and `uninstall` beside a running daemon, on real packages: through it, and in nobody's way."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from controller.client import Client
from controller.errors import Code, PackageError
from controller.station.commands.packages import Install
from examples.packing import BRIGHTNESS, OK, SETUP_RAISES, Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

pytestmark = pytest.mark.real

IMAGE = np.full((4, 4, 3), 200, np.uint8)


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """A daemon that serves `cell` 1.0.0 on A01; the station ends the processes."""
    build_package(station.zips, name="cell", source=OK)
    station.desire("cell", "cell", "1.0.0", ["A01"])
    daemon = Daemon(station)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    yield daemon
    daemon.leave_nothing()


def test_a_package_is_installed_and_uninstalled_through_the_daemon(daemon: Daemon) -> None:
    station = daemon.station
    delivered = build_package(station.root / "deliveries", name="other", source=BRIGHTNESS)

    done = station.pvctl("install", delivered)
    assert done.stdout == "other@1.0.0 is installed\n"
    assert "other" in done.stderr, "the progress is told"
    assert (station.zips / delivered.name).read_bytes() == delivered.read_bytes()
    status = daemon.until(
        lambda now: any(each["name"] == "other" and each["state"] == "installed" for each in now["packages"]),
        "the package in the status",
    )
    assert status["converged"]

    refused = station.json("uninstall", "cell", "1.0.0", expect=1)
    assert refused["error"]["code"] == 2007
    assert "it answers PID A01" in refused["error"]["message"]
    station.pvctl("uninstall", "other", "1.0.0")
    assert not (station.store / "algorithms" / "deployed" / "other").exists()
    assert station.json("uninstall", "other", "1.0.0", expect=1)["error"]["code"] == 2007

    acts = [
        (each["action"], each["outcome"]) for each in station.json("audit", "-n", "100") if "other" in each["object"]
    ]
    assert acts == [(act, outcome) for act in ("install", "uninstall") for outcome in ("started", "succeeded")]
    assert station.json("audit", "--verify")["valid"]


@pytest.mark.parametrize("name", ["screw.bin", "screw.ZIP", ".screw.zip", f"{'s' * 200}.zip", "s\nrew.zip", "zip"])
def test_a_file_name_that_the_store_cannot_keep_is_refused_before_anything_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError) as refused:
        Install(tmp_path / name)
    assert refused.value.code == Code.invalid_zip


def test_the_daemon_reports_every_check_of_a_zip_that_it_is_given(daemon: Daemon) -> None:
    station = daemon.station
    bad = build_package(station.root / "deliveries", name="bad", source=SETUP_RAISES)
    command = ["curl", "-sS", "--unix-socket", "run/runner.sock", "-F", f"file=@{bad}"]
    sent = subprocess.run(
        [*command, "http://station/algorithms/validate?prove=true"], cwd=station.store, capture_output=True, check=True
    )
    report = json.loads(sent.stdout)
    assert (report["valid"], report["name"], report["error"]["code"]) == (False, "bad", 2005)
    states = {each["name"]: each["state"] for each in report["checks"]}
    assert states.pop("entry_point") == "failed"
    assert set(states.values()) == {"passed"}

    sent = subprocess.run(
        [*command[:-2], "--json", '{"name": "cell", "version": "1.0.0"}', "http://station/algorithms/validate"],
        cwd=station.store, capture_output=True, check=True,
    )  # fmt: skip
    kept = json.loads(sent.stdout)
    assert (kept["zip"], kept["valid"], kept["checks"][-1]["because"]) == (
        "cell-1.0.0.zip",
        True,
        "it was not asked for",
    )
    assert eventually(lambda: not any((station.store / "algorithms" / ".staging").iterdir()), "an empty staging folder")
    assert [path.name for path in station.zips.iterdir()] == ["cell-1.0.0.zip"]


def test_a_zip_that_is_refused_leaves_nothing_of_itself(daemon: Daemon) -> None:
    station = daemon.station
    bad = build_package(station.root / "deliveries", name="bad", source=SETUP_RAISES)
    torn = station.root / "deliveries" / "torn.zip"
    torn.write_bytes(bad.read_bytes()[:5000])

    assert station.json("install", bad, expect=4)["error"]["code"] == 2005
    assert station.json("install", torn, expect=4)["error"]["code"] == 2001
    named = station.root / "deliveries" / "bad.bin"
    bad.rename(named)
    refused = station.json("install", named, expect=4)
    assert (refused["error"]["code"], "must end in .zip" in refused["error"]["message"]) == (2001, True)

    assert [path.name for path in station.zips.iterdir()] == ["cell-1.0.0.zip"]
    assert eventually(lambda: not any((station.store / "algorithms" / ".staging").iterdir()), "an empty staging folder")
    assert daemon.status()["converged"]
    daemon.stop()
    assert station.json("install", named, expect=4) == refused, "without a daemon it is the same refusal"


def test_a_long_installation_holds_up_no_pass_and_no_call(daemon: Daemon) -> None:
    station = daemon.station
    build_package(station.zips, name="cell", version="1.1.0", source=OK)
    gate = station.root / "gate"
    waits = Algorithm(setup=f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)")
    slow = build_package(station.root / "deliveries", name="slow", source=waits)

    async def beside() -> None:
        installing = asyncio.create_task(asyncio.to_thread(station.pvctl, "install", slow))
        await asyncio.to_thread(
            eventually, lambda: any((station.store / "algorithms" / ".staging").iterdir()), "the installation's begin"
        )
        station.desire("cell", "cell", "1.1.0", ["A01"])
        with Client(store=station.store) as client:
            switched = await asyncio.to_thread(
                eventually, lambda: client.execute("A01", IMAGE).version == "1.1.0", "the switch"
            )
        assert switched
        assert not installing.done(), "the switch did not wait for the installation"
        gate.touch()
        await installing

    asyncio.run(beside())
