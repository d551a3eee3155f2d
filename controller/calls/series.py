"""What calls came to over time: lines for the last hours and totals, by deployment and version.

Fed once a second by how the tallies have changed, so a call pays nothing for it. Memory is bounded: a line has no more
points than `MOST_POINTS`, there are no more lines than `MOST_LINES`, and a version that nobody calls any more goes.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from controller.model.package import PackageRef
from controller.model.tally import Counted, LatencySketch, Tally

INTERVAL = 10
"""Seconds that a point stands for."""
MOST_POINTS = 720
"""Points that a line has at most: two hours."""
MOST_LINES = 200
"""Lines that are kept at most; a point costs 24 bytes, so all of them some four megabytes."""
_AT_ONCE = 400
"""Tallies that are looked at before the event loop has its turn again: a fraction of a millisecond."""
_CHANGED = 20
"""So many unchanged ones a changed one is worth."""
_NOTHING = Tally()
_COUNTS = tuple(each.name for each in fields(Tally) if each.name != "latency")

Measured = tuple[str, PackageRef]
"""What a line is about: a deployment (empty: the PID is nobody's) and a version."""
Point = tuple[int, int, int, int, float | None, float | None]
"""When (seconds since 1970), calls, errors, timeouts, and the latencies in ms that 50 and 95 % did not exceed."""


@dataclass(slots=True)
class Total:
    """Counts, by the names of a tally's fields, and latencies, added up."""

    counts: Counter[str] = field(default_factory=Counter)
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, counts: Mapping[str, int], bins: Mapping[int, int]) -> None:
        self.counts.update(counts)
        self.bins.update(bins)

    @property
    def latency(self) -> LatencySketch:
        return LatencySketch.counted(self.bins)


@dataclass(slots=True)
class _Line:
    """Totals since the controller's start, the bucket that is being filled, and the finished ones, as columns."""

    total: Total = field(default_factory=Total)
    bucket: Total = field(default_factory=Total)
    began: int = 0
    """When the bucket that is being filled began (seconds since 1970)."""
    columns: tuple[array[Any], ...] = field(default_factory=lambda: tuple(array(each) for each in "IIIIff"))

    def take(self, counts: Mapping[str, int], bins: Mapping[int, int]) -> None:
        """Add what came now."""
        self.total.add(counts, bins)
        self.bucket.add(counts, bins)

    def advance(self, began: int) -> None:
        """Close the bucket where another one is due."""
        if began == self.began:
            return
        if (point := self.unfinished()) is not None:
            for column, value in zip(self.columns, point, strict=True):
                column.append(math.nan if value is None else value)
        self.bucket, self.began = Total(), began
        future = sum(at >= began for at in self.columns[0])  # the clock was set back: what it says now is what counts
        for column in self.columns:
            del column[len(column) - future :]
            del column[: max(0, len(column) - MOST_POINTS)]

    def unfinished(self) -> Point | None:
        """Return the point of the bucket that is being filled; None without calls."""
        counts = self.bucket.counts
        if not counts["calls"]:
            return None
        latency = self.bucket.latency
        p50, p95 = (_milliseconds(latency.quantile(share)) for share in (0.5, 0.95))
        return self.began, counts["calls"], counts["errors"], counts["timeouts"], p50, p95

    def points(self, since: float) -> list[Point]:
        """Return the points since a moment (seconds since 1970), oldest first; a bucket without calls has none."""
        found: list[Point] = [
            (at, calls, errors, timeouts, _known(p50), _known(p95))
            for at, calls, errors, timeouts, p50, p95 in zip(*self.columns, strict=True)
            if at + INTERVAL > since
        ]
        last = self.unfinished()
        return found if last is None else [*found, last]

    @property
    def last_call(self) -> int:
        """When the bucket with its latest calls began; 0 without any."""
        return self.began if self.bucket.counts["calls"] else next(iter(self.columns[0][-1:]), 0)


class CallSeries:
    """The lines of one controller's life.

    `deployments` says whose each PID is; `left_out` counts versions of which
    there are no lines for want of room.
    """

    def __init__(self) -> None:
        self._lines: dict[Measured, _Line] = {}
        self.deployments: Mapping[str, str] = {}
        self._seen: dict[Counted, Tally] = {}
        self._before: dict[Counted, Tally] = {}
        self._began = 0
        self.left_out = 0

    def configure(self, deployments: Mapping[str, str]) -> None:
        """Take which deployment each PID belongs to from now on."""
        self.deployments = deployments

    def begin(self, tallies: Mapping[Counted, Tally]) -> None:
        """Take the tallies of an earlier life: they are counted already."""
        self._seen, self._before = dict(tallies), dict(tallies)

    async def take(self, tallies: Mapping[Counted, Tally], epoch: float) -> None:
        """Take the tallies as of now (seconds since 1970). Where many have changed, calls have their turn meanwhile."""
        began = int(epoch) // INTERVAL * INTERVAL
        for key in self._seen.keys() - tallies.keys():
            del self._seen[key]
            self._before.pop(key, None)
        if began != self._began:
            self._began = began
            for line in self._lines.values():
                line.advance(began)
            self._forget_old(began)
        effort = 0
        for key, tally in tallies.items():
            known, effort = self._seen.get(key), effort + 1
            if tally is not known:
                self._take(key, tally, known)
                self._seen[key] = tally  # one by one: to free all former ones at once takes two milliseconds
                effort += _CHANGED
            if effort > _AT_ONCE:
                effort = 0
                await asyncio.sleep(0)
        self._forget_many()

    def _take(self, key: Counted, tally: Tally, known: Tally | None) -> None:
        pid, ref = key
        if known is not None and _began_anew(tally, known):
            self._before.pop(key, None)
            known = None
        about = (self.deployments.get(pid, ""), ref)
        line = self._lines.get(about)
        if line is None:
            line = self._lines[about] = _Line(began=self._began)
        line.take(*_since(tally, known or _NOTHING))

    def _forget_old(self, now: int) -> None:
        """Drop lines of versions that are counted no more and that nobody called for so long."""
        counted = {(self.deployments.get(pid, ""), ref) for pid, ref in self._seen}
        over = now - MOST_POINTS * INTERVAL
        for key in [key for key, line in self._lines.items() if line.last_call < over and key not in counted]:
            del self._lines[key]

    def _forget_many(self) -> None:
        """Drop the lines for which there is no room, those first that nobody called for longest."""
        if (many := len(self._lines) - MOST_LINES) > 0:
            self.left_out += many
            for key in sorted(self._lines, key=lambda each: self._lines[each].last_call)[:many]:
                del self._lines[key]

    def of(self, deployment: str, since: float) -> dict[PackageRef, list[Point]]:
        """Return the points of each version of a deployment that was called since a moment (seconds since 1970)."""
        own = ((ref, line.points(since)) for (name, ref), line in self._lines.items() if name == deployment)
        return {ref: points for ref, points in own if points}

    def counts(self) -> Iterator[tuple[Counted, str, Tally, Tally]]:
        """Yield a PID with a version, its deployment, its tally, and what of it an earlier life counted."""
        for key, tally in list(self._seen.items()):
            yield key, self.deployments.get(key[0], ""), tally, self._before.get(key, _NOTHING)

    def totals(self) -> list[tuple[Measured, Total]]:
        """Return what calls came to since this controller began, by deployment and version. They go on counting."""
        return [(key, line.total) for key, line in self._lines.items()]


def _began_anew(tally: Tally, before: Tally) -> bool:
    """Whether a tally is no later state of another one: the counts were forgotten meanwhile."""
    return any(getattr(tally, name) < getattr(before, name) for name in _COUNTS)


def _since(tally: Tally, before: Tally) -> tuple[dict[str, int], dict[int, int]]:
    """Return what came since an earlier state of a tally."""
    known = dict(before.latency.bins)
    counts = {name: more for name in _COUNTS if (more := getattr(tally, name) - getattr(before, name))}
    bins = {index: more for index, count in tally.latency.bins if (more := count - known.get(index, 0)) > 0}
    return counts, bins


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
