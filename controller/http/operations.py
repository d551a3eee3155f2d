"""Long acts over HTTP: how one answers, by what its request asks for, and `GET /v1/operations/{id}/events`.

Server-sent events and JSON lines tell the progress and then the outcome; a plain answer is the result when it is there,
or at once the operation (202) with its `Location`. The act itself goes on in every case when whoever asked leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum

import orjson
from starlette.requests import Request
from starlette.responses import Response

from controller.errors import our_fault
from controller.http.accept import accepted, wants_no_waiting
from controller.http.event_stream import ALIVE, FeedResponse, event_block
from controller.http.failures import as_coded
from controller.http.peers import caller_of
from controller.http.resource import EVENTS, JSON, JSON_LINES, Content, Endpoint, Handler, Parameter, json_response
from controller.model.operation import OperationDocument
from controller.station.commands.operations import FollowOperation, GetOperation, StartOperation
from controller.station.port import Caller, Command, Operation, Route, Station

LOG = logging.getLogger(__name__)
_ALIVE = 15.0
"""Seconds of silence after which a stream of events says that it is still there."""
_Line = Mapping[str, object]
LAST_EVENT = Parameter(
    "Last-Event-ID", "The id of the last event that the reader has: it goes on after that one.", False
)
_AT_ONCE = "It has begun: the operation, and in Location where it can be asked for."


class Usual(Enum):
    """What a long act answers where the request does not say: the result, the progress as lines, or its operation."""

    result = "result"
    lines = "lines"
    operation = "operation"

    @property
    def offered(self) -> tuple[str, ...]:
        """The media types, the usual one first."""
        return (JSON_LINES, EVENTS, JSON) if self is Usual.lines else (JSON, EVENTS, JSON_LINES)


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or the data of an event: `progress` any number of times, then `outcome` or `error`, once."""

    progress: str | None = None
    outcome: dict[str, object] | None = None
    error: dict[str, object] | None = None


_STREAMS = (Content(Line, media_type=EVENTS), Content(Line, media_type=JSON_LINES))


def long_endpoint(
    operation: Operation,
    route: Route,
    handler: Handler,
    usual: Usual,
    bodies: tuple[Content, ...] = (),
    result: object = None,
) -> Endpoint:
    """Return the endpoint of a long act, with every form of its answer. `result`: its type, else that of the row."""
    whole = Content(result or operation.result)
    endpoint = Endpoint.of(operation, route, handler, whole, bodies)
    forms = _STREAMS if usual is Usual.operation else (whole, *_STREAMS)
    told = replace(forms[0], description=route.answer, also=forms[1:])
    errors = tuple(dict.fromkeys((*endpoint.errors, 406, 429, 500, 503)))
    return replace(
        endpoint,
        answers={200: told, 202: Content(OperationDocument, _AT_ONCE)},
        errors=errors,
        on_record=True,
    )


class LongActs:
    """Answers requests for the long acts of one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._until_end: set[asyncio.Task[None]] = set()

    async def answer(
        self,
        request: Request,
        command: Command[object],
        caller: Caller,
        usual: Usual = Usual.result,
        at_end: Callable[[], None] = lambda: None,
    ) -> Response:
        """Have a long command carried out, and answer as the request asks. `at_end`: called when the act has ended.

        Raises ControllerError: it did not begin; for a result, also what the act raises.
        """
        with ExitStack() as ending:
            ending.callback(at_end)
            kind = accepted(request, usual.offered)
            if kind == JSON and usual is not Usual.operation and not wants_no_waiting(request):
                return json_response(await self._station.execute(command, caller))
            begun = await self._station.execute(StartOperation(command), caller)
            ending.pop_all()
        self._call_at_end(begun["id"], caller, at_end)
        return self._told(begun, caller, kind)

    def _call_at_end(self, identifier: str, caller: Caller, at_end: Callable[[], None]) -> None:
        async def wait() -> None:
            try:
                await self._station.execute(FollowOperation(identifier), caller)
            finally:
                at_end()

        task = asyncio.get_running_loop().create_task(wait())
        self._until_end.add(task)
        task.add_done_callback(self._until_end.discard)

    async def again(self, request: Request, identifier: str, caller: Caller, usual: str) -> Response:
        """Answer a repeated request for a long act with the operation that the first one began.

        `usual`: the media type of the first answer. Raises NotFound: the operation is not kept any more.
        """
        kind = accepted(request, tuple(dict.fromkeys((usual, *Usual.operation.offered))))
        return self._told(await self._station.execute(GetOperation(identifier), caller), caller, kind)

    def _told(self, document: OperationDocument, caller: Caller, kind: str) -> Response:
        place = {"Location": f"/v1/operations/{document['id']}"}
        if kind == JSON:
            return json_response(document, 202, place)
        return told(self._station, FollowOperation(document["id"]), caller, kind, place)


class OperationEvents:
    """`GET /v1/operations/{id}/events`, for one station."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what the resource offers."""
        operation = FollowOperation.operation
        answer = replace(_STREAMS[0], also=_STREAMS[1:])
        (route,) = operation.routes
        return (replace(Endpoint.of(operation, route, self.events, answer), headers=(LAST_EVENT,)),)

    async def events(self, request: Request) -> Response:
        """Answer with the progress of an operation from its start; events may go on after `Last-Event-ID`."""
        caller, kind = caller_of(request), accepted(request, (EVENTS, JSON_LINES))
        identifier = request.path_params["id"]
        await self._station.execute(GetOperation(identifier), caller)  # or it is not there
        last = request.headers.get("last-event-id", "")
        skip = int(last) if last.isdecimal() and len(last) < 10 else 0
        return told(self._station, FollowOperation(identifier), caller, kind, skip=skip)


def told(
    station: Station,
    follow: FollowOperation,
    caller: Caller,
    kind: str,
    headers: dict[str, str] | None = None,
    skip: int = 0,
) -> FeedResponse:
    """Return the answer that tells an operation's progress and outcome, line by line or event by event."""
    write: Callable[[_Line | None], bytes] = _AsEvents(skip) if kind == EVENTS else _as_line
    response = FeedResponse(_told(station, follow, caller), write, kind)
    response.headers.update(headers or {})
    return response


def _as_line(line: _Line | None) -> bytes:
    return b"" if line is None else orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


class _AsEvents:
    """Writes lines as events with numbers from 1; of the first `skip`, only the last line of all."""

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._number = 0

    def __call__(self, line: _Line | None) -> bytes:
        if line is None:
            return ALIVE
        self._number += 1
        if self._number <= self._skip and "progress" in line:
            return b""
        return event_block(orjson.dumps(line), next(iter(line)), str(self._number))


async def _told(station: Station, follow: FollowOperation, caller: Caller) -> AsyncGenerator[_Line | None, None]:
    """Yield each line, the outcome or the error last; None where nothing was told for a while."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[_Line] = asyncio.Queue()

    def report(text: str) -> None:
        line: _Line = {"progress": text}
        loop.call_soon_threadsafe(lines.put_nowait, line)

    async def last() -> None:
        line: _Line
        try:
            ended = await station.execute(follow, caller, report)
            line = {"outcome": ended["result"]} if ended["error"] is None else {"error": ended["error"]}
        except Exception:
            LOG.exception("the progress of %s cannot be told", follow.id)
            line = {"error": as_coded(our_fault()).to_document()}
        await asyncio.sleep(0)  # what `report` was told from this thread is in the queue now
        lines.put_nowait(line)

    task = loop.create_task(last())
    try:
        line: _Line = {}
        while line.keys() <= {"progress"}:
            try:
                async with asyncio.timeout(_ALIVE):
                    line = await lines.get()
            except TimeoutError:
                yield None
                continue
            yield line
    finally:
        task.cancel()
