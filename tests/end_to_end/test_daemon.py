"""`pvctl run` on real packages, through changes, kills and restarts: what operators and host applications see of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from controller.client import AsyncClient, Client
from controller.errors import CallError, Code
from examples import packing
from examples.packing import Algorithm, build_package
from tests.end_to_end.load import Load
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import PVCTL, Station
from tests.packages.zips import rewrite
from tests.waiting import HANGS, eventually

pytestmark = pytest.mark.real

GOOD = Algorithm(body="time.sleep(float(params.get('seconds', 0)))\nreturn ok(os_pid=os.getpid())")
PIDS = ("A01", "A02", "B01", "C01")
IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """Yield the daemon of the test's station, to be started by the test; the station ends the processes."""
    daemon = Daemon(station)
    yield daemon
    daemon.leave_nothing()


def deliver(station: Station, name: str, *versions: str, source: Algorithm = GOOD) -> None:
    for version in versions:
        build_package(station.zips, name=name, version=version, source=source, supported_pids=PIDS)


def desire(station: Station, name: str, version: str, pids: list[str], **spec: Any) -> Path:
    return station.desire(name, name, version, pids, **spec)


def started(daemon: Daemon) -> Daemon:
    """Start a daemon with two deployments of one package: `cell` on A01 and A02, its neighbour `side` on B01."""
    deliver(daemon.station, "cell", "1.0.0", "1.1.0")
    desire(daemon.station, "cell", "1.0.0", ["A01", "A02"])
    daemon.station.desire("side", "cell", "1.0.0", ["B01"])
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    return daemon


@pytest.fixture
def cell(daemon: Daemon) -> Daemon:
    """A daemon for one test alone."""
    return started(daemon)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for the tests that leave everything as it was."""
    station = Station(tmp_path_factory.mktemp("shared"))
    daemon = Daemon(station)
    yield started(daemon)
    station.pvctl("down")
    daemon.leave_nothing()
    assert station.wait_until_gone() == []


def test_a_detection_by_curl_client_and_command(shared: Daemon, bright: Path) -> None:
    assert shared.get("/healthz") == (200, {"alive": True})
    assert shared.get("/readyz") == (200, {"ready": True, "reason": ""})
    assert stat.S_IMODE((shared.station.store / "run" / "runner.sock").stat().st_mode) == 0o600

    async def ask() -> Any:
        async with AsyncClient(store=shared.station.store) as client:
            return await client.execute("A01", bright)

    with Client(store=shared.station.store) as client:
        answers = [client.execute("A01", IMAGE).to_document(), asyncio.run(ask()).to_document()]
        with pytest.raises(CallError) as refused:
            client.execute("Z99", IMAGE)
    answers.append(shared.station.execute("A01", bright))
    if shutil.which("curl"):
        answers.append(curl(shared.station, "A01", bright))

    assert refused.value.code == Code.no_active_version
    assert {(each["pid"], each["name"], each["version"], each["status"]) for each in answers} == {
        ("A01", "cell", "1.0.0", "OK")
    }
    assert len({each["request_id"] for each in answers}) == len(answers)
    assert {each["data"]["debug"]["os_pid"] for each in answers} == {shared.os_pids()["cell/1.0.0"]}


def curl(station: Station, pid: str, image: Path) -> Any:
    """Return the answer to the call of the README, word for word but for the folder."""
    done = subprocess.run(
        ["curl", "--silent", "--unix-socket", "runtime_store/run/runner.sock", "-F", f"image=@{image}",
         "-F", 'request={"step_index": 1}', f"http://station/v1/pids/{pid}/execute"],
        cwd=station.root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_an_edited_version_takes_over_under_load_without_losing_a_call(station: Station, cell: Daemon) -> None:
    with Load(station.store, ["A01", "A02", "B01"], [IMAGE], callers=6) as load:
        load.until_answered(30)
        desire(station, "cell", "1.1.0", ["A01", "A02"])
        cell.until_active("A01", "1.1.0")
        cell.until_active("A02", "1.1.0")
        load.until_answered(30)

    assert load.lost == 0
    assert load.failures() == {}
    for pid in ("A01", "A02"):
        versions = [call.version for call in sorted(load.answered([pid]), key=lambda call: call.began)]
        assert versions[0] == "1.0.0"
        assert versions[-1] == "1.1.0"
    assert {call.version for call in load.answered(["B01"])} == {"1.0.0"}
    switched = [line for line in cell.log() if line["pid"] == "A01" and "switched" in line["message"]]
    assert [line["package"] for line in switched] == ["cell@1.0.0", "cell@1.1.0"]
    assert switched[1]["revision"] == cell.status()["revision"]["id"]
    assert all({"time", "level", "message", "pid", "package", "revision"} <= line.keys() for line in cell.log())


def counted(station: Station) -> set[tuple[str, str]]:
    """Return the PIDs and versions of which the daemon keeps counts."""
    rows = json.loads((station.store / "rollouts" / ".tallies.json").read_bytes())
    return {(row["pid"], row["version"]) for row in rows}


def test_counts_of_versions_that_nobody_will_ask_for_again_are_forgotten(station: Station, cell: Daemon) -> None:
    deliver(station, "cell", "1.2.0", "1.3.0")
    with Client(store=station.store) as client:
        for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
            desire(station, "cell", version, ["A01", "A02"])
            cell.until_active("A01", version)
            cell.until_active("A02", version)
            cell.until(lambda status: status["converged"], "convergence")
            for pid in ("A01", "A02", "B01"):
                client.execute(pid, IMAGE)

    way_back_and_present = {(pid, version) for pid in ("A01", "A02") for version in ("1.2.0", "1.3.0")}
    eventually(lambda: counted(station) == {*way_back_and_present, ("B01", "1.0.0")}, "only what may be asked for")


def test_a_half_saved_tree_is_not_taken_until_it_is_complete(station: Station, cell: Daemon) -> None:
    path = station.desired / "cell.yaml"
    before, text = cell.status()["revision"]["id"], path.read_text().replace("version: 1.0.0", "version: 1.1.0")
    with path.open("w") as file:
        for start in range(0, len(text), len(text) // 8 + 1):
            file.write(text[start : start + len(text) // 8 + 1])
            file.flush()
            time.sleep(0.1)  # the fault itself: a slow writer
            revision = cell.status()["revision"]
            assert (revision["id"], revision["errors"]) == (before, [])
    cell.until_active("A02", "1.1.0")

    after = cell.status()["revision"]["id"]
    assert after != before
    assert {record["revision"] for record in station.json("audit", "-n", "10000")} == {before, after}


def test_an_invalid_tree_goes_on_serving_and_the_status_says_where_it_is_wrong(shared: Daemon) -> None:
    path = shared.station.desired / "cell.yaml"
    text = path.read_text()
    line = 1 + next(number for number, each in enumerate(text.splitlines()) if each.startswith("  pids:"))
    with Load(shared.station.store, ["A01", "B01"], [IMAGE], callers=2) as load:
        path.write_text(text.replace("pids:", "pidz:"))
        status = shared.until(lambda status: status["revision"]["errors"], "the refusal")
        load.until_answered(10)
    shown = shared.station.pvctl("-o", "wide", "status").stdout

    assert load.failures() == {}
    assert status["revision"]["valid"] is False
    assert f"cell.yaml:{line}" in shown
    assert "did you mean" in shown
    path.write_text(text)
    shared.until(lambda status: status["revision"]["valid"] and status["converged"], "the correction")


PYTHON_3_99 = """#!/bin/sh
echo "{'executable': '$0', 'implementation': 'cpython', 'platform': 'PLATFORM', 'version': '3.99.0',\\
 'numbers': (3, 99), 'free_threaded': False, 'debug': False}"
"""
"""Says of itself, when it is asked, that it is a CPython 3.99; it runs nothing, so no environment is made of it."""


def test_an_edited_policy_is_in_force_for_the_next_installation_without_a_restart(
    station: Station, cell: Daemon
) -> None:
    python = station.root / "python3.99"
    python.write_text(PYTHON_3_99.replace("PLATFORM", sysconfig.get_platform()))
    python.chmod(0o755)
    package = build_package(station.root, name="coming", supported_pids=["C01"])
    retagged = partial(re.sub, r"(wheels/numpy-[^-]+)-.*", r"\1-cp399-none-any.whl")
    rewrite(package, station.zips / package.name, rename=retagged)
    desire(station, "coming", "1.0.0", ["C01"])
    cell.until(lambda status: refused(status, "coming", Code.incompatible_python, "cp399"), "the refusal")

    station.order(pythons=[str(python)])

    cell.until(lambda status: refused(status, "coming", Code.install_failed, str(python)), "an attempt with it")


def refused(status: Any, name: str, code: Code, words: str) -> bool:
    """Whether a package is shown as one that cannot be installed, for this reason."""
    rows = [row for row in status["packages"] if row["name"] == name]
    return any(row["error_code"] == code and words in row["reason"] for row in rows)


def test_sighup_reads_a_tree_that_looks_unchanged(station: Station, cell: Daemon) -> None:
    path = station.desired / "cell.yaml"
    looks = path.stat()
    with path.open("r+") as file:
        text = file.read().replace("1.0.0", "1.1.0")
        file.seek(0)
        file.write(text)
    os.utime(path, ns=(looks.st_atime_ns, looks.st_mtime_ns))

    cell.signal(signal.SIGHUP)

    cell.until_active("A01", "1.1.0")


def test_sigterm_leaves_the_algorithms_to_the_next_daemon(station: Station, cell: Daemon, bright: Path) -> None:
    before = cell.os_pids()

    assert cell.stop() == 0
    assert station.execute("A01", bright)["data"]["debug"]["os_pid"] in before.values()
    cell.start()

    assert cell.os_pids() == before
    assert station.execute("A01", bright)["data"]["debug"]["os_pid"] == before["cell/1.0.0"]
    assert all(each["restarts"] == 0 for each in cell.status()["processes"])


def test_the_service_manager_hears_of_its_life(station: Station, daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"\0procvision-test-{os.getpid()}-{id(manager)}"
        manager.bind(name)
        manager.settimeout(HANGS)
        deliver(station, "cell", "1.0.0")
        desire(station, "cell", "1.0.0", ["A01"])
        told: list[str] = []

        def listen() -> None:  # all the time: the system keeps ten messages, and nobody waits for room
            while "STOPPING=1" not in told:
                told.append(manager.recv(4096).decode())

        with ThreadPoolExecutor() as threads:
            listening = threads.submit(listen)
            daemon.start(NOTIFY_SOCKET=name.replace("\0", "@"))
            daemon.until(lambda status: status["converged"], "convergence")
            revision = daemon.status()["revision"]["id"]
            eventually(lambda: "WATCHDOG=1" in told, "the watchdog's sign")
            assert daemon.stop() == 0
            listening.result()

    assert told[0] == "READY=1"
    assert f"STATUS=revision {revision}, converged" in told


def test_killed_under_load_the_next_daemon_goes_on_with_the_same_processes(station: Station, cell: Daemon) -> None:
    before = cell.os_pids()
    slow = {"guide_info": [{"seconds": 0.3}]}
    with (
        Load(station.store, ["A01", "A02"], [IMAGE], callers=4, **slow) as load,
        Load(station.store, ["B01"], [IMAGE], callers=2, retry_unknown=True, **slow) as stubborn,
    ):
        load.until_answered(4)
        killed = time.monotonic()
        cell.kill()
        cell.start()
        load.until_answered(4)
        stubborn.until_answered(2)

    assert cell.os_pids() == before
    assert load.lost == stubborn.lost == 0
    assert set(load.failures()) == {"UnknownOutcome 1000"}
    assert all(call.began < killed < call.ended for call in load.calls if call.error)
    assert len(load.answered(since=killed)) >= 4
    assert stubborn.failures() == {}
    assert list((station.store / "run" / "images").glob("client-*")) == []


def test_a_second_daemon_refuses_and_names_the_owner(shared: Daemon) -> None:
    refused = shared.station.pvctl("run", expect=1)

    assert str(shared.os_pid) in refused.stderr
    assert shared.get("/readyz")[0] == 200


def test_reconcile_once_asks_the_daemon_and_shows_its_progress(station: Station, cell: Daemon) -> None:
    desire(station, "cell", "1.1.0", ["A01", "A02"])

    done = station.pvctl("-o", "json", "reconcile", "--once")

    status = json.loads(done.stdout)
    assert status["converged"] is True
    assert "cell@1.1.0" in done.stderr
    assert station.mapped("A01") == "1.1.0"
    assert cell.status()["revision"]["id"] == status["revision"]["id"]


def test_a_tree_that_the_daemon_does_not_keep_is_refused_and_both_are_named(shared: Daemon, tmp_path: Path) -> None:
    station, other, link = shared.station, tmp_path / "desired", tmp_path / "link"
    shutil.copytree(station.desired, other)
    (other / "cell.yaml").write_text((other / "cell.yaml").read_text().replace("1.0.0", "1.1.0"))
    link.symlink_to(station.desired)
    records = len(station.json("audit", "-n", "10000"))

    def said(*words: str, desired: Path | None = None, cwd: Path = tmp_path, **environment: str) -> tuple[int, str]:
        named = ["--desired", str(desired)] if desired else []
        done = subprocess.run(
            [PVCTL, *named, "--store", station.store, *words], cwd=cwd, env={**os.environ, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    for words in (["reconcile", "--once"], ["plan"], ["reconcile", "--once", "--no-serve"], ["pause", "cell"]):
        code, text = said(*words, desired=other)
        assert (code, str(station.desired) in text, str(other) in text) == (64, True, True), text
    assert said("plan", PVCTL_DESIRED=str(other))[0] == 64
    assert said("reconcile", "--once")[0] == 64, "the default in the working folder is read, too"
    assert said("validate", desired=other)[0] == 0
    assert said("plan", "--proposal", desired=other)[0] == 2
    assert said("reconcile", "--once", desired=link)[0] == 0
    assert said("plan", cwd=station.root)[0] == 0
    assert said("plan", cwd=station.store)[0] == 0, "without a default it is the daemon's"
    code, text = said("pause", "cell")
    assert (code, "no rollout of cell" in text) == (1, True), "a verb reads no tree"

    assert {station.mapped(pid) for pid in ("A01", "A02", "B01")} == {"1.0.0"}
    assert len(station.json("audit", "-n", "10000")) == records + 2, "the verb that was heard"


def test_down_ends_the_daemon_and_every_process(station: Station, cell: Daemon) -> None:
    done = station.pvctl("down")

    assert cell.wait() == 0
    assert {line.split(":")[0] for line in done.stderr.splitlines()} == {"cell/cell@1.0.0-0", "side/cell@1.0.0-0"}
    assert station.wait_until_gone() == []
    assert station.mapped("A01") == "1.0.0"
    assert [path.name for path in (station.store / "run").iterdir() if path.suffix in {".json", ".sock"}] == []


def test_a_killed_process_is_replaced_and_its_neighbour_does_not_notice(station: Station, cell: Daemon) -> None:
    before = cell.os_pids()
    with Load(station.store, ["A01", "B01"], [IMAGE], callers=4) as load:
        load.until_answered(20)
        os.kill(before["cell/1.0.0"], signal.SIGKILL)
        load.until_answered(10, ["A01"])
        load.until_answered(10, ["B01"])

    assert load.lost == 0
    assert {call.pid for call in load.calls if call.error} <= {"A01"}
    assert len([call for call in load.calls if call.error]) <= 2, "no more than each caller's call of that moment"
    cell.until(lambda status: [each["restarts"] for each in status["processes"]] == [1, 0], "the restart on record")
    after = cell.os_pids()
    assert after["cell/1.0.0"] != before["cell/1.0.0"]
    assert after["side/1.0.0"] == before["side/1.0.0"]
    assert {call.os_pid for call in load.answered(["B01"])} == {before["side/1.0.0"]}


CRASH_LOOP = Algorithm(setup=f"import threading\nif {packing.SERVED}: threading.Timer(0.5, os._exit, [3]).start()")
"""Passes the proof, becomes ready, and ends by itself half a second later; again and again."""


def test_a_crash_loop_opens_the_breaker_and_stops_being_started(station: Station, cell: Daemon) -> None:
    deliver(station, "loop", "1.0.0", source=CRASH_LOOP)
    with Load(station.store, ["B01"], [IMAGE], callers=1) as load:
        desire(station, "loop", "1.0.0", ["C01"], health={"restarts": {"max": 2, "window": "1m"}})
        status = cell.until(lambda status: "breaker" in json.dumps(status["waiting"]), "the breaker")
        load.until_answered(10)

    [loop] = [each for each in status["deployments"] if each["name"] == "loop"]
    assert loop["phase"] == "Degraded"
    assert "breaker" in loop["message"]
    assert [each["what"] for each in status["waiting"]] == ["process/loop/loop@1.0.0-0"]
    starts = [each for each in station.json("audit", "-n", "10000")
              if (each["action"], each["object"], each["outcome"]) ==
              ("preheat", "process/loop/loop@1.0.0-0", "started")]  # fmt: skip
    assert len(starts) == 3
    assert load.failures() == {}


def test_status_watch_into_a_pipe_is_one_document_after_another(shared: Daemon) -> None:
    decoder, text = json.JSONDecoder(), ""
    with subprocess.Popen(
        # a test run in the background of a shell inherits that Ctrl-C is ignored; what is tested here must hear it
        ["env", "--default-signal=INT", *shared.station.command("-o", "json", "status", "--watch")],
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout
        documents: list[Any] = []
        for line in watching.stdout:
            text += line
            if line == "}\n":
                documents.append(decoder.decode(text))
                text = ""
            if len(documents) == 2:
                break
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()

    assert watching.returncode == 0
    assert [document["revision"]["id"] for document in documents] == [shared.status()["revision"]["id"]] * 2


# Progressive delivery (design 4): canaries, verdicts, the way back.

LINE = ["A01", "A02", "A03", "A04"]
CANARY = {
    "order": ["A04"],
    "critical": ["A01"],
    "steps": [
        {"setWeight": 25}, {"pause": {"duration": "300ms"}}, {"setWeight": 50}, {"pause": {"duration": "300ms"}},
    ],
    "analysis": {"minSamples": 150},
}  # fmt: skip
ONE_IN_FIVE = Algorithm(
    setup="self.count = 0",
    body="self.count += 1\nreturn error('lamp is off') if self.count % 5 == 0 else ok(os_pid=os.getpid())",
)


def roll_out(station: Station, version: str, **spec: Any) -> None:
    spec.setdefault("strategy", {"canary": CANARY, "minHealthyTime": "300ms"})
    desire(station, "line", version, LINE, **spec)


@pytest.fixture
def line(station: Station, daemon: Daemon) -> Daemon:
    """A running daemon with one deployment of four PIDs, on 1.0.0, whose next versions go in steps."""
    deliver_line(station, "1.0.0")
    roll_out(station, "1.0.0")
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    return daemon


def deliver_line(station: Station, version: str, source: Algorithm = GOOD) -> None:
    build_package(station.zips, name="line", version=version, source=source, supported_pids=LINE)


def test_a_good_version_goes_in_steps_and_a_bad_one_leaves_by_itself(station: Station, line: Daemon) -> None:
    deliver_line(station, "1.1.0")
    deliver_line(station, "1.2.0", ONE_IN_FIVE)
    with Load(station.store, LINE, [IMAGE], callers=4, pace=0.005) as load:
        mapping = station.store / "active" / "A01.json"
        mapping.unlink()  # by hand: it is restored, and meanwhile costs no call
        eventually(mapping.exists, "the mapping is restored")
        roll_out(station, "1.1.0")
        eventually(lambda: {station.mapped(pid) for pid in LINE} == {"1.1.0"}, "every PID on 1.1.0")
        line.until(lambda status: status["converged"], "convergence")
        arrived = {pid: time_of(station, pid, "1.1.0") for pid in LINE}
        assert sorted(arrived, key=arrived.__getitem__)[:2] == ["A04", "A02"]

        roll_out(station, "1.2.0")
        done = station.pvctl("-o", "json", "reconcile", "--once", "--wait", expect=5)
        load.until_answered(20)

    assert load.lost == 0
    assert load.failures() == {}
    assert {call.pid for call in load.calls if call.version == "1.2.0"} == {"A04"}
    assert {station.mapped(pid) for pid in LINE} == {"1.1.0"}
    [deployment] = json.loads(done.stdout)["deployments"]
    assert deployment["phase"] == "Degraded"
    assert deployment["quarantined"] == ["line@1.2.0"]
    assert "error rate" in deployment["message"]
    assert "on A04" in deployment["message"]
    assert any("lamp is off" in line for line in deployment["last_words"])
    assert deployment["last_words_of"] == "line@1.2.0"
    rates = {each["metric"]: each for each in deployment["evidence"]}
    assert rates["errorRate"]["progress"] == 1.0
    assert rates["errorRate"]["value"] > rates["errorRate"]["limit"]
    assert 'version: "1.1.0"' in deployment["patch"]


def time_of(station: Station, pid: str, version: str) -> str:
    [entry] = [each for each in station.json("history", pid) if each["version"] == version]
    return str(entry["at"])


SOON = {"call": "1s", "start": "3s"}
LEAKS = Algorithm(
    setup="self.kept = []", body="self.kept.append(bytearray(b'x' * 16_000_000))\nreturn ok(os_pid=os.getpid())"
)
THIRD_CALL = "self.count += 1\nif self.count == 3: {act}\nreturn ok(os_pid=os.getpid())"


@pytest.mark.parametrize(
    ("source", "health"),
    [
        (Algorithm(setup="self.count = 0", body=THIRD_CALL.format(act="os._exit(3)")), {"restarts": {"max": 2}}),
        (Algorithm(setup="self.count = 0", body=THIRD_CALL.format(act="time.sleep(613)")), {"restarts": {"max": 2}}),
        (LEAKS, {"memory": {"max": "400MiB"}}),
        (packing.NEVER_READY, {}),
    ],
    ids=["crashes on its third call", "hangs", "leaks record", "never ready"],
)
def test_a_version_that_fails_otherwise_leaves_too(
    station: Station, line: Daemon, source: Algorithm, health: dict[str, Any]
) -> None:
    deliver_line(station, "1.2.0", source)
    with Load(station.store, LINE, [IMAGE], callers=4, pace=0.02) as load:
        slow = {"canary": {**CANARY, "analysis": {"minSamples": 1000}}, "minHealthyTime": "10s"}
        roll_out(station, "1.2.0", health=health, timeouts=SOON, strategy=slow)
        status = line.until(lambda status: status["deployments"][0]["quarantined"], "the way back", 60)
        eventually(lambda: {station.mapped(pid) for pid in LINE} == {"1.0.0"}, "every PID back on 1.0.0")
        load.until_answered(10, ["A04"])

    assert load.lost == 0
    assert {call.pid for call in load.calls if call.version == "1.2.0" or call.error} <= {"A04"}
    assert status["deployments"][0]["quarantined"] == ["line@1.2.0"]
    assert line.status()["deployments"][0]["phase"] == "Degraded"


def test_quarantine_holds_until_retry_and_a_new_version_goes_ahead(station: Station, line: Daemon) -> None:
    deliver_line(station, "1.2.0", packing.ERROR)
    with Load(station.store, LINE, [IMAGE], callers=4, pace=0.005):
        roll_out(station, "1.2.0")
        line.until(lambda status: status["deployments"][0]["quarantined"], "the quarantine")
        eventually(lambda: station.mapped("A04") == "1.0.0", "A04 back on 1.0.0")
        switches = len(station.json("history", "A04"))
        station.pvctl("reconcile", "--once", expect=5)
        assert len(station.json("history", "A04")) == switches

        station.pvctl("retry", "line")
        eventually(lambda: len(station.json("history", "A04")) == switches + 2, "one more try, and back again")
        line.until(lambda status: status["deployments"][0]["quarantined"], "the quarantine again")

        deliver_line(station, "1.3.0")
        roll_out(station, "1.3.0")
        eventually(lambda: {station.mapped(pid) for pid in LINE} == {"1.3.0"}, "the new version everywhere")


def test_killed_in_a_bake_the_rollout_goes_on_with_the_same_deadline(station: Station, line: Daemon) -> None:
    deliver_line(station, "1.1.0")
    bake = {"canary": {**CANARY, "analysis": {"minSamples": 1}}, "minHealthyTime": "10s"}  # outlasts a slow restart
    with Load(station.store, LINE, [IMAGE], callers=4, pace=0.02, retry_unknown=True) as load:
        roll_out(station, "1.1.0", strategy=bake)
        eventually(lambda: rollout(station).get("state") == "baking", "the bake")
        before = rollout(station)
        line.kill()
        line.start()
        after = rollout(station)
        line.until(lambda status: status["deployments"][0]["actual_weight"] == 50, "the second step")

    assert after["state"] == "baking"
    assert after["timer"] == before["timer"]
    assert after["started_at"] == before["started_at"]
    assert load.failures() == {}


def gated(gate: Path) -> Algorithm:
    """An algorithm that starts only while `gate` is there."""
    wait = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)"
    return Algorithm(setup=wait, body=GOOD.body)


@pytest.fixture
def gate(station: Station) -> Iterator[Path]:
    """Yield an open gate for `gated`, and leave it open: what waits before it cannot be ended."""
    gate = station.root / "gate"
    gate.touch()
    yield gate
    gate.touch()


def test_killed_in_every_state_the_rollout_goes_on_where_it_was(station: Station, daemon: Daemon, gate: Path) -> None:
    """Each state but the bake lasts until the test ends it: by a gate, a promotion, calls or an abort."""
    deliver_line(station, "1.0.0", gated(gate))
    steps = [{"setWeight": 25}, {"pause": {"duration": "1h"}}, {"setWeight": 50}, {"pause": {}}]
    canary = {"order": ["A04"], "steps": steps, "analysis": {"minSamples": 1}}
    spec = {"strategy": {"canary": canary, "minHealthyTime": "4s"}, "timeouts": {"start": "10m"}}
    roll_out(station, "1.0.0", **spec)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    seen = []

    def killed_in(state: str) -> None:
        eventually(lambda: rollout(station).get("state") == state, f"the state {state}")
        before = rollout(station)
        daemon.kill()
        after = rollout(station)
        daemon.start()
        assert after["started_at"] == before["started_at"]
        assert after["timer"] == before["timer"] or after["state"] != state, "the deadline was moved"
        eventually(lambda: rollout(station).get("started_at") == before["started_at"], "the same rollout")
        seen.append(state)

    package = build_package(station.root, name="line", version="1.1.0", source=gated(gate), supported_pids=LINE)
    station.pvctl("install", package)  # while the gate is open, which its proof goes through, too
    gate.unlink()
    roll_out(station, "1.1.0", **spec)
    killed_in("stepping")
    gate.touch()
    killed_in("baking")
    killed_in("paused")
    assert [pid for pid in LINE if station.mapped(pid) == "1.1.0"] == ["A04"]
    station.pvctl("promote", "line")
    killed_in("waiting")
    station.pvctl("promote", "line")
    killed_in("sampling")  # its last step needs calls of its own
    with Load(station.store, LINE, [IMAGE], callers=4, pace=0.01, retry_unknown=True):
        killed_in("promoted")
    assert {station.mapped(pid) for pid in LINE} == {"1.1.0"}

    gate.unlink()
    os.kill(daemon.os_pids()["line/1.0.0"], signal.SIGKILL)  # the way back has to start first
    station.pvctl("abort", "line", "--reason", "a test")
    killed_in("reverting")
    assert {station.mapped(pid) for pid in LINE} == {"1.1.0"}
    gate.touch()
    killed_in("reverted")

    assert {station.mapped(pid) for pid in LINE} == {"1.0.0"}
    assert daemon.status()["deployments"][0]["quarantined"] == ["line@1.1.0"]
    assert len(seen) == 8


def rollout(station: Station) -> dict[str, Any]:
    path = station.store / "rollouts" / "line.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    found: dict[str, Any] = document.get("rollout") or {}
    return found


def test_a_pause_without_end_waits_for_promote(station: Station, line: Daemon) -> None:
    deliver_line(station, "1.1.0")
    steps = [{"setWeight": 50}, {"pause": {}}]
    with Load(station.store, LINE, [IMAGE], callers=4, pace=0.02):
        roll_out(
            station, "1.1.0", strategy={"canary": {"order": ["A04"], "steps": steps, "analysis": {"minSamples": 1}}}
        )
        line.until(lambda status: status["deployments"][0]["phase"] == "Paused", "the pause")
        station.pvctl("reconcile", "--once", expect=3)
        assert [pid for pid in LINE if station.mapped(pid) == "1.1.0"] == ["A01", "A04"]

        station.pvctl("promote", "line")
        eventually(lambda: {station.mapped(pid) for pid in LINE} == {"1.1.0"}, "every PID on 1.1.0")


def test_a_restart_takes_one_process_after_the_other_and_loses_no_call(station: Station, cell: Daemon) -> None:
    desire(station, "cell", "1.0.0", ["A01", "A02"], replicas=2)
    cell.until(lambda status: status["converged"] and len(status["processes"]) == 3, "two replicas")
    before = {(each["deployment"], each["replica"]): each["os_pid"] for each in cell.status()["processes"]}
    with Load(station.store, ["A01", "A02", "B01"], [IMAGE], callers=4) as load:
        load.until_answered(10)
        said = station.pvctl("restart", "cell", "--reason", "leaks")
        assert said.stdout == "cell: 2 of its processes are restarted, one after the other\n"

        def after(status: Any) -> dict[tuple[str, int], int]:
            return {(each["deployment"], each["replica"]): each["os_pid"] for each in status["processes"]}

        def restarted(status: Any) -> bool:
            return status["converged"] and all(after(status)["cell", each] != before["cell", each] for each in (0, 1))

        status = cell.until(restarted, "both restarted")
        load.until_answered(10)

    assert (load.lost, load.failures()) == (0, {})
    assert after(status)["side", 0] == before["side", 0], "its neighbour does not notice"
    assert [each["restarts"] for each in status["processes"]] == [0, 0, 0], "nobody crashed"
    acts = [each for each in station.json("audit") if each["action"] == "preheat"]
    starts = [each["reason"] for each in acts if each["outcome"] == "started"]
    assert starts[-2:] == [f"restart asked for by {psutil.Process().username()}: leaks"] * 2
    assert "A01 is a PID" in station.pvctl("restart", "A01", expect=1).stderr


def test_a_rollback_by_hand_holds_against_the_yaml_until_resume(station: Station, cell: Daemon) -> None:
    desire(station, "cell", "1.1.0", ["A01", "A02"])
    cell.until_active("A01", "1.1.0")
    cell.until_active("A02", "1.1.0")

    station.pvctl("--as", "王芳", "rollback", "A01", "--reason", "scrap on line A")
    cell.until_active("A01", "1.0.0")
    station.pvctl("reconcile", "--once")
    held = {each["pid"]: (each["held"], each["active"]["version"]) for each in cell.status()["pids"]}
    assert held == {"A01": (True, "1.0.0"), "A02": (False, "1.1.0"), "B01": (False, "1.0.0")}
    assert "scrap on line A" in station.json("history", "A01")[-1]["reason"]
    actors = {each["actor"] for each in station.json("audit") if each["action"] == "rollback"}
    assert actors == {psutil.Process().username()}
    workers = {each.get("worker") for each in station.json("audit") if each["action"] == "rollback"}
    assert workers == {"王芳"}
    assert f"{psutil.Process().username()} (for 王芳)" in station.pvctl("audit").stdout
    assert station.json("audit", "--verify")["valid"]

    station.pvctl("resume", "A01")
    cell.until_active("A01", "1.1.0")

    desire(station, "cell", "1.1.0", ["A01", "A02"], pinned={"A02": "1.1.0"})
    station.pvctl("reconcile", "--once")
    said = station.pvctl("rollback", "cell", "--reason", "scrap on all lines").stdout
    cell.until_active("A01", "1.0.0")
    assert "A02 stays: pinned to 1.1.0" in said
    assert "A02 is pinned to 1.1.0" in station.pvctl("rollback", "A02", "--reason", "scrap", expect=1).stderr
    station.pvctl("reconcile", "--once")
    assert station.mapped("A02") == "1.1.0"
