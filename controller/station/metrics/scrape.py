"""A scrape: what is known now, as families, and their text. One is made at a time, and shared by who asks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from controller.calls.data_plane import DataPlane
from controller.calls.mirror import Mirror
from controller.calls.series import CallSeries
from controller.processes.pool import ProcessPool
from controller.reconciler.loop import Loop
from controller.recordings.writing import WriterProcess
from controller.station.commands.measuring import MetricsText
from controller.station.metrics.calls import call_families, load_families
from controller.station.metrics.deployments import act_families as deployment_act_families
from controller.station.metrics.deployments import deployment_families, process_families
from controller.station.metrics.family import Family, counter
from controller.station.metrics.shadows import shadow_families
from controller.station.metrics.station import (
    act_families,
    build_families,
    outcome_families,
    pass_families,
    recording_families,
    refusals_family,
    revision_valid,
)

_OPEN = "application/openmetrics-text; version=1.0.0"


class Sources(NamedTuple):
    """What is read at a scrape: what is counted and known there already. `refused`: by the gateway, by reason."""

    plane: DataPlane
    mirror: Mirror
    series: CallSeries
    pool: ProcessPool
    loop: Loop
    recordings: WriterProcess
    refused: Callable[[], Mapping[str, int]]


def _load_render() -> Callable[[Iterable[Family], str], Awaitable[tuple[str, memoryview]]]:
    from controller.station.metrics.exposition import render  # noqa: PLC0415 - 3 MB that not every daemon needs

    return render


class Scrapes:
    """Renders the metrics of one station. `started_at` is when its controller was started (RFC 3339)."""

    def __init__(self, sources: Sources, started_at: str) -> None:
        self._sources = sources
        self._started_at = started_at
        self._under_way: dict[str, asyncio.Task[MetricsText]] = {}

    async def scrape(self, accept: str) -> MetricsText:
        """Return the metrics in OpenMetrics where a scraper accepts that, else in the text format."""
        form = _OPEN if _OPEN.partition(";")[0] in accept else ""
        task = self._under_way.get(form)
        if task is None:
            task = self._under_way[form] = asyncio.create_task(self._scrape(form))
            task.add_done_callback(lambda _: self._under_way.pop(form))
        return await asyncio.shield(task)

    async def _scrape(self, form: str) -> MetricsText:
        render = await asyncio.to_thread(_load_render)  # the event loop need not wait for the disk
        return MetricsText(*await render(self._families(), form))

    def _families(self) -> Iterator[Family]:
        plane, mirror, series, pool, loop, recordings, refused = self._sources
        acts, outcome = loop.reconciler.applier.counts, loop.outcome
        yield from build_families(self._started_at)
        yield from pass_families(loop)
        yield from act_families(acts)
        yield refusals_family(refused())
        yield from recording_families(recordings)
        yield from load_families(plane.loads())
        yield from process_families(pool.look())
        yield from shadow_families(mirror.counts, mirror.waiting(), series.deployments)
        yield from call_families(series.counts(), series.totals(), dict(plane.turned_away), series.deployments)
        yield counter("call_versions_left_out", "Versions whose lines and histogram were dropped for want of room.",
                      series.left_out)  # fmt: skip
        if outcome is not None:
            names = outcome.desired.revision.by_name
            yield from deployment_act_families(acts, loop.counts, names)
            yield from deployment_families(outcome.status, outcome.plan.records)
            yield from outcome_families(outcome)
        elif loop.refusal is not None:
            yield revision_valid(valid=False)
