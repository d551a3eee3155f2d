"""Families as text, by prometheus_client, in slices: between two of them the event loop has its turn.

A scrape of a thousand PIDs is some ten thousand lines; calls go on in the same loop, so none of it may hold them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from types import SimpleNamespace

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from controller.station.metrics.family import Buckets, Family, Row

MOST_ROWS = 20_000
"""Rows of one family that are told; what is more is only counted."""
_AT_ONCE = {"histogram": 4, "stateset": 10}
_USUALLY = 40
"""Rows that are rendered in one slice: some 200 microseconds."""
_REST = 0.001
"""Seconds between two slices: calls have the loop for most of the time that a scrape takes."""
_END = b"# EOF\n"


async def render(families: Iterable[Family], accept: str) -> tuple[str, bytes]:
    """Return the media type that a scraper accepts (OpenMetrics, else the text format), and the families in it."""
    encode, content_type = choose_encoder(accept)

    def encode_one(metric: Metric) -> bytes:
        return encode(SimpleNamespace(collect=lambda: (metric,)))  # what a registry is asked for

    pieces: list[bytes] = []
    left_out: dict[str, int] = {}
    for family in families:
        await _render(family, encode_one, pieces, left_out)
    rows = [((name,), float(count)) for name, count in left_out.items()]
    more = Family("gauge", "rows_left_out", "Rows that this scrape leaves out, by family: there are too many.",
                  ("family",), rows)  # fmt: skip
    await _render(more, encode_one, pieces, left_out)
    if content_type.startswith("application/openmetrics"):
        pieces.append(_END)
    return content_type, b"".join(pieces)


async def _render(
    family: Family, encode: Callable[[Metric], bytes], pieces: list[bytes], left_out: dict[str, int]
) -> None:
    rows, head = iter(family.rows), True
    told = islice(rows, MOST_ROWS)
    while batch := list(islice(told, _AT_ONCE.get(family.kind, _USUALLY))):
        text = encode(_metric(family, batch)).removesuffix(_END)
        pieces.append(text if head else _without_head(text))
        head = False
        await asyncio.sleep(_REST)
    if head:  # nobody has such a thing now, and whoever looks for it may see that it is known
        pieces.append(encode(_metric(family, ())).removesuffix(_END))
    if more := sum(1 for _ in rows):
        left_out[family.full_name] = more


def _without_head(text: bytes) -> bytes:
    """Return a text without the comments that it begins with."""
    while text.startswith(b"# "):
        text = text[text.index(b"\n") + 1 :]
    return text


def _metric(family: Family, rows: Iterable[Row]) -> Metric:
    name = family.full_name.removesuffix("_total").removesuffix("_info")
    made: Metric = _KINDS[family.kind](name, family.meaning, labels=family.labels)
    for labels, value in rows:
        if isinstance(value, Buckets):
            made.add_metric(labels, _cumulative(value), value.seconds)  # type: ignore[attr-defined]
        else:
            made.add_metric(labels, value)  # type: ignore[attr-defined]
    return made


_KINDS: dict[str, Callable[..., Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
    "stateset": StateSetMetricFamily,
}


def _cumulative(value: Buckets) -> list[tuple[str, float]]:
    below, found = 0, []
    for bound, count in zip((*map(str, map(float, value.bounds)), "+Inf"), value.counts, strict=True):
        below += count
        found.append((bound, float(below)))
    return found
