"""Families about calls, from the data plane's counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from controller.calls.dispatch import Load
from controller.calls.series import Measured, Total
from controller.model.package import PackageRef
from controller.model.tally import Counted, LatencySketch, Tally, bin_of, middle_of
from controller.station.metrics.family import Buckets, Family, Row

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of the latency histogram, in seconds."""
_VERSION = ("deployment", "package", "version")

Counts = Iterable[tuple[Counted, str, Tally, Tally]]
"""A PID with a version, its deployment, its tally, and what of it an earlier life of the controller counted."""


def call_families(
    counts: Counts, totals: Sequence[tuple[Measured, Total]], turned_away: Mapping[tuple[str, str], int],
    deployments: Mapping[str, str],
) -> Iterator[Family]:  # fmt: skip
    """Yield what calls came to since the controller began. `deployments` says whose each PID is."""
    yield Family(
        "counter", "calls", "Calls that a version is judged by, by what they came to, since the controller began.",
        ("pid", *_VERSION, "outcome"), _outcomes(counts),
    )  # fmt: skip
    yield Family(
        "counter", "calls_turned_away", "Calls that are no sample of any version: refused, or their caller left.",
        ("pid", "deployment", "reason"),
        (((pid, deployments.get(pid, ""), reason), count) for (pid, reason), count in sorted(turned_away.items())),
    )  # fmt: skip
    yield Family(
        "histogram", "call_duration_seconds",
        "How long answered calls took, and those that timed out the time they were given; bounds are right to 4 %.",
        _VERSION, ((_labels(about), buckets_of(total.latency)) for about, total in totals),
    )  # fmt: skip
    yield Family(
        "counter", "process_failures", "Processes that ended by a fault of their own, by cause.", (*_VERSION, "cause"),
        (((*_labels(about), cause), total.counts[count])
         for about, total in totals for cause, count in _CAUSES.items()),
    )  # fmt: skip
    yield Family(
        "counter", "feedback", "Verdicts about which the truth was told afterwards, by what they turned out to be.",
        (*_VERSION, "counted"),
        (((*_labels(about), word), count) for about, total in totals for word, count in _reviewed(total.counts)),
    )  # fmt: skip


def load_families(loads: Iterable[tuple[str, PackageRef, Load]]) -> Iterator[Family]:
    """Yield how busy the processes are now."""
    rows = [((deployment, ref.name, ref.version), load) for deployment, ref, load in loads]
    meanings = {
        "calls_waiting": ("Calls that were accepted and wait for a process.", "waiting"),
        "calls_in_flight": ("Processes that work on a call, or on a ping.", "in_flight"),
        "processes_serving": ("Processes that take calls.", "serving"),
    }
    for name, (meaning, field) in meanings.items():
        yield Family("gauge", name, meaning, _VERSION, ((labels, getattr(load, field)) for labels, load in rows))


def _labels(about: Measured) -> tuple[str, str, str]:
    deployment, ref = about
    return deployment, ref.name, ref.version


def _outcomes(counts: Counts) -> Iterator[Row]:
    for (pid, ref), deployment, tally, before in counts:
        if tally == before:  # not called since: nobody asks for so many noughts
            continue
        for outcome, count in outcomes(tally, before):
            yield (pid, deployment, ref.name, ref.version, outcome), count


def outcomes(tally: Tally, before: Tally) -> Iterator[tuple[str, int]]:
    """Yield how many calls since `before` came to what. What is rare has no row until it happens."""
    now = {each.name: getattr(tally, each.name) - getattr(before, each.name) for each in _FIELDS}
    yield "ok", now["verdicts_ok"]
    yield "ng", now["verdicts_ng"]
    yield "error", now["errors"] - now["failures"]
    yield "failed", now["failures"]
    yield "timeout", now["timeouts"]
    if rest := now["calls"] - now["errors"] - now["timeouts"] - now["verdicts_ok"] - now["verdicts_ng"]:
        yield "no_verdict", rest
    if now["excused"]:
        yield "excused", now["excused"]


_CAUSES = {"crash": "crashes", "heartbeat": "heartbeat_losses", "memory": "memory_excesses"}
"""Why a process ended, and the count of it in a tally."""
_FIELDS = tuple(each for each in fields(Tally) if each.name != "latency")


def buckets_of(latency: LatencySketch) -> Buckets:
    """Return a sketch as a histogram: each of its bins, 4 % wide, counts where its upper edge is."""
    counts, edges = [0] * (len(BOUNDS) + 1), [bin_of(bound) for bound in BOUNDS]
    place, seconds = 0, 0.0
    for index, count in latency.bins:
        while place < len(edges) and index > edges[place]:
            place += 1
        counts[place] += count
        seconds += count * middle_of(index)
    return Buckets(BOUNDS, counts, seconds)


def _reviewed(counts: Counter[str]) -> Iterator[tuple[str, int]]:
    if counts["reviewed"]:
        yield "right", counts["reviewed"] - counts["escapes"] - counts["overkill"]
        yield "escape", counts["escapes"]
        yield "overkill", counts["overkill"]
