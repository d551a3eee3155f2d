"""The page at 200 PIDs: the time that the server spends on a first view, and how much a browser loads for it.

The station is made up, so that what is measured is the page: rows, templates, compression; in processor time, which
what else runs on the machine does not change. `first` is the view after
which the feed sleeps (all 200 tiles are rendered); `again` is what every further viewer costs; `one part` is what a
verdict on one PID costs for all viewers together.

usage: python -m benchmarks.page [ROUNDS]
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from statistics import median

from benchmarks.table import Row, print_table
from controller.page.application import Page
from controller.page.assets import FIRST, assets
from controller.page.fragments import fragments
from tests.page.asking import Reply, ask
from tests.page.made_up import MadeUpStation, WithSession, part

_PIDS = 200
_MOST_MS, _MOST_BYTES = 150, 50_000
_TAKES = {"accept-encoding": "gzip"}


async def run(rounds: int = 7) -> list[Row]:
    """Measure rounds of first views, further views and changes."""
    first, again, change, reply = [], [], [], Reply()
    for _ in range(rounds):
        station = MadeUpStation(_PIDS)
        page = Page(station)
        app = WithSession(page)
        reply, spent = await _timed(app)
        first.append(spent)
        again.append((await _timed(app))[1])
        change.append(await _one_part(page, station, app))
        await page.close()
    size = len(reply.body) + sum(len(each.packed) for name, each in assets().items() if name in FIRST)
    limit = f"{_MOST_MS} ms"
    return [
        Row("first view of 200 PIDs, processor time", _shown(first), limit, median(first) * 1000 / _MOST_MS, 1.0),
        Row("another view", _shown(again), limit, median(again) * 1000 / _MOST_MS, 1.0),
        Row("a verdict on one PID, for all viewers", _shown(change), limit, median(change) * 1000 / _MOST_MS, 1.0),
        Row(
            "first paint, compressed", f"{size / 1000:.1f} kB", f"{_MOST_BYTES / 1000:.0f} kB", size / _MOST_BYTES, 1.0
        ),
    ]


async def _timed(app: WithSession) -> tuple[Reply, float]:
    begun = time.process_time()
    reply = await ask(app, "/", headers=_TAKES)
    return reply, time.process_time() - begun


async def _one_part(page: Page, station: MadeUpStation, app: WithSession) -> float:
    look = await page.feed.look("en", app.session.caller.access) if app.session else None
    assert look is not None
    snapshot = page.feed.snapshot
    changed = {**snapshot.parts, "A01": part("A01", "NG", "1.0.0", request_id="new")}
    begun = time.process_time()
    look.take(fragments(replace(snapshot, parts=changed)), look.turn + 1)
    look.message("station", look.turn - 1)
    return time.process_time() - begun


def _shown(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(0 if print_table(asyncio.run(run(*map(int, sys.argv[1:])))) else 1)
