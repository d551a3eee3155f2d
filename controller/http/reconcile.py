"""`POST /v1/reconcile`: have the daemon reconcile, and hear of it line by line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from controller.errors import ControllerError
from controller.http.arguments import ReconcileArguments, reader
from controller.http.failures import as_coded, our_fault
from controller.http.ports import Control
from controller.http.request_body import BodyLimits
from controller.http.resource import JSON, Content, Operation

JSON_LINES = "application/x-ndjson"
LOG = logging.getLogger(__name__)
_read_arguments = reader(ReconcileArguments, "the request")
_Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer: `progress` any number of times, then `outcome` {exit, status} or `error`, once."""

    progress: str | None = None
    outcome: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class ReconcileResource:
    """The resource, for one daemon."""

    def __init__(self, control: Control, limits: BodyLimits) -> None:
        self._control = control
        self._limits = limits

    def operations(self) -> tuple[Operation, ...]:
        """Return what the resource offers."""
        return (
            Operation(
                "POST", "/v1/reconcile", self.reconcile, "Reconcile, and report the progress as JSON lines.",
                bodies=(Content(ReconcileArguments, "How to reconcile.", JSON),),
                answers={200: Content(Line, "Lines; each has one key, the last is outcome or error.", JSON_LINES)},
                errors=(400, 413),
            ),
        )  # fmt: skip

    async def reconcile(self, request: Request) -> Response:
        async with self._limits.body(request) as body:
            arguments = _read_arguments(body)
        return StreamingResponse(self._lines(arguments), media_type=JSON_LINES)

    async def _lines(self, arguments: ReconcileArguments) -> AsyncIterator[bytes]:
        """Yield the progress while it happens. Whoever asked may leave: then nobody waits for the outcome any more."""
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[_Line] = asyncio.Queue()

        def notify(text: str) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, {"progress": text})

        work = loop.create_task(self._outcome(arguments, notify, lines))
        try:
            line: _Line = {}
            while line.keys() <= {"progress"}:
                line = await lines.get()
                yield orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
        finally:
            work.cancel()

    async def _outcome(self, arguments: ReconcileArguments, notify: Any, lines: asyncio.Queue[_Line]) -> None:
        last: _Line
        try:
            outcome = await self._control.reconcile(
                allow_empty=arguments.allow_empty, wait=arguments.wait, timeout=arguments.timeout, notify=notify
            )
            last = {"outcome": outcome}
        except ControllerError as error:
            last = {"error": as_coded(error).to_document()}
        except Exception:
            LOG.exception("POST /v1/reconcile failed")
            last = {"error": as_coded(our_fault()).to_document()}
        await asyncio.sleep(0)  # what `notify` said from this thread is in the queue now
        lines.put_nowait(last)
