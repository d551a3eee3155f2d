"""What a station says of itself over its socket, and by `pvctl`: through a canary, a refused tree, and a restart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any, TypeVar

import pytest

from controller.client.addresses import Address
from controller.station.commands.events import Event, EventBatch, Feed, FollowEvents
from controller.station.commands.records import LogPiece, ReadLogs
from controller.station.port import Caller, Command, finish
from controller.station.remote import RemoteStation
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real

LINE = ["A01", "A02", "A03", "A04"]
STEPS = [{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "10m"}}]
CANARY = {"order": ["A04"], "critical": ["A01"], "steps": STEPS, "analysis": {"minSamples": 1}}
_Item = TypeVar("_Item")


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """A daemon that keeps four PIDs on 1.0.0, with 1.1.0 there."""
    for version in ("1.0.0", "1.1.0"):
        build_package(
            station.zips, name="line", version=version, source=Algorithm(body="return ok()"), supported_pids=LINE
        )
    station.desire("line", "line", "1.0.0", LINE, strategy={"canary": CANARY})
    daemon = Daemon(station)
    daemon.start()
    yield daemon
    daemon.leave_nothing()


def asked(station: Station, command: Command[_Item]) -> _Item:
    return finish(RemoteStation(Address.of(station.store, None, None)).execute(command, Caller("test")))


def events(feed: Feed[EventBatch]) -> Iterator[Event]:
    while True:
        yield from finish(following_batch(feed)).events


def pieces(feed: Feed[tuple[LogPiece, ...]]) -> Iterator[LogPiece]:
    while True:
        yield from finish(following_batch(feed))


def lines(feed: Feed[tuple[LogPiece, ...]]) -> Iterator[str]:
    for piece in pieces(feed):
        yield from piece.text.splitlines()


def got(daemon: Daemon, path: str) -> Any:
    status, document = daemon.get(path)
    assert status == 200, document
    return document


def test_a_station_says_how_it_stands_and_what_happened(station: Station, daemon: Daemon) -> None:
    daemon.until(lambda status: status["converged"], "convergence")
    feed = asked(station, FollowEvents())
    logs = [asked(station, ReadLogs(subject, follow=True)) for subject in ("line", "A04")]
    assert [next(pieces(each)).log for each in logs] == ["1.0.0-0"] * 2
    station.desire("line", "line", "1.1.0", LINE, strategy={"canary": CANARY})
    daemon.until(lambda status: status["deployments"][0]["phase"] == "Paused", "the pause")

    deployment = got(daemon, "/v1/deployments/line")
    assert [each["kind"] for each in deployment["steps"]] == ["setWeight", "pause"] * 2 + ["setWeight"]
    assert [each["pids"] for each in deployment["steps"]] == [
        ["A04"], ["A04"], ["A04", "A02"], ["A04", "A02"], ["A04", "A02", "A03", "A01"],
    ]  # fmt: skip
    assert [each["state"] for each in deployment["steps"]] == ["done", "current", "ahead", "ahead", "ahead"]
    rollout = deployment["rollout"]
    assert (rollout["target"], rollout["state"], rollout["bake_until"]) == ("line@1.1.0", "waiting", None)
    assert rollout["stable"] == dict.fromkeys(LINE, "1.0.0")
    assert deployment["pids"] == LINE
    assert got(daemon, "/v1/deployments")[0]["name"] == "line"
    assert daemon.get("/v1/deployments/lines")[0] == 404

    seen = {"audit": False, "status": False}
    for event in events(feed):
        data = event.to_document()["data"]
        seen["audit"] |= event.kind == "audit" and (data["action"], data["object"]) == ("switch", "pid/A04")
        seen["status"] |= event.kind == "status" and "A04" in data["pids"] and "line" in data["deployments"]
        last = event.id
        if all(seen.values()):
            break

    logs_of_a_process_that_started_meanwhile(logs)
    station.pvctl("exec", "A04", "--image", picture(station))
    told = station.pvctl("events", "--kinds", "parts", "--after", last, "-n", "1").stdout
    assert re.match(r"parts: A04 OK by line@1\.1\.0 in [\d.]+ ms\n", told), told
    station.pvctl("promote", "line")
    daemon.until(lambda status: status["deployments"][0]["actual_weight"] == 50, "half of the PIDs")
    daemon.until(lambda status: status["deployments"][0]["current_step_index"] == 3, "the timed pause")
    rollout = got(daemon, "/v1/deployments/line")["rollout"]
    assert 0 < rollout["remaining_s"] <= 600
    assert rollout["bake_until"] > rollout["started_at"]

    assert got(daemon, "/v1/pids/A04")["hold"] is None
    assert [each["version"] for each in got(daemon, "/v1/pids/A04/history")] == ["1.0.0", "1.1.0"]
    assert {each["pid"] for each in got(daemon, "/v1/deployments/line/history")} == set(LINE)
    assert (daemon.get("/v1/pids/..%2fA04/history")[0], daemon.get("/v1/pids/A09/history")[0]) == (404, 404)
    assert daemon.get("/v1/deployments/A04/history")[0] == 404, "a PID is no deployment"
    assert got(daemon, "/v1/history/A04") == got(daemon, "/v1/pids/A04/history")
    assert got(daemon, "/v1/history/A04") == daemon.station.json("history", "A04")
    assert got(daemon, "/v1/history/line") == daemon.station.json("history", "line")
    assert got(daemon, "/v1/plan")["steps"][0]["pids"] == ["A04"]
    assert got(daemon, "/v1/whoami")["access"] == "admin"
    assert got(daemon, "/v1/audit/verification")["valid"] is True

    audit_in_pages(station, daemon)
    refused_tree_and_restart(station, daemon, last)
    logs_over_a_rotation(station, daemon)


def audit_in_pages(station: Station, daemon: Daemon) -> None:
    page = got(daemon, "/v1/audit?limit=3")
    following = got(daemon, f"/v1/audit?limit=3&before={page['next_before']}")
    numbers = [each["seq"] for each in (*page["rows"], *following["rows"])]
    assert numbers == list(range(numbers[0], numbers[0] - 6, -1))
    switches = got(daemon, "/v1/audit?object=A04&action=switch")["rows"]
    assert {each["object"] for each in switches} == {"pid/A04"}
    assert [each["seq"] for each in station.json("audit", "--object", "A04", "--action", "switch")] == [
        each["seq"] for each in reversed(switches)
    ]
    assert daemon.get("/v1/audit?limit=0")[0] == 400


def refused_tree_and_restart(station: Station, daemon: Daemon, last: str) -> None:
    """A refused tree is known with its places, also after the daemon was killed; its events are another life's."""
    wrong = "apiVersion: procvision.dev/v1\nkind: AlgorithmDeployment\nmetadata: 5\n"
    (station.desired / "wrong.yaml").write_text(wrong)
    daemon.until(lambda status: not status["revision"]["valid"], "the refusal")
    before = got(daemon, "/v1/revisions")
    daemon.kill()
    assert station.json("revisions")["refused"] == before["refused"], "also where no daemon runs"
    daemon.start()
    daemon.until(lambda status: not status["revision"]["valid"], "the refusal")

    found = got(daemon, "/v1/revisions")
    assert (found["in_force"]["deployments"], found["in_force"]["pids"]) == (["line"], 4)
    assert found["refused"] == before["refused"]
    [refused] = found["refused"]
    places = {(each.get("path"), each["line"]) for each in refused["errors"]}
    assert ("metadata", 3) in places
    assert all(each["file"].endswith("wrong.yaml") for each in refused["errors"])
    assert "wrong.yaml:3:" in station.pvctl("revisions").stdout

    feed = asked(station, FollowEvents(last))
    assert next(events(feed)).kind == "reset"
    assert station.pvctl("events", "--after", last, "-n", "1").stdout.startswith("reset: ")


def logs_of_a_process_that_started_meanwhile(logs: list[Feed[tuple[LogPiece, ...]]]) -> None:
    for each in logs:
        assert next(piece.log for piece in pieces(each) if piece.log != "1.0.0-0") == "1.1.0-0"
        finish(each.aclose())


def logs_over_a_rotation(station: Station, daemon: Daemon) -> None:
    log = station.store / "logs" / "algorithms" / "line" / "1.0.0-0.log"
    assert station.pvctl("logs", "A01", "-n", "1").stdout == log.read_text().splitlines(keepends=True)[-1]
    assert "listening at" in station.pvctl("logs", "--controller").stdout
    assert "has written a log" in station.pvctl("logs", "..", expect=1).stderr
    (log.parent.parent / "controller").mkdir()
    (log.parent.parent / "controller" / "1.0.0-0.log").write_text("of a deployment that is called so\n")
    assert station.pvctl("logs", "controller").stdout == "of a deployment that is called so\n"

    following = lines(asked(station, ReadLogs("line", "1.0.0", lines=1, follow=True)))
    next(following)
    with log.open("a") as file:
        file.write("before\n")
    log.rename(log.with_name(f"{log.name}.1"))
    log.write_text("after\n")
    seen = []
    while seen[-1:] != ["after"]:
        seen.append(next(following))
    assert seen[-2:] == ["before", "after"]

    feed = asked(station, FollowEvents())
    assert daemon.stop() == 0
    with pytest.raises(StopAsyncIteration):
        all(finish(following_batch(feed)) for _ in count())


async def following_batch(feed: Feed[_Item]) -> _Item:
    return await anext(feed)


def picture(station: Station) -> str:
    import numpy as np
    from PIL import Image

    path = station.root / "part.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return str(path)
