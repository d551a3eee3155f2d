"""What every benchmark returns, and how it is printed: one row for each comparison with a bare mechanism."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `ours` and `bare` are texts with units; `ratio` is ours by bare.

    `aim` is the ratio's upper bound, its lower one with `at_least`.
    """

    what: str
    ours: str
    bare: str
    ratio: float | None = None
    aim: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.ratio is None or self.aim is None:
            return True
        return self.ratio >= self.aim if self.at_least else self.ratio <= self.aim


def median_ratio(ours: Sequence[float], bare: Sequence[float]) -> float:
    """Return the median of the ratios of paired rounds: what disturbs the machine disturbs both of a pair."""
    return median(ours[index] / bare[index] for index in range(len(ours)))


def milliseconds(seconds: Sequence[float] | float) -> str:
    """Return a duration, or the median of several, as text."""
    value = seconds if isinstance(seconds, float | int) else median(seconds)
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.3g} ms"


def megabytes(size: float) -> str:
    """Return a size in bytes as text."""
    return f"{size / 1e6:.1f} MB"


def print_table(rows: Iterable[Row]) -> bool:
    """Print rows as aligned columns; return whether every aim was met."""
    lines = [("what", "ours", "bare", "ratio", "aim", "")]
    met = True
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        aim = "" if row.aim is None else f"{'≥' if row.at_least else '≤'} {row.aim:g}"
        verdict = "" if row.aim is None else "met" if row.met else "MISSED"
        lines.append((row.what, row.ours, row.bare, ratio, aim, verdict))
        met = met and row.met
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    return met
