"""From YAML to a served detection with `pvctl`, on packages that the real packager made."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from examples import packing
from examples.packing import Algorithm, build_package
from tests.end_to_end.station import Station
from tests.waiting import HANGS

pytestmark = pytest.mark.real

PIDS = ("A01", "A02", "B01")


def deliver(station: Station, name: str, version: str = "1.0.0", **options: object) -> Path:
    options.setdefault("supported_pids", PIDS)
    return build_package(station.zips, name=name, version=version, **options)  # type: ignore[arg-type]


def test_both_sdk_generations_serve_detections(station: Station, bright: Path, dark: Path) -> None:
    deliver(station, "new", source=packing.BRIGHTNESS)
    deliver(station, "old", generation="0.0", source=packing.BRIGHTNESS)
    station.desire("new", "new", "1.0.0", ["A01"])
    station.desire("old", "old", "1.0.0", ["B01"])
    station.reconcile()

    for pid, name in (("A01", "new"), ("B01", "old")):
        good, bad = station.execute(pid, bright), station.execute(pid, dark)
        assert (good["name"], good["version"], good["status"]) == (name, "1.0.0", "OK")
        assert (good["data"]["result_status"], bad["data"]["result_status"]) == ("OK", "NG")
    assert station.execute("B01", dark, "--param", "dark_below=10")["data"]["result_status"] == "OK"
    assert {process["sdk_version"] for process in station.json("status")["processes"]} == {"0.3.2", "0.0.7"}


def test_the_second_reconcile_writes_nothing_and_plan_tells_before_and_after(station: Station) -> None:
    deliver(station, "new")
    station.desire("new", "new", "1.0.0", ["A01", "A02"])

    station.pvctl("plan", expect=2)
    station.reconcile()
    before = station.times()
    station.pvctl("plan", expect=0)
    station.reconcile()

    assert station.times() == before


def test_of_several_zips_of_one_version_each_is_tried_until_one_installs(station: Station) -> None:
    """Somebody packed again under another file name, and again."""
    for name, source in (("a", packing.IMPORT_RAISES), ("b", packing.SETUP_RAISES), ("c", packing.OK)):
        deliver(station, "new", source=source).rename(station.zips / f"{name}.zip")
    station.desire("line", "new", "1.0.0", ["A01"])
    station.reconcile()
    station.reconcile()

    assert station.mapped("A01") == "1.0.0"
    rows = json.loads((station.store / "registry.json").read_text())["packages"]
    assert {row["zip_name"]: row["state"] for row in rows}["c.zip"] == "installed"
    shown = station.json("package", "show", "new", "1.0.0")
    assert (shown["installed"], "T" in shown["installed_at"], "c.zip" in shown["log"][0]) == (True, True, True)
    assert "installed after " in shown["log"][-1]
    assert "is not installed here" in station.pvctl("package", "show", "new", "2.0.0", expect=4).stderr


def test_a_new_version_moves_exactly_its_deployments_pids(station: Station) -> None:
    deliver(station, "new")
    deliver(station, "new", "1.1.0")
    station.desire("first", "new", "1.0.0", ["A01"])
    station.desire("second", "new", "1.0.0", ["A02"])
    station.reconcile()
    untouched = station.active("A02")

    station.desire("first", "new", "1.1.0", ["A01"])
    plan = station.root / "plan.json"
    shown = station.pvctl("plan", "--out", plan, expect=2)
    assert shown.stdout.endswith("\nPlan: 1 to install, 1 to start, 1 to switch, 0 to remove\n")
    station.desire("second", "new", "1.1.0", ["A02"])
    refused = station.pvctl("reconcile", "--once", "--plan", plan, expect=1)
    assert (
        "deployment second is not as it was planned; it would also switch A02 new@1.0.0 → new@1.1.0" in refused.stderr
    )
    assert {station.mapped("A01"), station.mapped("A02")} == {"1.0.0"}
    station.desire("second", "new", "1.0.0", ["A02"])
    station.pvctl("reconcile", "--once", "--plan", plan)
    station.pvctl("reconcile", "--once", "--plan", plan)  # what is done already is nothing else

    assert station.active("A01").keys() == {"name", "version", "activated_at"}
    assert station.active("A01")["version"] == "1.1.0"
    assert station.active("A02") == untouched
    assert [entry["version"] for entry in station.json("history", "A01")] == ["1.0.0", "1.1.0"]
    assert station.json("history", "first") == station.json("history", "A01")
    assert station.pvctl("logs", "A01").stdout == station.pvctl("logs", "first@1.1.0").stdout
    assert "no process of Z99" in station.pvctl("logs", "Z99", expect=1).stderr
    assert [each["name"] for each in station.json("status", "A02")["deployments"]] == ["second"]
    assert station.json("rollout", "status", "first", "--wait")["phase"] == "Healthy"


@pytest.mark.parametrize(
    ("generation", "source", "code", "attempts", "said"),
    [
        ("0.3", packing.IMPORT_RAISES, 2005, 1, "model file model.onnx is damaged"),
        ("0.0", packing.SETUP_RAISES, 2005, 1, "no such camera: cam-7"),
        ("0.0", packing.SHADOWS_STDOUT, 2005, 1, "not a frame"),
        ("0.3", packing.NEVER_READY, None, 2, "answered no ping"),
    ],
    ids=["import raises", "setup raises", "frames corrupted", "no pong"],
)
def test_a_bad_version_never_becomes_active_and_says_why(
    station: Station, bright: Path, generation: str, source: Algorithm, code: int | None, attempts: int, said: str
) -> None:
    deliver(station, "good")
    deliver(station, "bad", generation=generation, source=source)
    station.desire("good", "good", "1.0.0", ["A01"])
    station.desire("bad", "bad", "1.0.0", ["B01"], timeouts={"start": "3s"})

    done = station.pvctl("-o", "json", "reconcile", "--once", expect=5)

    status = json.loads(done.stdout)
    bad = next(each for each in status["deployments"] if each["name"] == "bad")
    assert bad["phase"] == "Degraded"
    failures = [line for line in done.stderr.splitlines() if "bad@1.0.0" in line and ": failed: " in line]
    assert len(failures) == attempts, "each is told once"
    assert said in bad["message"]
    assert not (station.store / "active" / "B01.json").exists()
    assert station.execute("A01", bright)["status"] == "OK"
    if code is not None:
        assert not (station.store / "algorithms" / "deployed" / "bad").exists()
        assert [each["error_code"] for each in status["packages"] if each["name"] == "bad"] == [code]


def test_a_proof_that_takes_too_long_is_ended_and_says_what_gives_it_more(station: Station) -> None:
    deliver(station, "bad", source=Algorithm(top="time.sleep(613)"))
    station.desire("bad", "bad", "1.0.0", ["B01"])
    station.order(limits={"proofTimeout": "2s"}, defaults={"timeouts": {"start": "2s"}})

    [bad] = station.reconcile(expect=5)["deployments"]

    assert re.search(r"the entry point bad\.main:\w+ did not finish .+ within 2 s", bad["message"])
    assert "raise timeouts.start of the deployment, or spec.limits.proofTimeout of the StationPolicy" in bad["message"]


def test_a_version_that_merely_prints_works(station: Station, bright: Path) -> None:
    deliver(station, "chatty", source=packing.PRINTS)
    station.desire("chatty", "chatty", "1.0.0", ["A01"])
    station.reconcile()

    assert station.execute("A01", bright)["status"] == "OK"
    station.pvctl("down")  # Python writes what was printed when the process ends
    assert "hello from import" in station.pvctl("logs", "chatty").stdout


def test_killed_during_an_install_the_next_run_converges_without_leftovers(station: Station, bright: Path) -> None:
    deliver(station, "new")
    station.desire("new", "new", "1.0.0", ["A01"])
    staging = station.store / "algorithms" / ".staging"
    with subprocess.Popen(station.command("reconcile", "--once"), stderr=subprocess.DEVNULL) as command:
        while command.poll() is None and not any(staging.glob("*/*")):
            time.sleep(0.002)
        command.kill()
    assert any(staging.iterdir()), "the command was not killed in the middle of an install"
    assert not any((station.store / "algorithms" / "deployed").iterdir())

    station.reconcile()

    assert list(staging.iterdir()) == []
    assert station.execute("A01", bright)["status"] == "OK"


def test_a_killed_process_is_replaced_and_a_missing_controller_is_no_obstacle(station: Station, bright: Path) -> None:
    deliver(station, "new", source=packing.ECHO)
    station.desire("new", "new", "1.0.0", ["A01"])
    [process] = station.reconcile()["processes"]

    first = station.execute("A01", bright)["data"]["debug"]["os_pid"]
    assert first == process["os_pid"]
    os.kill(first, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)] if psutil.pid_exists(first) else [], timeout=HANGS)
    assert station.execute("A01", bright, expect=1)["error"]["code"] == 1004
    assert station.json("status")["pids"][0]["ready"] is False

    station.reconcile()
    second = station.execute("A01", bright)["data"]["debug"]["os_pid"]
    assert second != first

    station.pvctl("down")
    assert station.wait_until_gone() == []
    assert station.active("A01")["version"] == "1.0.0"


def test_edited_timeouts_hold_for_a_process_that_runs_already(station: Station, bright: Path) -> None:
    deliver(station, "slow", source=packing.SLEEPS)
    station.desire("slow", "slow", "1.0.0", ["A01"])
    station.reconcile()
    before = station.execute("A01", bright)["data"]["debug"]["os_pid"]
    station.desire("slow", "slow", "1.0.0", ["A01"], timeouts={"call": "200ms"})
    station.reconcile()

    assert station.execute("A01", bright)["data"]["debug"]["os_pid"] == before
    too_slow = station.pvctl("exec", "A01", "--image", bright, "--guide-info", '{"seconds": 600}', expect=1)
    assert "did not answer within 0.2 s" in too_slow.stderr


def test_drift_is_repaired(station: Station, bright: Path) -> None:
    deliver(station, "new")
    station.desire("new", "new", "1.0.0", ["A01", "A02"])
    station.reconcile()

    (station.store / "active" / "A01.json").write_text("{")
    shutil.rmtree(station.store / "algorithms" / "deployed" / "new")
    (station.store / "registry.json").unlink()
    station.reconcile()

    assert station.active("A01")["version"] == "1.0.0"
    assert station.execute("A01", bright)["status"] == "OK"
    assert station.json("plan")["actions"] == []


def test_the_audit_verifies_and_names_a_changed_record(station: Station) -> None:
    deliver(station, "new")
    station.desire("new", "new", "1.0.0", ["A01"])
    station.reconcile()
    log = station.store / "logs" / "audit.jsonl"

    assert station.json("audit", "--verify")["valid"] is True
    content = log.read_bytes()
    lines = content.splitlines(keepends=True)
    changed = lines[2].replace(b'"actor":"', b'"actor":"x', 1)
    assert changed != lines[2]
    log.write_bytes(b"".join([*lines[:2], changed[:-2] + changed[-1:], *lines[3:]]))

    assert station.json("audit", "--verify", expect=1)["broken_at"] == 3


def test_an_invalid_tree_changes_nothing_and_without_a_store_makes_none(tmp_path: Path) -> None:
    station = Station(tmp_path / "fresh")
    shutil.rmtree(station.store)
    station.desire("new", "new", "1.0.0", ["A01"], replicass=2)

    done = station.pvctl("reconcile", "--once", expect=4)

    assert "new.yaml" in done.stderr
    assert "did you mean replicas" in done.stderr
    assert not station.store.exists()


def test_install_and_uninstall_by_hand(station: Station, tmp_path: Path) -> None:
    zip_path = build_package(tmp_path / "delivered", name="new", supported_pids=PIDS)

    station.pvctl("install", zip_path)
    station.desire("new", "new", "1.0.0", ["A01"])
    station.reconcile()
    refused = station.pvctl("uninstall", "new", "1.0.0", expect=1)
    assert "2007" in refused.stderr
    assert "A01" in refused.stderr

    (station.desired / "new.yaml").unlink()
    station.pvctl("reconcile", "--once", expect=4)
    station.pvctl("reconcile", "--once", "--allow-empty")
    station.pvctl("uninstall", "new", "1.0.0")
    assert not (station.store / "algorithms" / "deployed" / "new" / "1.0.0").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["reconcile"], 64, "--once"),
        (["nonsense"], 64, "no command"),
        (["exec", "A01"], 64, "--image"),
        (["exec", "Z99", "--image", "{bright}"], 1, "1012"),
        (["exec", "../x", "--image", "{bright}"], 1, "1001"),
        (["history", "Z99"], 1, "1001"),
        (["package", "validate", "nowhere.zip"], 4, "nowhere.zip"),
        (["install", "nowhere.zip"], 4, "nowhere.zip"),
        (["uninstall", "no", "1"], 1, "2007"),
        (["validate", "nowhere"], 4, "nowhere"),
        (["logs", "nothing"], 1, "no process"),
        (["status"], 1, "reconcile --once"),
        (["audit", "--verify", "--head", "x"], 1, "SEQ:HASH"),
    ],
)
def test_a_users_mistake_gets_a_clear_line_and_the_right_exit_code(
    station: Station, bright: Path, arguments: list[str], status: int, said: str
) -> None:
    done = station.pvctl(*(word.format(bright=bright) for word in arguments), expect=status)

    assert said in done.stderr + done.stdout
