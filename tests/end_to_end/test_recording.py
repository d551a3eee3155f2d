"""Recording on a real station: what was seen is there, whatever is killed, deleted or full in the middle of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from controller.client import Client
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

pytestmark = pytest.mark.real

INSPECTION = Algorithm(body="return ng('scratched') if image[0, 0, 0] else ok()")
KEEP = 8
RECORDING = {"keep": KEEP, "only": ["NG", "ERROR"]}


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """Yield the daemon of a station that records what is NG; A02 has the station's default."""
    build_package(station.zips, name="screw", version="1.0.0", source=INSPECTION, supported_pids=["A01", "A02"])
    station.order(defaults={"recording": {"keep": 2}})
    station.desire("screws", "screw", "1.0.0", ["A01"], recording=RECORDING)
    station.desire("others", "screw", "1.0.0", ["A02"])
    daemon = Daemon(station)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    yield daemon
    daemon.leave_nothing()


def part(number: int) -> np.ndarray:
    """Return the picture of a part; it is NG where the number is not 0."""
    return np.full((48, 64, 3), number, np.uint8)


def layout_of(station: Station) -> StoreLayout:
    return StoreLayout.at(station.store)


def recorded(station: Station, pid: str = "A01") -> list[RecordedCall]:
    return list(StoreRecordings(layout_of(station)).calls(RecordingFilter(pids=frozenset({pid}))))


def numbers(station: Station, pid: str = "A01") -> list[int]:
    """Return which parts are recorded, the newest first; every picture is whole, and of one part."""
    found = []
    for call in recorded(station, pid):
        pictures = StoreRecordings(layout_of(station)).pictures(call)
        if pictures is None:  # it was the oldest, and gave way meanwhile
            assert not (layout_of(station).recordings / pid / f"{call.id}.call").exists()
            continue
        (number,) = set(pictures.image.pixels)
        found.append(number)
    return found


def make(station: Station, *parts: int, pid: str = "A01") -> None:
    """Have parts looked at; the verdict on each is the one that is due."""
    with Client(store=station.store) as client:
        for number in parts:
            assert client.execute(pid, part(number)).data["result_status"] == ("NG" if number else "OK")


def make_recorded(station: Station, number: int, pid: str = "A01") -> None:
    """Have parts of that number looked at until one is recorded: who is behind drops."""

    def again() -> bool:
        make(station, number, pid=pid)
        return number in numbers(station, pid)

    eventually(again, f"a recording of part {number}")


def writer_of(daemon: Daemon) -> psutil.Process | None:
    children = psutil.Process(daemon.os_pid).children()
    return next((each for each in children if "controller.recordings.writer" in each.cmdline()), None)


def within_bounds(station: Station) -> bool:
    files = [path for path in (layout_of(station).recordings / "A01").iterdir() if path.suffix == ".call"]
    return len(files) <= KEEP and len(recorded(station)) <= KEEP


def test_what_is_ng_is_recorded_and_kills_and_a_deleted_index_lose_no_call_and_break_no_bound(
    station: Station, daemon: Daemon
) -> None:
    for number in range(1, KEEP + 4):
        make_recorded(station, number)
        make(station, 0)
    make_recorded(station, 200, pid="A02")  # by the station's default
    eventually(lambda: within_bounds(station), "bounds")
    newest = KEEP + 3
    assert set(numbers(station)) <= set(range(1, newest + 1))

    layout_of(station).recordings_index.unlink()
    make_recorded(station, 101)
    assert layout_of(station).recordings_index.exists()
    eventually(lambda: within_bounds(station), "bounds with a new index")

    writer = eventually(lambda: writer_of(daemon), "a writer")
    make(station, 102, 103)
    writer.send_signal(signal.SIGKILL)
    make(station, *range(104, 110))
    make(station, 120)
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.start()
    make_recorded(station, 130)
    eventually(lambda: within_bounds(station), "bounds after kills")
    folder = layout_of(station).recordings / "A01"
    eventually(lambda: {path.suffix for path in folder.iterdir()} == {".call"}, "no half file")
    assert 1 <= len(numbers(station, "A02")) <= 2
    assert set(numbers(station, "A02")) == {200}


def test_a_writer_that_hangs_delays_no_call(station: Station, daemon: Daemon) -> None:
    make_recorded(station, 1)
    writer = eventually(lambda: writer_of(daemon), "a writer")
    writer.suspend()
    try:
        make(station, *range(2, 60))
    finally:
        writer.resume()
    make_recorded(station, 100)
    said = station.pvctl("metrics").stdout
    assert 'procvision_calls_not_recorded_total{reason="behind"}' in said
