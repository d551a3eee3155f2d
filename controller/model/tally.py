"""What calls on one (PID, version) came to: counts and a bounded latency sketch, as values that add and subtract.

Only what the version did is counted. A tally says nothing about limits; `rollouts/analysis/` judges it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Literal, Self

from controller.errors import Code
from controller.model.package import PackageRef

Counted = tuple[str, PackageRef]
"""What calls are counted by: a PID and the version that answered it."""


PartVerdict = Literal["OK", "NG"]
"""What is said, or true, of a part."""


class Kind(Enum):
    """What one call came to, for the version's health."""

    ok = "ok"
    ng = "ng"
    answered = "answered"  # a result that is neither OK nor NG about the part
    error = "error"
    timeout = "timeout"
    ignored = "ignored"  # not the version's doing: counts for nothing, not even as a call


_IGNORED = frozenset(
    {
        Code.invalid_pid,
        Code.image_load_failed,
        Code.invalid_params,
        Code.shared_memory_not_found,  # refused before the process saw it: the host application named no such image
        Code.busy,
        Code.no_active_version,
    }
)


def classify(code: int) -> Kind:
    """Return what a call that failed with an error code of the contract (design section 3.5) counts as.

    Package codes (2xxx) are no calls and count for nothing; a code that nobody knows counts as an error.
    """
    if code in _IGNORED or 2000 <= code < 3000:
        return Kind.ignored
    return Kind.timeout if code == Code.timeout else Kind.error


def classify_result(status: str, result_status: object = None) -> Kind:
    """Return what a result frame counts as, by its `status` and its `data.result_status`."""
    if status != "OK":
        return Kind.error
    return {"OK": Kind.ok, "NG": Kind.ng}.get(str(result_status), Kind.answered)


ACCURACY = 0.02
SHORTEST, LONGEST = 1e-4, 3600.0
_LOG_GAMMA = math.log((1 + ACCURACY) / (1 - ACCURACY))


def bin_of(seconds: float) -> int:
    """Return the bin of a latency: ceil(log_gamma x), gamma = (1 + a) / (1 - a).

    Source: Masson, Rim, Lee, DDSketch, PVLDB 12(12), 2019, section 2.1. Latencies are cut to 0.1 ms … 1 h, which
    bounds a sketch to 436 bins.
    """
    return math.ceil(math.log(min(max(seconds, SHORTEST), LONGEST)) / _LOG_GAMMA)


def middle_of(index: int) -> float:
    """The value within `ACCURACY` of everything in a bin: 2 gamma^i / (gamma + 1)."""
    return 2 * math.exp(index * _LOG_GAMMA) / (math.exp(_LOG_GAMMA) + 1)


@dataclass(frozen=True, slots=True)
class LatencySketch:
    """How many calls took how long, in bins 4 % wide: quantiles are right to 2 %. Bins are sorted and never empty."""

    bins: tuple[tuple[int, int], ...] = ()

    @classmethod
    def counted(cls, counts: Counter[int]) -> Self:
        """Return the sketch with those counts per bin. Raises ValueError on a negative one."""
        if any(count < 0 for count in counts.values()):
            raise ValueError("cannot subtract a latency sketch that is not an earlier state of the same one")
        return cls(tuple(sorted((index, count) for index, count in counts.items() if count)))

    @property
    def samples(self) -> int:
        return sum(count for _, count in self.bins)

    def quantile(self, share: float) -> float | None:
        """Return the latency (seconds) that `share` of the calls (0–1) do not exceed; None without calls."""
        rank, below = share * (self.samples - 1), 0
        for index, count in self.bins:
            below += count
            if below > rank:
                return middle_of(index)
        return None

    def slower_than(self, seconds: float) -> int:
        """Return how many calls took longer. One in the same bin (at most 4 % longer) does not count."""
        edge = bin_of(seconds)
        return sum(count for index, count in self.bins if index > edge)

    def __add__(self, other: LatencySketch) -> LatencySketch:
        return LatencySketch.counted(Counter(dict(self.bins)) + Counter(dict(other.bins)))

    def __sub__(self, earlier: LatencySketch) -> LatencySketch:
        counts = Counter(dict(self.bins))
        counts.subtract(dict(earlier.bins))
        return LatencySketch.counted(counts)


@dataclass(frozen=True, slots=True)
class Tally:
    """What happened on one (PID, version) since a moment, or on several together.

    `calls` are those that count: `errors` (ERROR results, exceptions, a process that died or spoke garbage),
    `timeouts`, `verdicts_ok`, `verdicts_ng`, and results without a verdict. `latency` holds the answered ones, and
    those that timed out at the time they were given; an error leaves no latency, or quick failures would make a slow
    version look fast. `reviewed` are the verdicts about which the truth was told afterwards: `escapes` said OK about a
    part that was NG, `overkill` said NG about a part that was OK. `excused` calls failed on the stable version as well:
    they are in no other count. `failures` are the errors without a result: an exception, a process that died or spoke
    garbage.
    """

    calls: int = 0
    errors: int = 0
    timeouts: int = 0
    verdicts_ok: int = 0
    verdicts_ng: int = 0
    crashes: int = 0
    heartbeat_losses: int = 0
    memory_excesses: int = 0
    latency: LatencySketch = LatencySketch()
    reviewed: int = 0
    escapes: int = 0
    overkill: int = 0
    excused: int = 0
    failures: int = 0

    @property
    def answered(self) -> int:
        """Calls that ended with a result of the version: it works, whatever it said about the part."""
        return self.calls - self.errors - self.timeouts

    @property
    def verdicts(self) -> int:
        return self.verdicts_ok + self.verdicts_ng

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Tally)})

    def __sub__(self, earlier: Tally) -> Tally:
        """Return what came since `earlier`. Raises ValueError if that is not an earlier state of the same tally."""
        since = Tally(**{each.name: getattr(self, each.name) - getattr(earlier, each.name) for each in fields(Tally)})
        if any(getattr(since, each.name) < 0 for each in fields(Tally) if each.name != "latency"):
            raise ValueError("cannot subtract a tally that is not an earlier state of the same one")
        return since


def pooled(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies, such as of all PIDs on one version."""
    return sum(tallies, Tally())


class Recorder:
    """Counts as calls end, in a microsecond each; `tally` is the value of it. The one thing here that changes."""

    def __init__(self, before: Tally | None = None) -> None:
        before = before or Tally()
        self._counts = Counter({each.name: getattr(before, each.name) for each in fields(Tally)})
        del self._counts["latency"]
        self._bins = Counter(dict(before.latency.bins))
        self._value: Tally | None = None

    def record(self, kind: Kind, seconds: float) -> None:
        """Count one call that took `seconds`; for a timeout, the time that it was given."""
        if kind is Kind.ignored:
            return
        self._value = None
        self._counts["calls"] += 1
        if (field := _FIELDS.get(kind)) is not None:
            self._counts[field] += 1
        if kind is not Kind.error:
            self._bins[bin_of(seconds)] += 1

    def crashed(self) -> None:
        """Count a process that ended by itself. The call that it was in, if any, is recorded on its own."""
        self._add("crashes")

    def heartbeat_lost(self) -> None:
        """Count a process that missed `heartbeat.maxMissed` pongs in a row."""
        self._add("heartbeat_losses")

    def memory_exceeded(self) -> None:
        """Count a process that was ended because it used more memory than its limit."""
        self._add("memory_excesses")

    def reviewed(self, verdict: PartVerdict, truth: PartVerdict) -> None:
        """Count the truth about a part, told after the verdict on it."""
        self._add("reviewed")
        if verdict != truth:
            self._add("overkill" if truth == "OK" else "escapes")

    def failed(self) -> None:
        """Count that the error which was recorded last left no result."""
        self._add("failures")

    def excused(self) -> None:
        """Count a call that failed, and on the stable version too."""
        self._add("excused")

    def _add(self, count: str) -> None:
        self._value = None
        self._counts[count] += 1

    @property
    def tally(self) -> Tally:
        """The counts so far; the same object for as long as nothing was counted: who was not called costs nothing."""
        if self._value is None:
            self._value = Tally(**self._counts, latency=LatencySketch.counted(self._bins))
        return self._value


_FIELDS = {Kind.ok: "verdicts_ok", Kind.ng: "verdicts_ng", Kind.error: "errors", Kind.timeout: "timeouts"}
