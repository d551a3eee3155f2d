"""`pvctl status` tells the truth: of an edited tree, a daemon that is gone, a command that was just carried out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.station.offline_status import read_offline_status
from controller.store.layout import StoreLayout
from examples import packing
from examples.packing import build_package
from tests.end_to_end.pty_screen import last_screen, screens
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    build_package(station.zips, name="cell", version="1.0.0", source=packing.OK, supported_pids=["A01", "A02"])
    station.desire("cell", "cell", "1.0.0", ["A01", "A02"])
    daemon = Daemon(station)
    yield daemon
    daemon.leave_nothing()


def installed(status: Any) -> set[str]:
    return {f"{each['name']}@{each['version']}" for each in status["packages"] if each["state"] == "installed"}


def test_without_a_daemon_the_status_says_so_its_age_and_that_the_tree_differs(
    station: Station, daemon: Daemon
) -> None:
    station.reconcile()
    path = station.desired / "cell.yaml"
    text = path.read_text()

    status = station.json("status")
    assert status["converged"] is True
    assert (status["daemon"]["alive"], status["daemon"]["os_pid"]) == (False, None)
    assert status["daemon"]["source"] == str(station.desired)
    assert 0 <= status["daemon"]["age_s"] < 60

    path.write_text(f"# a comment\n{text}")
    status = station.json("status")
    assert (status["converged"], status["revision"]["tree_differs"], status["revision"]["valid"]) == (True, False, True)

    path.write_text(text.replace("A02", "A03"))
    status = station.json("status")
    assert (status["converged"], status["revision"]["tree_differs"]) == (False, True)
    assert any("reconcile --once" in each["reason"] for each in status["waiting"] if each["what"] == "the desired tree")

    path.write_text(text.replace("pids:", "pidz:"))
    status = station.json("status")
    assert (status["converged"], status["revision"]["valid"]) == (False, False)
    assert "cell.yaml:" in status["revision"]["errors"][0]

    path.write_text(text)
    assert station.json("status")["converged"] is True
    plain = screens(station.command("status"), 80, 24, lambda _: False)
    assert "\x1b[32mHealthy\x1b[0m" in plain, "on a terminal the phases have colours"
    assert "\x1b" not in station.pvctl("status").stdout
    live = last_screen(screens(station.command("status", "--watch"), 60, 8, lambda seen: seen.count("\x1b[J") > 1))
    assert len(live) == 8
    assert max(map(len, live)) <= 60
    assert live[-1].startswith("… not shown: ")
    assert "1 package" in live[-1]
    shutil.rmtree(station.desired)
    assert station.json("status")["revision"]["valid"] is False


def test_the_status_knows_a_daemon_that_lives_one_that_does_not_answer_and_one_that_is_gone(
    station: Station, daemon: Daemon
) -> None:
    daemon.start()
    status = daemon.until(lambda status: status["converged"], "convergence")
    assert status["daemon"] | {"age_s": 0} == {
        "alive": True, "os_pid": daemon.os_pid, "source": str(station.desired),
        "started_at": status["daemon"]["started_at"], "age_s": 0, "listen": None,
    }  # fmt: skip
    assert status["host"]["store_free_bytes"] > 0
    assert status["host"]["memory_store_free_bytes"] > 0

    unasked = read_offline_status(StoreLayout.at(station.store), [])
    assert (unasked["daemon"]["alive"], unasked["daemon"]["os_pid"]) == (True, daemon.os_pid)

    daemon.kill()
    assert station.json("status")["daemon"]["alive"] is False


def test_what_was_done_by_hand_stands_in_the_status_at_once(station: Station, daemon: Daemon, tmp_path: Path) -> None:
    station.reconcile()
    zip_path = build_package(tmp_path, name="cell", version="1.1.0", source=packing.OK, supported_pids=["A01", "A02"])

    station.pvctl("install", zip_path)
    assert installed(station.json("status")) == {"cell@1.0.0", "cell@1.1.0"}
    station.pvctl("uninstall", "cell", "1.1.0")
    status = station.json("status")
    assert installed(status) == {"cell@1.0.0"}
    assert status["converged"] is True

    station.desire("cell", "cell", "1.1.0", ["A01", "A02"])
    station.reconcile()
    station.pvctl("rollback", "A01", "--reason", "scrap")
    status = station.json("status")
    assert {each["pid"]: each["held"] for each in status["pids"]} == {"A01": True, "A02": False}
    assert status["converged"] is False
    station.pvctl("resume", "A01")
    assert station.json("status")["converged"] is True
