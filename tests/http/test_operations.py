"""Long acts over HTTP: each form of their answer, and their operations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.errors import Code, PackageError
from tests.http.conftest import ServedStation
from tests.station.fake import STATUS

INSTALL = ("POST", "/algorithms/install?name=a.zip", b"x", "application/zip")
STATE = {"name": "screw-check", "version": "1.0.0", "digest": "sha256:ab"}


def events(body: bytes) -> list[tuple[str, str, Any]]:
    """Return id, name and data of each event."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


async def test_an_install_answers_at_once_with_its_operation(station: ServedStation) -> None:
    reply = await station.ask(*INSTALL)
    assert (reply.status, reply.json["kind"], reply.json["subject"]) == (202, "install", "a.zip")
    place = reply.headers["location"]
    assert place == f"/v1/operations/{reply.json['id']}"
    found = await station.ask("GET", place)
    assert (found.status, found.json["result"]) == (200, STATE)
    (row,) = (await station.ask("GET", "/v1/operations")).json
    assert row == {name: value for name, value in found.json.items() if name not in {"progress", "result"}}
    assert (await station.ask("GET", "/v1/operations/another")).status == 404
    assert (await station.ask("GET", "/v1/operations/another/events")).status == 404


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json;q=0.4, text/*"])
async def test_progress_comes_as_events_and_can_be_had_again(station: ServedStation, accept: str) -> None:
    reply = await station.ask(*INSTALL, Accept=accept)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    told = [("1", "progress", {"progress": "a.zip: installed"}), ("2", "outcome", {"outcome": STATE})]
    assert events(reply.body) == told
    again = reply.headers["location"] + "/events"
    assert events((await station.ask("GET", again)).body) == told
    assert events((await station.ask("GET", again, **{"Last-Event-ID": "1"})).body) == told[1:]
    lines = (await station.ask("GET", again, Accept="application/x-ndjson")).body.splitlines()
    assert [json.loads(line) for line in lines] == [data for _, _, data in told]


async def test_a_failed_act_ends_its_events_with_the_error(station: ServedStation) -> None:
    station.fake.failure = PackageError(Code.manifest_missing, "a.zip has no manifest.json")
    last = events((await station.ask(*INSTALL, Accept="text/event-stream")).body)[-1]
    assert (last[1], last[2]["error"]["code"]) == ("error", 2002)
    reply = await station.ask("POST", "/v1/reconcile", b"{}", Accept="application/json")
    assert (reply.status, reply.error["code"]) == (422, 2002)


async def test_a_reconcile_answers_with_its_result_or_at_once_where_that_is_asked_for(station: ServedStation) -> None:
    reply = await station.ask("POST", "/v1/reconcile", b"{}", Accept="application/json")
    assert (reply.status, reply.json) == (200, {"exit": 3, "status": STATUS})
    at_once = {"Accept": "application/json", "Prefer": "handling=strict, respond-async"}
    reply = await station.ask("POST", "/v1/reconcile", b"{}", **at_once)
    assert (reply.status, reply.json["kind"]) == (202, "reconcile")
    reply = await station.ask("POST", "/v1/reconcile", b"{}", Accept="image/png, text/event-stream;q=0")
    assert (reply.status, reply.error["code"]) == (406, 1003)
    assert len(station.fake.asked) == 2, "what was refused did not begin"
