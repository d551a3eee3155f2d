"""An upgrade and its way back: a controller goes on where another release of it stopped or was killed.

Each walk is made from the released controller to the one of this checkout and back, and the other way round. Only what
every release has to keep is used: the command line, the sockets, the files of the store.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.client import Client
from examples import packing
from examples.packing import Algorithm, build_package
from tests.end_to_end.load import Load
from tests.end_to_end.names import kept_names, names_in
from tests.end_to_end.released import Controller, SharedStation, released, this_checkout
from tests.end_to_end.running import Daemon
from tests.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]  # the first of them also builds the release

Turns = tuple[Controller, Controller]
LINE = ["A01", "A02", "A03", "A04"]
IMAGE = np.zeros((4, 4, 3), np.uint8)
LIMIT = {"minSamples": 1}
HEALTH = {
    "errorRate": LIMIT, "timeoutRate": LIMIT, "latencyP95": {"max": "10s", **LIMIT},
    "ngRate": {"maxChange": "50%", **LIMIT},
}  # fmt: skip


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    """Return a strategy by which A04 goes first and A01 last; each step needs twelve calls."""
    return {
        "canary": {"order": ["A04"], "critical": ["A01"], "steps": list(steps), "analysis": {"minSamples": 12}},
        "minHealthyTime": "200ms",
    }


IN_STEPS = {"strategy": canary({"setWeight": 25}, {"pause": {}}, {"setWeight": 50}), "health": HEALTH}


@pytest.fixture(params=["old to new", "new to old"])
def turns(request: pytest.FixtureRequest) -> Turns:
    """Return the controller that a walk begins with, and the one that takes over from it."""
    old, new = released(), this_checkout()
    return (old, new) if request.param == "old to new" else (new, old)


@pytest.fixture
def station(tmp_path: Path, turns: Turns) -> Iterator[SharedStation]:
    """Yield a station that is asked through the first controller, and leave nothing of it running."""
    station = SharedStation(tmp_path, turns[0])
    yield station
    station.pvctl("down")
    assert station.wait_until_gone() == []


@pytest.fixture
def daemon(station: SharedStation) -> Iterator[Daemon]:
    """Yield the station's daemon, to be started by the test: that of the controller which is asked by then."""
    daemon = Daemon(station)
    yield daemon
    daemon.leave_nothing()


def deliver(station: SharedStation, *versions: str, source: Algorithm = packing.ECHO) -> None:
    for version in versions:
        build_package(station.zips, name="line", version=version, source=source, supported_pids=LINE)


def desire(station: SharedStation, version: str, **spec: Any) -> None:
    station.desire("line", "line", version, LINE, **spec)


def hand_over(daemon: Daemon, station: SharedStation, to: Controller) -> None:
    """Kill the daemon and start the other controller's."""
    daemon.kill()
    station.by = to
    daemon.start()


def processes(status: Any) -> dict[str, int]:
    """Return the OS pid of each process by its slot."""
    return {f"{each['deployment']}/{each['version']}-{each['replica']}": each["os_pid"] for each in status["processes"]}


def line_of(status: Any) -> Any:
    """Return what a status says of the deployment `line`."""
    [found] = [each for each in status["deployments"] if each["name"] == "line"]
    return found


def answering(station: SharedStation, pid: str, image: Path) -> int:
    """Return the process that answers a PID's call, by its own word."""
    os_pid: int = station.execute(pid, image)["data"]["debug"]["os_pid"]
    return os_pid


def stored(station: SharedStation, name: str) -> Any:
    """Return what a JSON file of the store holds; an empty object where it is not there yet."""
    path = station.store / name
    return json.loads(path.read_text()) if path.exists() else {}


def rollout(station: SharedStation) -> dict[str, Any]:
    found: dict[str, Any] = stored(station, "rollouts/line.json").get("rollout") or {}
    return found


def until_state(station: SharedStation, state: str) -> None:
    eventually(lambda: rollout(station).get("state") == state, f"the rollout's state {state}")


def mapped(station: SharedStation) -> dict[str, str | None]:
    return {pid: station.mapped(pid) for pid in LINE}


def histories(station: SharedStation) -> dict[str, str]:
    return {pid: (station.store / "history" / f"{pid}.jsonl").read_text() for pid in LINE}


def call(station: SharedStation, pid: str, version: str, times: int, in_all: int) -> None:
    """Call a PID, and wait until that many of its calls are written down."""
    with Client(store=station.store) as client:
        assert {client.execute(pid, IMAGE).version for _ in range(times)} == {version}
    eventually(lambda: counted(station, pid, version) == in_all, f"{in_all} counted calls of {pid}")


def counted(station: SharedStation, pid: str, version: str) -> int:
    rows = stored(station, "rollouts/.tallies.json")
    return sum(row["tally"]["calls"] for row in rows if (row["pid"], row["version"]) == (pid, version))


def call_canary(station: SharedStation, times: int, in_all: int) -> None:
    """Call the first PID of the canary, and wait until the rollout's evidence on disk holds that many calls."""
    call(station, "A04", "1.1.0", times, in_all)
    eventually(lambda: judged(station) == in_all, f"{in_all} judged calls")


def judged(station: SharedStation) -> int:
    tests: dict[str, Any] = rollout(station)["trials"].get("rates", {})
    return int(tests["errorRate"]["calls"]) if tests else 0


RECORDS = (("audit", "--verify"), ("history", "A01"))


def common(newer: Any, older: Any) -> Any:
    """Return a document without the keys that another does not have."""
    if isinstance(newer, dict) and isinstance(older, dict):
        return {key: common(value, older[key]) for key, value in newer.items() if key in older}
    if isinstance(newer, list) and isinstance(older, list):
        return [*map(common, newer, older), *newer[len(older) :]]
    return newer


def check_records(station: SharedStation, *controllers: Controller) -> None:
    """Check that the controllers show the same audit and history, find the chain whole, and can show the status.

    The newer one may show more of the same records, and no less.
    """
    seen = {by.name: [station.through(by).json(*command) for command in RECORDS] for by in controllers}
    assert common(seen["new"], seen["old"]) == seen["old"]
    assert seen["old"][0]["valid"]
    assert all("A01" in station.through(by).pvctl("status").stdout for by in controllers)


def test_a_station_at_rest_is_taken_over_without_an_act(station: SharedStation, turns: Turns, bright: Path) -> None:
    first, second = turns
    deliver(station, "1.0.0")
    build_package(station.zips, name="elder", generation="0.0", source=packing.ECHO, supported_pids=["B01"])
    desire(station, "1.0.0", replicas=2)
    station.desire("elder", "elder", "1.0.0", ["B01"])
    begun = station.reconcile()
    times, started, audit = station.times(), processes(begun), (station.store / "logs" / "audit.jsonl").read_text()
    assert all(first.started(os_pid) for os_pid in started.values())

    for by in (second, first):
        status = station.through(by).reconcile()
        assert status["converged"]
        assert status["packages"] == begun["packages"]
        assert processes(status) == processes(station.json("status")) == started
        assert answering(station, "A01", bright) in {started["line/1.0.0-0"], started["line/1.0.0-1"]}
        assert answering(station, "B01", bright) == started["elder/1.0.0-0"]
        assert station.times() == times
        assert (station.store / "logs" / "audit.jsonl").read_text() == audit
    check_records(station, first, second)

    assert len(station.through(second).json("down")["ended"]) == len(started)
    assert station.wait_until_gone() == []


HOST_APPLICATION = """
import asyncio, json, sys
from controller.client import AsyncClient, CallError, Client

store, pid, path = sys.argv[1:]
array = memoryview(bytes(range(48))).cast("B", (4, 4, 3))

async def ask():
    async with AsyncClient(store=store) as client:
        return await client.execute(pid, array)

with Client(store=store) as client:
    answers = [client.execute(pid, path), client.execute(pid, array, array, guide_info=[{"a": 1}]), asyncio.run(ask())]
    try:
        client.execute("Z99", path)
    except CallError as error:
        print(json.dumps([int(error.code), *([each.pid, each.version, each.data["debug"]] for each in answers)]))
"""


def answers_to(client: Controller, station: SharedStation, pid: str, image: Path) -> Any:
    """Return what a controller's client brings back: the code of a refused call, then PID, version and data of each."""
    done = subprocess.run(
        [*client.python, "-c", HOST_APPLICATION, str(station.store), pid, str(image)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_killed_daemon_is_succeeded_and_its_callers_do_not_notice(
    station: SharedStation, daemon: Daemon, turns: Turns, bright: Path
) -> None:
    first, second = turns
    deliver(station, "1.0.0")
    station.desire("line", "line", "1.0.0", ["A01"])
    station.desire("side", "line", "1.0.0", ["A02"])
    daemon.start()
    started = processes(daemon.until(lambda status: status["converged"], "convergence"))

    of_line = {started["line/1.0.0-0"]}
    with Load(station.store, ["A02"], [IMAGE], callers=1, pace=0.05, retry_unknown=True) as load:
        for other in (second, first):
            # The other's command line and client speak to this daemon, and its daemon keeps away.
            refused = station.through(other).pvctl("run", expect=1)
            assert str(daemon.os_pid) in refused.stderr
            assert processes(station.json("status")) == started
            code, *answers = answers_to(other, station, "A01", bright)
            assert code == 1012
            assert [answer[:2] for answer in answers] == [["A01", "1.0.0"]] * 3
            assert [answer[2]["os_pid"] for answer in answers] == [started["line/1.0.0-0"]] * 3
            assert [answer[2]["first"] for answer in answers] == [[200, 200, 200], [0, 1, 2], [0, 1, 2]]

            hand_over(daemon, station, other)
            assert processes(daemon.status()) == started
            os.kill(started["line/1.0.0-0"], signal.SIGKILL)
            started["line/1.0.0-0"] = until_replaced(daemon, started["line/1.0.0-0"])
            of_line.add(started["line/1.0.0-0"])
            assert processes(daemon.status()) == started
            assert other.started(started["line/1.0.0-0"])
            assert answering(station, "A01", bright) == started["line/1.0.0-0"]
            load.until_answered(5)
    assert load.lost == 0
    assert load.failures() == {}
    # Until a daemon has adopted the PID's own process, the other deployment's of the same version may answer.
    answered = {each.os_pid for each in load.calls}
    assert started["side/1.0.0-0"] in answered
    assert answered <= of_line | {started["side/1.0.0-0"]}
    reasons = [each["reason"] for each in station.json("audit") if each["object"] == "process/line/line@1.0.0-0"]
    assert sum("signal 9" in reason for reason in reasons) == 4, "how each ended is told by the parent, in two records"

    check_records(station, first, second)
    station.through(second).pvctl("down")
    assert daemon.wait() == 0
    assert station.wait_until_gone() == []


def until_replaced(daemon: Daemon, os_pid: int) -> int:
    """Wait until a killed process of `line` has a successor that can answer; return that."""

    def successor() -> Any:
        [process] = [each for each in daemon.status()["processes"] if each["deployment"] == "line"]
        return process["os_pid"] if process["state"] == "ready" and process["os_pid"] != os_pid else None

    return int(eventually(successor, "the restart"))


def test_a_rollout_goes_on_at_its_step_with_its_counts_and_its_pause(
    station: SharedStation, daemon: Daemon, turns: Turns
) -> None:
    first, second = turns
    deliver(station, "1.0.0", "1.1.0")
    desire(station, "1.0.0", **IN_STEPS)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    desire(station, "1.1.0", **IN_STEPS)
    until_state(station, "waiting")
    call_canary(station, 5, in_all=5)

    # Paused through the command line of the second, kept by its daemon, resumed and promoted through the first.
    station.through(second).pvctl("pause", "line")
    eventually(lambda: rollout(station)["paused_by"], "the pause")
    check_goes_on(daemon, station, second)
    assert (line_of(daemon.status())["phase"], line_of(daemon.status())["actual_weight"]) == ("Paused", 25)
    station.through(first).pvctl("promote", "line", expect=1)
    station.pvctl("resume", "line")
    station.pvctl("promote", "line")
    until_state(station, "sampling")
    assert mapped(station) == {"A01": "1.0.0", "A02": "1.1.0", "A03": "1.0.0", "A04": "1.1.0"}

    # Of the twelve calls that the step needs, one daemon counts five and the other seven.
    call_canary(station, 5, in_all=10)
    check_goes_on(daemon, station, first)
    assert line_of(daemon.status())["actual_weight"] == 50
    call_canary(station, 7, in_all=17)
    daemon.until(lambda status: line_of(status)["actual_weight"] == 100, "the last step")
    until_state(station, "sampling")

    check_goes_on(daemon, station, second)
    station.pvctl("promote", "line", "--full")
    assert line_of(station.json("reconcile", "--once", "--wait"))["phase"] == "Healthy"
    assert mapped(station) == dict.fromkeys(LINE, "1.1.0")

    # Within its window it is still taken back, by the process that was kept warm, and stays away.
    check_goes_on(daemon, station, first)
    station.pvctl("abort", "line", "--reason", "scratches on every part")
    until_state(station, "reverted")
    daemon.until(lambda status: processes(status).keys() == {"line/1.0.0-0"}, "the end of the version taken back")
    check_goes_on(daemon, station, second)
    status = station.json("reconcile", "--once", expect=5)
    assert (line_of(status)["phase"], line_of(status)["quarantined"]) == ("Degraded", ["line@1.1.0"])
    assert mapped(station) == dict.fromkeys(LINE, "1.0.0")
    check_records(station, first, second)


def check_goes_on(daemon: Daemon, station: SharedStation, to: Controller) -> None:
    """Hand over, and check that nothing moved: the rollout's step and evidence, the PIDs, counts and processes."""
    before = processes(daemon.status()), rollout(station), mapped(station), stored(station, "rollouts/.tallies.json")
    hand_over(daemon, station, to)
    after = processes(daemon.status()), rollout(station), mapped(station), stored(station, "rollouts/.tallies.json")
    assert after == before


def test_a_hold_and_a_quarantine_are_kept_until_either_ends_them(
    station: SharedStation, daemon: Daemon, turns: Turns
) -> None:
    first, second = turns
    deliver(station, "1.0.0", "1.1.0")
    deliver(station, "1.2.0", source=packing.ERROR)
    for version in ("1.0.0", "1.1.0"):
        desire(station, version)
        station.reconcile()

    # A hold of the second's, respected by the first.
    station.through(second).pvctl("rollback", "A01", "--reason", "scrap on line A")
    station.through(first).reconcile()
    assert mapped(station) == {**dict.fromkeys(LINE, "1.1.0"), "A01": "1.0.0"}

    # A verdict of the first's, kept by the second. The held PID is let alone throughout.
    desire(station, "1.2.0", **IN_STEPS)
    daemon.start()
    with Load(station.store, ["A04"], [IMAGE], callers=1, pace=0.02):
        until_state(station, "reverted")
    daemon.kill()
    moves = histories(station)
    assert {pid: len(text.splitlines()) for pid, text in moves.items()} == {"A01": 3, "A02": 2, "A03": 2, "A04": 4}
    shown = station.through(second).json("status")
    status = station.json("reconcile", "--once", expect=5)
    for each in (line_of(shown), line_of(status)):
        assert (each["phase"], each["quarantined"]) == ("Degraded", ["line@1.2.0"])
        assert 'version: "1.1.0"' in each["patch"]
    assert [pid["pid"] for pid in status["pids"] if pid["held"]] == ["A01"]
    assert histories(station) == moves

    # The first ends the second's hold, the second the first's quarantine.
    station.through(first).pvctl("resume", "A01")
    station.through(second).json("reconcile", "--once", expect=5)
    assert mapped(station) == dict.fromkeys(LINE, "1.1.0")
    station.pvctl("retry", "line")
    status = station.through(first).json("reconcile", "--once", expect=3)
    assert line_of(status)["quarantined"] == []
    assert station.mapped("A04") == "1.2.0"
    check_records(station, first, second)


def test_every_name_in_the_store_is_kept(station: SharedStation, daemon: Daemon) -> None:
    """What one controller alone writes, first the released one: see `names.py`."""
    slow = {"strategy": canary({"setWeight": 25}, {"pause": {"duration": "1h"}}, {"pause": {}}), "health": HEALTH}
    deliver(station, "1.0.0", "1.1.0")
    desire(station, "1.0.0", **slow)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    call(station, "A01", "1.0.0", 3, in_all=3)
    desire(station, "1.1.0", **slow)
    until_state(station, "paused")
    call(station, "A01", "1.0.0", 3, in_all=6)
    call_canary(station, 5, in_all=5)
    seen = names_in(station.store, data=LINE)

    station.pvctl("abort", "line", "--reason", "scratches on every part")
    until_state(station, "reverted")
    daemon.until(lambda status: processes(status).keys() == {"line/1.0.0-0"}, "the end of the version taken back")
    station.pvctl("rollback", "A04", "--to", "1.1.0", "--reason", "one more look")
    station.pvctl("reconcile", "--once", expect=5)
    seen |= names_in(station.store, data=LINE)

    assert kept_names() - seen == set()
