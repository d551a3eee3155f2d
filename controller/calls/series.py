"""What calls came to over time: lines for the last hours, by deployment and version.

Fed once a second by how the tallies have changed, so a call pays nothing for it. Memory is bounded: a line has no more
points than `MOST_POINTS`, there are no more lines than `MOST_LINES`, and a version that nobody calls any more goes.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections import Counter
from collections.abc import Mapping
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
_AT_ONCE = 20
"""Changed tallies that are taken before the event loop has its turn again: a fraction of a millisecond."""
_COUNTS = tuple(each.name for each in fields(Tally) if each.name != "latency")

Measured = tuple[str, PackageRef]
"""What a line is about: a deployment (empty: the PID is nobody's) and a version."""
Point = tuple[int, int, int, int, float | None, float | None]
"""When (seconds since 1970), calls, errors, timeouts, and the latencies in ms that 50 and 95 % did not exceed."""


@dataclass(slots=True)
class _Sum:
    """Counts and latencies that are added up."""

    counts: Counter[str] = field(default_factory=Counter)
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, counts: Mapping[str, int], bins: Mapping[int, int]) -> None:
        self.counts.update(counts)
        self.bins.update(bins)


@dataclass(slots=True)
class _Line:
    """The bucket that is being filled, and the finished ones, as columns."""

    bucket: _Sum = field(default_factory=_Sum)
    began: int = 0
    """When the bucket that is being filled began (seconds since 1970)."""
    columns: tuple[array[Any], ...] = field(default_factory=lambda: tuple(array(each) for each in "IIIIff"))

    def take(self, counts: Mapping[str, int], bins: Mapping[int, int]) -> None:
        """Add what came now."""
        self.bucket.add(counts, bins)

    def advance(self, began: int) -> None:
        """Close the bucket where another one is due."""
        if began == self.began:
            return
        if (point := self.unfinished()) is not None:
            for column, value in zip(self.columns, point, strict=True):
                column.append(math.nan if value is None else value)
        self.bucket, self.began = _Sum(), began
        future = sum(at >= began for at in self.columns[0])  # the clock was set back: what it says now is what counts
        for column in self.columns:
            del column[len(column) - future :]
            del column[: max(0, len(column) - MOST_POINTS)]

    def unfinished(self) -> Point | None:
        """Return the point of the bucket that is being filled; None without calls."""
        counts = self.bucket.counts
        if not counts["calls"]:
            return None
        latency = LatencySketch.counted(self.bucket.bins)
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
    """The lines of one controller's life."""

    def __init__(self) -> None:
        self._lines: dict[Measured, _Line] = {}
        self._deployments: Mapping[str, str] = {}
        self._seen: Mapping[Counted, Tally] = {}

    def configure(self, deployments: Mapping[str, str]) -> None:
        """Take which deployment each PID belongs to from now on."""
        self._deployments = deployments

    def begin(self, tallies: Mapping[Counted, Tally]) -> None:
        """Take the tallies of an earlier life: they are counted already."""
        self._seen = dict(tallies)

    async def take(self, tallies: Mapping[Counted, Tally], epoch: float) -> None:
        """Take the tallies as of now (seconds since 1970). Where many have changed, calls have their turn meanwhile."""
        began, before = int(epoch) // INTERVAL * INTERVAL, self._seen
        self._seen = tallies
        for line in self._lines.values():
            line.advance(began)
        changed = [(key, tally) for key, tally in tallies.items() if tally is not before.get(key)]
        for number, (key, tally) in enumerate(changed, 1):
            pid, ref = key
            self._line((self._deployments.get(pid, ""), ref), began).take(*_since(tally, before.get(key)))
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
        self._forget(began)

    def _line(self, key: Measured, began: int) -> _Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(began=began)
        return line

    def _forget(self, now: int) -> None:
        """Drop lines of versions that are counted no more and that nobody called for so long; and too many of them."""
        counted = {(self._deployments.get(pid, ""), ref) for pid, ref in self._seen}
        over = now - MOST_POINTS * INTERVAL
        for key in [key for key, line in self._lines.items() if line.last_call < over and key not in counted]:
            del self._lines[key]
        if (many := len(self._lines) - MOST_LINES) > 0:
            for key in sorted(self._lines, key=lambda each: self._lines[each].last_call)[:many]:
                del self._lines[key]

    def of(self, deployment: str, since: float) -> dict[PackageRef, list[Point]]:
        """Return the points of each version of a deployment that was called since a moment (seconds since 1970)."""
        own = ((ref, line.points(since)) for (name, ref), line in self._lines.items() if name == deployment)
        return {ref: points for ref, points in own if points}


def _since(tally: Tally, before: Tally | None) -> tuple[dict[str, int], dict[int, int]]:
    """Return what came since an earlier tally; everything where that is none of the same counts (they began anew)."""
    if before is None or any(getattr(tally, name) < getattr(before, name) for name in _COUNTS):
        before = Tally()
    known = dict(before.latency.bins)
    counts = {name: more for name in _COUNTS if (more := getattr(tally, name) - getattr(before, name))}
    bins = {index: more for index, count in tally.latency.bins if (more := count - known.get(index, 0)) > 0}
    return counts, bins


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
