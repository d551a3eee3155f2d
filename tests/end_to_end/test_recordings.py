"""Recorded calls of a real line: shown as they were seen, taken to another store, kept from some, deleted."""

from __future__ import annotations

import getpass
import http.client
import io
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controller.client import Client
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.recordings.test_drawing import Elements
from tests.roomy import with_room
from tests.waiting import HANGS, eventually

pytestmark = pytest.mark.real
FINDS_WHAT_IS_BRIGHT = Algorithm(
    """
rows, columns = (image[:, :, 0] > 200).any(axis=1).nonzero()[0], (image[:, :, 0] > 200).any(axis=0).nonzero()[0]
if not len(rows):
    return {"status": "OK", "data": {"result_status": "OK"}}
x, y = int(columns[0]), int(rows[0])
rect = {"x": x, "y": y, "width": int(columns[-1]) + 1 - x, "height": int(rows[-1]) + 1 - y, "label": "<b>scratch</b>"}
return {"status": "OK", "data": {"result_status": "NG", "ng_reason": "scratch", "defect_rects": [rect]}}
"""
)
SCRATCHES = {"r1": (10, 20, 30, 8), "r2": (100, 3, 6, 40)}
"""x, y, width and height of what is bright in each picture."""


def scratched(x: int, y: int, width: int, height: int) -> np.ndarray:
    pixels = np.random.default_rng(x).integers(0, 150, (60, 160, 3), np.uint8)
    pixels[y : y + height, x : x + width] = 250
    return pixels


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    daemon = Daemon(station)
    daemon.confined = with_room
    build_package(
        station.zips, name="screw-check", version="1.0.0", source=FINDS_WHAT_IS_BRIGHT, supported_pids=["A01"]
    )
    station.desire("screws", "screw-check", "1.0.0", ["A01"], recording={"only": ["NG", "ERROR"]})
    daemon.arguments = ("--listen", "127.0.0.1:0")
    station.pvctl("token", "create", "boss", "--role", "admin")
    daemon.start()
    daemon.until_active("A01", "1.0.0")
    yield daemon
    daemon.leave_nothing()


def over_network(daemon: Daemon, token: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    host, _, port = daemon.status()["daemon"]["listen"].removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=HANGS)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def page_shows(page: str, scratch: tuple[int, int, int, int]) -> None:
    """Hold a page to the picture that was sent, and its rectangle to where the scratch is."""
    elements = Elements(page)
    assert [tuple(map(float, each.values())) for each in elements.named("rect")] == [scratch]  # type: ignore[arg-type]
    (image,) = elements.named("image")
    file = b64decode(str(image["href"]).partition(",")[2])
    with Image.open(io.BytesIO(file), formats=["PNG"]) as shown:
        np.testing.assert_array_equal(np.asarray(shown), scratched(*scratch))
    assert "<b>" not in page
    assert "<b>scratch</b>" in elements.words


def test_what_a_line_recorded_is_shown_taken_elsewhere_and_deleted(
    station: Station, daemon: Daemon, tmp_path: Path
) -> None:
    with Client(store=station.store) as client:
        for name, scratch in SCRATCHES.items():
            assert client.execute("A01", scratched(*scratch), params={"part": name}).data["result_status"] == "NG"
        assert client.execute("A01", np.zeros((60, 160, 3), np.uint8)).data["result_status"] == "OK"

    def listed(*more: str, store: Path = station.store) -> list[Any]:
        return list(json.loads(station.pvctl("--store", store, "recordings", "list", "-o", "json", *more).stdout))

    def both() -> list[Any]:
        return rows if len(rows := listed()) == len(SCRATCHES) else []

    second, first = eventually(both, "both recordings")
    assert {(each["verdict"], each["defects"], tuple(each["kinds"])) for each in (first, second)} == {
        ("NG", 1, ("NG",))
    }
    document = json.loads(station.pvctl("recordings", "show", first["id"], "-o", "json").stdout)
    assert document["arguments"]["params"] == {"part": "r1"}
    page = tmp_path / "part.html"
    for row, scratch in ((first, SCRATCHES["r1"]), (second, SCRATCHES["r2"])):
        station.pvctl("recordings", "show", row["id"], "--out", page)
        page_shows(page.read_text(), scratch)

    file, laptop = tmp_path / "screws.zip", tmp_path / "laptop"
    station.pvctl("recordings", "export", "--verdict", "NG", "--out", file)
    taken = station.pvctl("--store", laptop, "recordings", "import", file)
    assert taken.stdout.startswith("2 imported, 0 there already, 0 damaged")
    assert listed(store=laptop) == [second, first]
    station.pvctl("--store", laptop, "recordings", "show", first["id"], "--out", page)
    page_shows(page.read_text(), SCRATCHES["r1"])

    assert station.pvctl("recordings", "delete", "--pid", "A01", expect=64).stdout == ""
    assert listed() == [second, first]
    assert station.pvctl("recordings", "delete", first["id"], "--yes").stdout.startswith("1 deleted")
    assert listed() == [second]
    assert listed(store=laptop) == [second, first]
    audit = json.loads(station.pvctl("audit", "--action", "recordings.delete", "-o", "json").stdout)
    assert [(each["actor"], each["outcome"]) for each in audit] == [
        (getpass.getuser(), "started"), (getpass.getuser(), "succeeded"),
    ]  # fmt: skip
    assert audit[1]["after"]["came_to"]["ids"] == [first["id"]]


def test_over_the_network_recorded_calls_are_for_who_was_granted_them(station: Station, daemon: Daemon) -> None:
    with Client(store=station.store) as client:
        client.execute("A01", scratched(*SCRATCHES["r1"]))

    def token(name: str, *words: str) -> str:
        made = station.pvctl("token", "create", name, *words, "-o", "json")
        return str(json.loads(made.stdout)["token"])

    wall, kiosk = token("wall", "--role", "viewer"), token("kiosk", "--role", "operator")
    vision, boss = token("vision", "--role", "viewer", "--recordings"), token("chief", "--role", "admin")

    def rows() -> Any:
        status, page = daemon.get("/v1/recordings")  # as often as it likes: over the network it would be told 429
        assert status == 200
        return page["rows"]

    (row,) = eventually(rows, "the recording")
    one = f"/v1/recordings/{row['id']}"
    for path in ("/v1/recordings", one, f"{one}/page", f"{one}/picture", "/v1/recordings/export"):
        for who in (wall, kiosk):
            status, body = over_network(daemon, who, "GET", path)
            assert (status, json.loads(body)["error"]["code"]) == (403, 3002), path
        assert over_network(daemon, vision, "GET", path)[0] == 200, path
    page_shows(over_network(daemon, vision, "GET", f"{one}/page")[1].decode(), SCRATCHES["r1"])
    assert over_network(daemon, vision, "GET", "/v1/recordings/export")[1].startswith(b"PK")
    everything = json.dumps({"all": True}).encode()
    assert over_network(daemon, vision, "POST", "/v1/recordings/delete", everything)[0] == 403
    status, body = over_network(daemon, boss, "POST", "/v1/recordings/delete", everything)
    assert (status, json.loads(body)["deleted"]) == (200, 1)
    assert rows() == []
    audit = json.loads(station.pvctl("audit", "-o", "json", "-n", "100").stdout)
    exported = [each["actor"] for each in audit if each["action"] == "recordings.export"]
    assert set(exported) == {"token:vision"}, "and nothing of who was refused"
    assert {each["actor"] for each in audit if each["action"] == "recordings.delete"} == {"token:chief"}
