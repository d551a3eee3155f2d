"""A family of metrics as a value: its name, what it means, its labels, and the rows that make its samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram", "stateset", "info"]
PREFIX = "procvision_"


class Buckets(NamedTuple):
    """The value of a histogram's row: how many took no longer than each bound (seconds; the last is without one)."""

    bounds: Sequence[float]
    counts: Sequence[int]
    seconds: float


Value = float | Buckets | Mapping[str, bool] | Mapping[str, str]
"""What a row has: a number; a histogram's buckets; the states of a state set; what an info says."""
Row = tuple[tuple[str, ...], Value]


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `rows` are the values of its labels, in their order, each with its value.

    `name` is without the prefix, and without the suffix that its kind adds (`_total`, `_info`).
    """

    kind: Kind
    name: str
    meaning: str
    labels: tuple[str, ...]
    rows: Iterable[Row]

    @property
    def full_name(self) -> str:
        """The name as Prometheus knows it."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return f"{PREFIX}{self.name}{suffix}"


def gauge(name: str, meaning: str, value: float | None) -> Family:
    """Return a family of one number without labels; without a row where it is not known."""
    return Family("gauge", name, meaning, (), () if value is None else (((), value),))


def counter(name: str, meaning: str, value: float) -> Family:
    """Return a counter without labels."""
    return Family("counter", name, meaning, (), (((), value),))


def histogram(name: str, meaning: str, value: Buckets) -> Family:
    """Return a histogram without labels."""
    return Family("histogram", name, meaning, (), (((), value),))


def known(rows: Iterable[tuple[tuple[str, ...], float | None]]) -> Iterator[Row]:
    """Yield the rows whose value is known."""
    for labels, value in rows:
        if value is not None:
            yield labels, value
