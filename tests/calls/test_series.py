"""Lines and totals of calls, from tallies as the data plane counts them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from controller.calls.series import INTERVAL, MOST_LINES, MOST_POINTS, CallSeries
from controller.model.package import PackageRef
from controller.model.tally import Counted, Kind, Recorder, Tally

OLD, NEW = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
NOW = 1_700_000_000


class Line:
    """Recorders of a station, and the series that is fed with their tallies."""

    def __init__(self) -> None:
        self.series = CallSeries()
        self.series.configure({"A01": "screws", "A02": "screws", "B01": "bolts"})
        self.recorders: dict[Counted, Recorder] = {}

    def call(self, pid: str, ref: PackageRef, kinds: Iterable[Kind], seconds: float = 0.01) -> None:
        recorder = self.recorders.setdefault((pid, ref), Recorder())
        for kind in kinds:
            recorder.record(kind, seconds)

    async def count(self, at: float) -> None:
        await self.series.take({key: each.tally for key, each in self.recorders.items()}, at)


async def test_an_interval_pools_the_pids_of_a_version_and_closes_when_the_next_begins() -> None:
    line = Line()
    line.call("A01", OLD, [Kind.ok, Kind.ng, Kind.error])
    await line.count(NOW + 1)
    line.call("A02", OLD, [Kind.timeout, Kind.answered], seconds=0.05)
    line.call("A02", NEW, [Kind.ok])
    line.call("B01", OLD, [Kind.ok])
    await line.count(NOW + 2)
    await line.count(NOW + INTERVAL)
    line.call("A01", OLD, [Kind.error])
    await line.count(NOW + INTERVAL + 1)

    found = line.series.of("screws", NOW)

    first, second = found[OLD]
    assert first[:4] == (NOW, 5, 1, 1)
    assert first[4:] == (pytest.approx(10, rel=0.05), pytest.approx(50, rel=0.05))
    assert second == (NOW + INTERVAL, 1, 1, 0, None, None)  # an error leaves no latency
    assert [point[:4] for point in found[NEW]] == [(NOW, 1, 0, 0)]
    assert line.series.of("screws", NOW + INTERVAL) == {OLD: [second]}
    assert line.series.of("nobody", NOW) == {}


async def test_what_an_earlier_life_counted_is_in_no_interval_and_what_began_anew_is() -> None:
    line = Line()
    line.call("A01", OLD, [Kind.ok] * 5)
    line.series.begin({key: each.tally for key, each in line.recorders.items()})
    line.call("A01", OLD, [Kind.ok] * 2)
    await line.count(NOW)
    line.recorders.clear()  # the counts are forgotten, and the version comes back
    line.call("A01", OLD, [Kind.ok])
    await line.count(NOW + 1)

    assert [point[1] for point in line.series.of("screws", NOW)[OLD]] == [3]
    assert {ref: total.counts["calls"] for (_, ref), total in line.series.totals()} == {OLD: 3}


async def test_totals_never_go_down_when_a_pid_is_forgotten() -> None:
    line = Line()
    line.call("A01", OLD, [Kind.ok] * 3)
    line.call("A02", OLD, [Kind.error])
    await line.count(NOW)
    del line.recorders["A01", OLD]
    await line.count(NOW + 1)

    ((_, total),) = line.series.totals()
    assert (total.counts["calls"], total.counts["errors"], total.latency.samples) == (4, 1, 3)
    (((pid, ref), deployment, tally, before),) = line.series.counts()
    assert (pid, ref, deployment, tally.errors, before) == ("A02", OLD, "screws", 1, Tally())


async def test_counts_of_an_earlier_life_are_told_apart_until_they_begin_anew() -> None:
    line = Line()
    line.call("A01", OLD, [Kind.ok] * 5)
    line.series.begin({key: each.tally for key, each in line.recorders.items()})
    line.call("A01", OLD, [Kind.ok])
    await line.count(NOW)
    assert [(tally.calls, before.calls) for _, _, tally, before in line.series.counts()] == [(6, 5)]
    line.recorders.clear()
    line.call("A01", OLD, [Kind.ok])
    await line.count(NOW + 1)
    assert [(tally.calls, before.calls) for _, _, tally, before in line.series.counts()] == [(1, 0)]


async def test_memory_is_bounded_by_points_and_by_lines_and_an_old_version_goes() -> None:
    line = Line()
    for number in range(MOST_POINTS + 5):
        line.call("A01", OLD, [Kind.ok])
        await line.count(NOW + number * INTERVAL)
    now = NOW + (MOST_POINTS + 5) * INTERVAL
    points = line.series.of("screws", 0)[OLD]
    assert (len(points), points[0][0]) == (MOST_POINTS + 1, NOW + 4 * INTERVAL)

    for number in range(MOST_LINES + 3):
        line.call("B01", PackageRef("bolt", f"1.{number}.0"), [Kind.ok])
    await line.count(now)
    assert (len(line.series.totals()), line.series.left_out) == (MOST_LINES, 4)
    assert line.series.of("screws", 0) == {}, "the one whose last call is the longest ago goes first"

    line.recorders.clear()
    await line.count(now + (MOST_POINTS + 2) * INTERVAL)
    assert line.series.totals() == []


async def test_a_clock_that_is_set_back_takes_no_point_of_the_future_along() -> None:
    line = Line()
    for at in (NOW, NOW + INTERVAL, NOW - 3600):
        line.call("A01", OLD, [Kind.ok])
        await line.count(at)

    assert [point[0] for point in line.series.of("screws", 0)[OLD]] == [NOW - 3600]


async def test_calls_have_their_turn_while_very_many_tallies_are_taken() -> None:
    line = Line()
    for number in range(500):
        line.call(f"P{number}", OLD, [Kind.ok])
    taking = line.count(NOW)
    turns = 0
    coroutine = taking.__await__()
    try:
        while True:
            cast("object", next(coroutine))
            turns += 1
    except StopIteration:
        pass

    assert turns >= 500 // 20
