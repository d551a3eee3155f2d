"""Answers that tell their progress: JSON lines, any number of `progress`, then one `outcome` or `error`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import orjson
from starlette.responses import StreamingResponse

from controller.errors import ControllerError
from controller.http.failures import as_coded, our_fault
from controller.station.port import Report

JSON_LINES = "application/x-ndjson"
LOG = logging.getLogger(__name__)
_Line = dict[str, object]
Work = Callable[[Report], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer: `progress` any number of times, then `outcome` or `error`, once."""

    progress: str | None = None
    outcome: dict[str, object] | None = None
    error: dict[str, object] | None = None


def progress_response(work: Work, at_end: Callable[[], None] = lambda: None) -> StreamingResponse:
    """Return the answer that tells what `work` reports and returns; `at_end` is called when it has ended.

    Whoever asked may leave: then nobody waits for the outcome any more.
    """
    return StreamingResponse(_lines(work, at_end), media_type=JSON_LINES)


async def _lines(work: Work, at_end: Callable[[], None]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[_Line] = asyncio.Queue()

    def report(text: str) -> None:
        line: _Line = {"progress": text}
        loop.call_soon_threadsafe(lines.put_nowait, line)

    task = loop.create_task(_outcome(work, report, lines))
    try:
        line: _Line = {}
        while line.keys() <= {"progress"}:
            line = await lines.get()
            yield orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
    finally:
        task.cancel()
        at_end()


async def _outcome(work: Work, report: Report, lines: asyncio.Queue[_Line]) -> None:
    last: _Line
    try:
        last = {"outcome": await work(report)}
    except ControllerError as error:
        last = {"error": as_coded(error).to_document()}
    except Exception:
        LOG.exception("a command that reports its progress failed")
        last = {"error": as_coded(our_fault()).to_document()}
    await asyncio.sleep(0)  # what `report` was told from this thread is in the queue now
    lines.put_nowait(last)
