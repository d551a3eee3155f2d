"""The last parts and their pictures, of a real daemon and real packages of both generations."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from controller.client import Client
from controller.client.answers import Detection
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.roomy import with_room
from tests.waiting import eventually

pytestmark = pytest.mark.real
GREY_IS_X = Algorithm(
    """
rect = {"x": int(image[0, 0, 0]), "y": 1, "width": 30, "height": 20, "label": "scratch", "score": 0.5}
time.sleep(0.02)
return {"status": "OK", "data": {"result_status": "NG", "ng_reason": "grey", "defect_rects": [rect, "two scratches"]}}
"""
)
"""Says what it saw: so a picture, its verdict and its request can be held against each other."""
PIDS = {"A01": "0.0", "B01": "0.3"}


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    daemon = Daemon(station)
    daemon.confined = with_room
    for pid, generation in PIDS.items():
        name = f"screws-{generation[-1]}"
        build_package(station.zips, name=name, generation=generation, source=GREY_IS_X, supported_pids=[pid])
        station.desire(name, name, "1.0.0", [pid])
    daemon.start()
    for pid in PIDS:
        daemon.until_active(pid, "1.0.0")
    yield daemon
    daemon.leave_nothing()


def parts(daemon: Daemon) -> dict[str, Any]:
    status, rows = daemon.get("/v1/parts")
    assert status == 200
    return {row["pid"]: row for row in rows}


def grey_of(content: bytes) -> set[int]:
    """Return the greys of a picture in steps of ten: one, where it is whole and of one part."""
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (960, 600)
        return set(np.unique(np.round(np.asarray(image) / 10).astype(int) * 10).tolist())


def reducers(daemon: Daemon) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(daemon.os_pid).children():
        with suppress(psutil.NoSuchProcess):
            if "controller.images.reducer" in child.cmdline():
                found.append(child)
    return found


def see_pictures(daemon: Daemon, client: Client, pid: str, wanted: int) -> Detection:
    """Call back to back, always with another picture, until so many were seen, each that of its request."""
    greys: dict[str, int] = {}
    seen: set[str] = set()
    for number in itertools.count():
        grey = number % 24 * 10 + 10
        answer = client.execute(pid, np.full((600, 960, 3), grey, np.uint8))
        assert answer.data["defect_rects"][0]["x"] == grey
        greys[answer.request_id] = grey
        status, headers, content = daemon.fetch(f"/v1/pids/{pid}/picture")
        if status == 200:
            request_id = headers["etag"].strip('"')
            assert grey_of(content) == {greys[request_id]}
            seen.add(request_id)
        if len(seen) >= wanted:
            return answer
    raise AssertionError


def test_every_picture_is_that_of_its_verdict(station: Station, daemon: Daemon) -> None:
    assert parts(daemon) == {}
    assert station.json("parts") == []
    with Client(store=station.store) as client:
        for pid in PIDS:
            last = see_pictures(daemon, client, pid, 2)
            row = parts(daemon)[pid]
            assert (row["request_id"], row["verdict"], row["message"]) == (last.request_id, "NG", "grey")
            assert (row["defects_malformed"], row["name"], row["latency_ms"]) == (1, last.name, last.latency_ms)
            assert row["defects"] == [last.data["defect_rects"][0]]

        def pictured() -> Any:
            """A call now and then, as on a line: then the last part has a picture."""
            answer = client.execute("B01", np.full((600, 960, 3), 50, np.uint8))
            return eventually(lambda: parts(daemon)["B01"]["picture"], "a picture", 1.5) and answer

        answer = None
        while answer is None:
            with suppress(AssertionError):
                answer = pictured()
    row = parts(daemon)["B01"]
    assert row["picture"] == {"width": 960, "height": 600, "etag": f'"{answer.request_id}"'}
    file = station.root / "part.jpg"
    assert station.json("parts", "B01", "--picture", file) == [row]
    assert grey_of(file.read_bytes()) == {50}
    target = f"/v1/pids/B01/picture?request_id={answer.request_id}"
    assert daemon.fetch(target, **{"If-None-Match": row["picture"]["etag"]})[0] == 304
    assert daemon.fetch("/v1/pids/B01/picture?request_id=another")[0] == 410
    assert daemon.fetch("/v1/pids/Z99/picture")[0] == 404
    (reducer,) = reducers(daemon)

    station.order(page={"pictures": "off"})
    eventually(lambda: parts(daemon)["B01"]["picture"] is None, "no picture")
    assert daemon.fetch(target)[0] == 404
    eventually(lambda: not reducer.is_running(), "the end of what made the pictures")

    station.order(page={"pictures": "on"})
    eventually(lambda: parts(daemon) and reducers(daemon), "what makes pictures")
    (reducer,) = reducers(daemon)
    images = {path.name for path in (station.store / "run" / "images").iterdir()}
    assert not [name for name in images if not name.endswith((".image.npy", ".guide.npy"))]
    daemon.kill()
    eventually(lambda: not reducer.is_running(), "the end of what made the pictures")
    daemon.start()
    assert parts(daemon) == {}
    assert daemon.fetch(target)[0] == 404
