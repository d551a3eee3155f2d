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
_AT_ONCE = {"histogram": 1, "stateset": 3}
_USUALLY = 15
"""Rows that are rendered in one slice, and of what has several samples a row: some 200 microseconds."""
_AT_A_LOOK = 200
"""Rows that are only counted in one slice."""
_REST, _REST_EVERY = 0.001, 4
"""Seconds that the loop is left to the calls altogether, after so many slices: about as long as those took."""
_END = b"# EOF\n"


async def render(families: Iterable[Family], accept: str) -> tuple[str, memoryview]:
    """Return the media type that a scraper accepts (OpenMetrics, else the text format), and the families in it."""
    encode, content_type = choose_encoder(accept)
    document = _Document(lambda metric: encode(SimpleNamespace(collect=lambda: (metric,))))  # what a registry is asked
    for family in families:
        await document.add(family)
    rows = [((name,), float(number)) for name, number in document.left_out.items()]
    await document.add(
        Family("gauge", "rows_left_out", "Rows that this scrape leaves out, by family: there are too many.",
               ("family",), rows)
    )  # fmt: skip
    if content_type.startswith("application/openmetrics"):
        document.text += _END
    return content_type, memoryview(document.text)


class _Document:
    """The text as it grows; it is never put together at once, nor copied."""

    def __init__(self, encode: Callable[[Metric], bytes]) -> None:
        self.text = bytearray()
        self.left_out: dict[str, int] = {}
        self._encode = encode
        self._slices = 0

    async def add(self, family: Family) -> None:
        rows, head = iter(family.rows), True
        told = islice(rows, MOST_ROWS)
        while batch := list(islice(told, _AT_ONCE.get(family.kind, _USUALLY))):
            text = self._encode(_metric(family, batch)).removesuffix(_END)
            self.text += text if head else _without_head(text)
            head = False
            await self._rest()
        if head:  # nobody has such a thing now, and whoever looks for it may see that it is known
            self.text += self._encode(_metric(family, ())).removesuffix(_END)
        while more := sum(1 for _ in islice(rows, _AT_A_LOOK)):
            self.left_out[family.full_name] = self.left_out.get(family.full_name, 0) + more
            await self._rest()

    async def _rest(self) -> None:
        self._slices += 1
        await asyncio.sleep(0 if self._slices % _REST_EVERY else _REST)


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
