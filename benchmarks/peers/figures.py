"""From times of calls to the tables: quantiles of a round, medians over rounds, ratios against aims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.table import Row, median_ratio, milliseconds

SHAPES = {"640×480": (480, 640), "1920×1200": (1200, 1920)}
"""Sizes by name, as height and width."""
OURS, TRITON = "ours", "Triton"
CLIENT, ZERO_COPY, SHARED_MEMORY = "client", "client, zeroCopy", "system shared memory, gRPC"
_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a server, how the pictures come to it, their size, and whether one is picture and guide."""

    peer: str
    way: str
    size: str
    same: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two cases that are measured side by side; `aim` is the upper bound of ours by Triton's, None: it has none."""

    ours: Case
    triton: Case
    aim: float | None = None


def _comparison(way: str, size: str, aim: float | None = None, *, same: bool = False) -> Comparison:
    return Comparison(Case(OURS, way, size, same), Case(TRITON, SHARED_MEMORY, size, same), aim)


_SMALL, _LARGE = SHAPES
COMPARISONS = (
    _comparison(CLIENT, _SMALL, 1.0),
    _comparison(CLIENT, _LARGE, 1.0),
    _comparison(ZERO_COPY, _LARGE, 0.5),
    _comparison(ZERO_COPY, _SMALL),
    _comparison(CLIENT, _SMALL, same=True),
    _comparison(CLIENT, _LARGE, same=True),
    _comparison(ZERO_COPY, _LARGE, same=True),
)
"""The aims that name Triton, and what a station with one picture for both roles would see."""


@dataclass(slots=True)
class Figures:
    """All that a run measured."""

    rounds: dict[Case, dict[int, list[float]]] = field(default_factory=dict)
    """Seconds of each call, by case and number of the round."""
    processor: dict[Case, list[float]] = field(default_factory=dict)
    """Processor time of a call (s), of caller, server and worker together, one for each time that it was measured."""
    starts: dict[str, list[float]] = field(default_factory=dict)
    switches: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Why a server has no row, or not all of it."""
    unswitchable: dict[str, str] = field(default_factory=dict)
    pairs: dict[Comparison, list[tuple[float, float]]] = field(default_factory=dict)
    """Median calls (s) of ours and of Triton, measured one right after the other."""

    def add(self, case: Case, number: int, seconds: Sequence[float]) -> None:
        self.rounds.setdefault(case, {})[number] = list(seconds)

    def cost(self, case: Case) -> str:
        """Return the processor time of a call as text, in ms."""
        return _cost(self.processor.get(case, ()))

    def p50(self, case: Case) -> dict[int, float]:
        """Return the median call of each round that has the case."""
        return {number: median(seconds) for number, seconds in self.rounds.get(case, {}).items()}


def _cost(seconds: Sequence[float]) -> str:
    return f"{median(seconds) * 1000:.1f}" if seconds else "–"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def call_tables(figures: Figures) -> list[str]:
    """Return one table for each size, in Markdown: milliseconds, medians over the rounds and their range."""
    lines: list[str] = []
    for size in SHAPES:
        yardstick = figures.p50(Case(TRITON, SHARED_MEMORY, size))
        rows = [
            [
                "server",
                "pictures come by",
                "p50 (range)",
                "p95 (range)",
                "p99 (range)",
                "p50 / Triton's shared memory",
                "processor",
            ]
        ]
        rows += [
            [case.peer, _way(case), *_cells(rounds.values()), _ratio(figures.p50(case), yardstick), figures.cost(case)]
            for case, rounds in figures.rounds.items()
            if case.size == size
        ]
        lines += [f"**{size}**, ms:", "", *_markdown(rows), ""]
    return lines


def _way(case: Case) -> str:
    return f"{case.way}; one picture is both" if case.same else case.way


def _cells(rounds: Iterable[Sequence[float]]) -> list[str]:
    taken = list(rounds)
    cells = []
    for share in _QUANTILES:
        each = [quantile(seconds, share) * 1000 for seconds in taken]
        cells.append(f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})")
    return cells


def _ratio(ours: Mapping[int, float], bare: Mapping[int, float]) -> str:
    ratio = _paired(ours, bare)
    return "–" if ratio is None else f"{ratio:.2f}"


def _paired(ours: Mapping[int, float], bare: Mapping[int, float]) -> float | None:
    """Return the median of the ratios of the rounds that have both; None where there is none."""
    both = sorted(ours.keys() & bare.keys())
    return median_ratio([ours[number] for number in both], [bare[number] for number in both]) if both else None


def compared(figures: Figures) -> list[Row]:
    """Return the comparisons side by side: the medians, and the ratio as the median of the pairs' ratios."""
    rows = []
    for one in COMPARISONS:
        pairs = figures.pairs.get(one, [])
        what = f"{_way(one.ours)}, {one.ours.size} / {TRITON}, {_way(one.triton)}"
        if pairs:
            ours, triton = zip(*pairs, strict=True)
            rows.append(Row(what, milliseconds(ours), milliseconds(triton), median_ratio(ours, triton), one.aim))
        elif one.aim is not None:
            rows.append(Row(what, "not measured", "", None, one.aim))
    return rows


def comparison_table(figures: Figures) -> list[str]:
    """Return the comparisons in Markdown, each ratio with the middle half of the pairs' ratios."""
    lines = [["ours / Triton, side by side", "p50, ours / Triton", "ratio (middle half of the pairs)", "aim", ""]]
    halves = iter([figures.pairs[one] for one in COMPARISONS if figures.pairs.get(one)])
    for row in compared(figures):
        aim = "–" if row.aim is None else f"≤ {row.aim:g}"
        if row.ratio is None:
            lines.append([row.what, "–", "–", aim, "**not measured**"])
            continue
        ratios = [ours / triton for ours, triton in next(halves)]
        half = f"{quantile(ratios, 0.25):.2f}–{quantile(ratios, 0.75):.2f}"
        verdict = "" if row.aim is None else "met" if row.met else "**missed**"
        lines.append([row.what, f"{row.ours} / {row.bare}", f"{row.ratio:.2f} ({half})", aim, verdict])
    return _markdown(lines)


def switch_table(figures: Figures) -> list[str]:
    """Return what a change of version under load came to, in Markdown; and who has none."""
    rows = [["server", "calls lost", "longest gap (without a switch)", "asked to first answer of the new version"]]
    for peer in (each for each in figures.versions if each in figures.switches):  # in the order of the first round
        one = figures.switches[peer]
        lost = f"{one['failed']} of {one['failed'] + one['answered']}"
        gap = f"{_most(one['gaps'])} ({_most(one['quiet'])})"
        rows.append([peer, lost, gap, f"{milliseconds(one['ready'])} ({_spread(one['ready'])})"])
    cannot = [each for each in figures.versions if each in figures.unswitchable]
    rows += [[peer, "–", "–", f"cannot: {figures.unswitchable[peer]}"] for peer in cannot]
    return _markdown(rows)


def _most(seconds: Sequence[float]) -> str:
    return milliseconds(max(seconds))


def _spread(seconds: Sequence[float]) -> str:
    return f"{milliseconds(min(seconds))} – {milliseconds(max(seconds))}"


def server_table(figures: Figures) -> list[str]:
    """Return who was measured, from start to the first answer, and who was not and why, in Markdown."""
    rows = [["server", "releases", "start to ready (range)"]]
    for peer, releases in figures.versions.items():
        starts = figures.starts[peer]
        rows.append([peer, releases, f"{milliseconds(starts)} ({_spread(starts)})"])
    rows += [[peer, "**not measured, or not to the end**", why] for peer, why in figures.missing.items()]
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows, the first of which is the head, as a table that is read as text, too."""
    clean = [[cell.replace("|", "/").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in clean) for column in range(len(clean[0]))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in clean]
    return [lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]]
