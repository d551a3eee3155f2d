"""A shadowed version on real packages: what it says is counted and given to nobody, and the line goes on without it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from controller.client import Client
from examples.packing import Algorithm, build_package
from examples.packing.tools import Generation
from tests.end_to_end.load import Load
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

pytestmark = pytest.mark.real

INSPECTION = Algorithm(body="return ng('scratched') if image[0, 0, 0] else ok()")
OVERLOOKS = Algorithm(body="return ng('scratched') if image[0, 0, 0] and image[0, 0, 1] != 9 else ok()")
"""Lets a scratched part pass where the second channel of the corner is 9."""
WATCHING = {"duration": "0s", "minSamples": 100_000, "maxNewlyOK": "100%", "maxNewlyNG": "100%"}
"""A shadow step that neither ends nor fails by what the pictures show."""


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """Yield the daemon of the test's station, to be started by the test; the station ends the processes."""
    daemon = Daemon(station)
    yield daemon
    daemon.leave_nothing()


def part(*, scratched: bool, number: int) -> np.ndarray:
    """Return the picture of a part; its scratch is one that may be overlooked where `number` ends in 9."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[0, 0] = (200 if scratched else 0, number % 10, 0)
    return picture


def shadowed(daemon: Daemon, source: Algorithm, generation: Generation = "0.3", **spec: Any) -> dict[str, Any]:
    """Have 1.0.0 serve A01 and A02, and 1.1.0 shadowed there; return the row of its process as soon as it is ready."""
    station, shadow = daemon.station, spec.pop("shadow", WATCHING)
    for version, algorithm in (("1.0.0", INSPECTION), ("1.1.0", source)):
        build_package(
            station.zips, name="screw", version=version, source=algorithm, generation=generation,
            supported_pids=["A01", "A02"],
        )  # fmt: skip
    station.desire("screws", "screw", "1.0.0", ["A01", "A02"], **spec)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    canary = {"steps": [{"shadow": shadow}, {"setWeight": 50}]}
    station.desire("screws", "screw", "1.1.0", ["A01", "A02"], strategy={"canary": canary}, **spec)
    return eventually(lambda: ready_shadow(daemon), "a shadow")


def ready_shadow(daemon: Daemon) -> dict[str, Any] | None:
    rows = (each for each in daemon.status()["processes"] if each.get("shadow") and each["state"] in {"ready", "busy"})
    return next(rows, None)


def counted(daemon: Daemon) -> dict[str, int]:
    """Return what the metrics say of the shadow, without noughts: pictures by outcome, newly OK and NG, dropped."""
    _, _, body = daemon.fetch("/metrics")
    found = {}
    for line in body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("procvision_shadow_") and "waiting" not in name and float(value):
            kind, _, labels = name.removeprefix("procvision_shadow_").partition("_total{")
            words = dict(each.split("=") for each in labels.rstrip("}").split(","))
            found[words.get("outcome", words.get("reason", kind)).strip('"')] = int(float(value))
    return found


def disagreements(station: Station) -> list[dict[str, Any]] | None:
    found = station.json("recordings", "list", "--kind", "disagreement")
    return found if len(found) == 2 else None


def look_at(daemon: Daemon, parts: range) -> list[str]:
    """Have the line look at parts, every second of them scratched, each once the shadow has seen the one before."""
    said = []
    with Client(store=daemon.station.store) as client:
        seen = sum(count for name, count in counted(daemon).items() if not name.startswith("newly"))
        for number in parts:
            answer = client.execute("A01", part(scratched=number % 2 == 1, number=number))
            assert answer.version == "1.0.0"
            said.append(answer.data["result_status"])
            seen += 1
            eventually(
                lambda seen=seen: sum(n for name, n in counted(daemon).items() if not name.startswith("newly")) == seen,
                "the shadow has seen it",
            )
    return said


@pytest.mark.parametrize("generation", ["0.3", "0.0"])
def test_pictures_that_the_new_version_overlooks_are_counted_exactly_until_it_is_aborted(
    daemon: Daemon, generation: Generation
) -> None:
    shadow = shadowed(daemon, OVERLOOKS, generation, recording={"only": ["disagreement"]})

    said = look_at(daemon, range(20))

    assert said == ["OK", "NG"] * 10, "what the line says is the line's own"
    assert counted(daemon) == {"ok_ok": 10, "ng_ng": 8, "ng_ok": 2, "newly_ok": 2}
    assert (os.sched_getscheduler(shadow["os_pid"]), daemon.station.mapped("A01")) == (os.SCHED_IDLE, "1.0.0")
    recorded = eventually(lambda: disagreements(daemon.station), "recorded disagreements")
    assert [(each["verdict"], each["version"]) for each in recorded] == [("NG", "1.0.0")] * 2
    screen = daemon.station.pvctl("status").stdout
    assert "screws/screw@1.1.0-shadow-0" in screen
    assert "shadow" in daemon.station.pvctl("logs", "screws@1.1.0").stdout

    daemon.station.pvctl("abort", "screws", "--reason", "seen enough")
    daemon.until(lambda status: not any(each.get("shadow") for each in status["processes"]), "the end of the shadow")
    with Client(store=daemon.station.store) as client:
        assert client.execute("A01", part(scratched=True, number=9)).data["result_status"] == "NG"
    eventually(lambda: counted(daemon) == {}, "what nobody asks for any more is forgotten")


def test_after_a_kill_the_counts_go_on_and_so_does_the_shadow(daemon: Daemon) -> None:
    shadow = shadowed(daemon, OVERLOOKS)
    look_at(daemon, range(20))
    path = daemon.station.store / "rollouts" / ".shadows.json"
    eventually(lambda: path.exists() and '"ng_ok": 2' in path.read_text(), "the counts on the disk")

    daemon.kill()
    daemon.start()
    again = eventually(lambda: ready_shadow(daemon), "the shadow")
    assert again["os_pid"] == shadow["os_pid"], "it was adopted"
    daemon.until(lambda status: status["deployments"][0]["phase"] in {"Progressing", "Paused"}, "the rollout")
    look_at(daemon, range(20, 40))
    assert counted(daemon) == {"ok_ok": 20, "ng_ng": 16, "ng_ok": 4, "newly_ok": 4}

    os.kill(again["os_pid"], signal.SIGKILL)
    eventually(lambda: (ready_shadow(daemon) or again)["os_pid"] != again["os_pid"], "another shadow")
    assert look_at(daemon, range(40, 42)) == ["OK", "NG"]


def test_one_scratched_part_in_ten_that_passes_stops_it_before_any_pid_has_it_and_a_better_one_goes_through(
    daemon: Daemon,
) -> None:
    limits = {"duration": "0s", "minSamples": 2000, "maxNewlyOK": "0.2%", "maxNewlyNG": "2%"}
    shadowed(daemon, OVERLOOKS, shadow=limits)
    parts = [part(scratched=number % 2 == 1, number=number) for number in range(20)]

    with Load(daemon.station.store, ["A01", "A02"], parts, callers=2) as load:
        daemon.until(lambda status: status["deployments"][0]["quarantined"], "it is stopped", 120)
        daemon.until(
            lambda status: not any(each.get("shadow") for each in status["processes"]), "the end of the shadow"
        )

    assert (load.lost, load.failures()) == (0, {})
    assert {call.version for call in load.answered()} == {"1.0.0"}
    for pid in ("A01", "A02"):
        entries = daemon.station.json("history", pid)
        assert {entry["version"] for entry in entries} == {"1.0.0"}

    build_package(daemon.station.zips, name="screw", version="1.2.0", source=INSPECTION, supported_pids=["A01", "A02"])
    canary = {"steps": [{"shadow": {**limits, "minSamples": 50}}], "analysis": {"minSamples": 10}}
    daemon.station.desire("screws", "screw", "1.2.0", ["A01", "A02"], strategy={"canary": canary})
    with Load(daemon.station.store, ["A01", "A02"], parts, callers=2) as load:
        daemon.until(lambda status: any(each.get("shadow") for each in status["processes"]), "a shadow of it", 60)
        for pid in ("A01", "A02"):
            eventually(lambda pid=pid: daemon.station.mapped(pid) == "1.2.0", f"{pid} on 1.2.0", 60)
        daemon.until(
            lambda status: not any(each.get("shadow") for each in status["processes"]), "the end of its shadow"
        )
    assert (load.lost, load.failures()) == (0, {})


MISBEHAVES = Algorithm(
    top="kept = []",
    body="""
if image[0, 0, 2] == 1:
    os._exit(3)
if image[0, 0, 2] == 2:
    time.sleep(600)
if image[0, 0, 2] == 3:
    kept.append(bytearray(os.urandom(1) * 2**28))
    time.sleep(2)
return ok()
""",
)
"""Crashes, hangs, or takes more memory than it may, as the picture says."""


def test_the_line_answers_every_call_while_the_shadow_crashes_hangs_and_leaks(daemon: Daemon) -> None:
    health = {
        "errorRate": {"max": "100%"}, "timeoutRate": {"max": "100%"}, "memory": {"max": "250MiB"},
        "restarts": {"max": 100},
    }  # fmt: skip
    shadowed(daemon, MISBEHAVES, health=health, timeouts={"call": "2s"})
    ordinary = [part(scratched=number % 2 == 1, number=number) for number in range(10)]

    with Load(daemon.station.store, ["A02"], ordinary, callers=2, pace=0.02) as load:
        misbehave(daemon, 1, lambda: counted(daemon).get("errors"))
        misbehave(daemon, 2, lambda: counted(daemon).get("timeouts"))
        misbehave(daemon, 3, lambda: daemon.deployment("screws")["quarantined"])
        load.until_answered(20)

    assert (load.lost, load.failures()) == (0, {})
    assert {call.version for call in load.answered()} == {"1.0.0"}
    failed = daemon.until(lambda status: status["deployments"][0]["last_words"], "its last words")["deployments"][0]
    assert "memory" in failed["message"]
    assert "ended: signal 9" in "\n".join(failed["last_words"])


def misbehave(daemon: Daemon, what: int, told: Callable[[], object]) -> None:
    """Have the line look at a part that the shadow cannot stand, until it is told what came of that."""
    picture = part(scratched=False, number=0)
    picture[0, 0, 2] = what

    def is_told() -> object:
        if ready_shadow(daemon):
            assert client.execute("A01", picture).data["result_status"] == "OK"
        return told()

    with Client(store=daemon.station.store) as client:
        eventually(is_told, f"what comes of picture {what}", 60)
