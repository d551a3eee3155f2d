"""A station over HTTP: commands become requests by the rows of `operations`, and answers become results. Blocks."""

from __future__ import annotations

import mmap
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict, cast
from urllib.parse import quote

import orjson

from controller.client.addresses import Address
from controller.client.answers import NotReached, UnknownOutcome, content_of, error_of
from controller.client.blocking import Pool
from controller.client.calls import request
from controller.client.exchange import Broken, NeverAccepted, Silent
from controller.errors import Code, CodedError, ControllerError, PackageError
from controller.station.commands.detecting import Detect
from controller.station.commands.events import FollowEvents
from controller.station.commands.measuring import GetMetrics, MetricsText
from controller.station.commands.operations import FollowOperation, GetOperation
from controller.station.commands.packages import Install, PackageState
from controller.station.commands.parts import GetPicture, NoPicture, PictureFile
from controller.station.commands.reconciling import Reconcile, ReconcileReport
from controller.station.commands.recordings import (
    ARCHIVE,
    ExportRecordings,
    ImportedRecordings,
    ImportRecordings,
    ShowRecording,
)
from controller.station.commands.records import ReadLogs
from controller.station.commands.validating import PackageReport, Validate
from controller.station.port import WORKER, Caller, Command, DaemonSilent, Operation, Report, Result, Route, silent

if TYPE_CHECKING:
    from pathlib import Path

    from controller.client.answers import Detection
    from controller.client.exchange import Answer, Buffer
    from controller.model.operation import OperationDocument
    from controller.model.status_document import StatusDocument

Document = dict[str, object]
_Ask = Callable[[Command[object], Caller, Report], Awaitable[object]]
ZIP = "application/zip"
_JSON = "application/json"
_JSON_LINES = "application/x-ndjson"


class _Line(TypedDict, total=False):
    """One line of an answer that reports its progress."""

    progress: str
    outcome: Document
    error: Document


class Conversation(Protocol):
    """How requests get to a station and their answers back: blocking, or on an event loop."""

    async def exchange(self, buffers: list[Buffer], heard: Callable[[bytes], None] | None) -> Answer:
        """Send a request and return its answer; `heard` is given the pieces of its body as they come.

        Raises:
            NeverAccepted, Broken: see `client.flow.exchange`.
        """

    def on_behalf(self, caller: Caller) -> list[tuple[str, str]]:
        """Return the headers that say who asks."""


class Blocking:
    """Requests of a command: a connection for each, and this process waits. Who it is, the daemon sees for itself."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def exchange(self, buffers: list[Buffer], heard: Callable[[bytes], None] | None) -> Answer:
        """Exchange; see `Conversation`."""
        pool = Pool(self._address)
        try:
            return pool.exchange(buffers, None, heard)
        finally:
            pool.clear()

    def on_behalf(self, caller: Caller) -> list[tuple[str, str]]:
        """Return the header that names a caller's worker; none where nobody is named."""
        return [(WORKER, quote(caller.worker, safe=""))] if caller.worker else []


class RemoteStation:
    """The daemon at an address; a conversation with it that blocks, unless it is told another."""

    def __init__(self, address: Address, conversation: Conversation | None = None) -> None:
        self._address = address
        self._conversation = conversation or Blocking(address)

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Have the daemon carry out a command; see `Station.execute`.

        Raises:
            NotReached: no daemon is there; certainly nothing was done.
            UnknownOutcome: it went away before it answered.
            DaemonSilent: it is there, and gives no sign of life.
            ControllerError: what it answered; also where it has no route for the command.
        """
        if isinstance(command, Detect):
            return cast(Result, _detect(self._address, command))
        if not command.operation.routes:
            raise ControllerError(f"{type(command).__name__} cannot be asked for at {self._address}")
        asks: Mapping[type[Command[object]], _Ask] = cast(
            "Mapping[type[Command[object]], _Ask]",
            {
                Reconcile: self._reconcile,
                Install: self._install,
                Validate: self._validate,
                GetPicture: self._picture,
                FollowOperation: self._follow,
                GetMetrics: self._metrics,
                FollowEvents: self._feed,
                ReadLogs: self._feed,
                ShowRecording: self._file,
                ExportRecordings: self._file,
                ImportRecordings: self._import,
            },
        )
        usual = self._long if command.operation.long else self._ask
        return cast(Result, await asks.get(type(command), usual)(command, caller, report))

    async def _ask(self, command: Command[object], caller: Caller, _report: Report) -> object:
        operation = command.operation
        route, target, arguments = self._request_of(operation, command)
        body: list[Buffer] = [orjson.dumps(arguments)] if route.method == "POST" else []
        answer = await self._exchange(
            request(self._address, route.method, target, body, more=self._conversation.on_behalf(caller))
        )
        return answer if operation.result is None else _result(operation.result, answer)

    async def _picture(self, command: GetPicture, caller: Caller, _report: Report) -> PictureFile:
        route, target, _ = self._request_of(command.operation, command)
        answer = await self._answer(
            request(self._address, route.method, target, [], more=self._conversation.on_behalf(caller))
        )
        if answer.status == 200:
            return PictureFile(command.request_id, answer.body)
        try:
            content = content_of(answer)
        except CodedError as error:
            if answer.status in {404, 410}:
                raise NoPicture(error.message, gone=answer.status == 410, next_step="") from None
            raise
        raise UnknownOutcome(f"the answer (HTTP {answer.status}) is no picture: {content}")

    async def _long(self, command: Command[object], caller: Caller, report: Report) -> object:
        """Ask for a long act and hear its progress."""
        operation = command.operation
        route, path, arguments = self._request_of(operation, command)
        body: list[Buffer] = [orjson.dumps(arguments)] if route.method == "POST" else []
        outcome = await self._lines(path, body, _JSON, caller, report, route.method)
        return outcome if operation.result is None else _result(operation.result, outcome)

    async def _feed(self, command: FollowEvents | ReadLogs, caller: Caller, _report: Report) -> object:
        from controller.station.remote_feeds import BlockingFeed, batch_of, open_feed, pieces_of  # noqa: PLC0415 - only who follows

        target = self._request_of(command.operation, command)[1]
        stream = open_feed(self._address, target, self._conversation.on_behalf(caller))
        return BlockingFeed(stream, batch_of) if isinstance(command, FollowEvents) else BlockingFeed(stream, pieces_of)

    async def _file(self, command: ShowRecording | ExportRecordings, caller: Caller, _report: Report) -> object:
        from controller.station.remote_files import open_file  # noqa: PLC0415 - only who wants one

        target = self._request_of(command.operation, command)[1]
        return open_file(self._address, target, self._conversation.on_behalf(caller))

    async def _import(self, command: ImportRecordings, caller: Caller, report: Report) -> ImportedRecordings:
        try:
            body = [_content(command.path)]
        except PackageError as error:  # no zip of a package, for once
            raise CodedError(Code.invalid_params, error.message, next_step=error.next_step) from None
        outcome = await self._lines("/v1/recordings/import", body, ARCHIVE, caller, report)
        return cast(ImportedRecordings, _result(ImportedRecordings, outcome))

    def _request_of(self, operation: Operation, command: Command[object]) -> tuple[Route, str, dict[str, object]]:
        """Return the route of a command, its path with the query, and the arguments in the body: nothing left out."""
        given = {each.name: getattr(command, each.name) for each in _fields(type(command))}
        route = next(
            each for each in operation.routes if all(given[name] == value for name, value in each.fixed.items())
        )
        path = route.path.format(**{name: quote(str(given[field]), safe="") for name, field in route.in_path.items()})
        said = {each.name: given[each.name] for each in _fields(type(command)) if given[each.name] != each.default}
        query = [
            f"{name}={quote(text, safe='')}"
            for name, field in route.in_query.items()
            for text in _texts(said.get(field, ()))
        ]
        target = f"{path}?{'&'.join(query)}" if query else path
        return route, target, {name: value for name, value in said.items() if name not in route.outside}

    async def _reconcile(self, command: Reconcile, caller: Caller, report: Report) -> ReconcileReport:
        arguments: Document = {"allow_empty": command.allow_empty, "wait": command.wait, "timeout": command.timeout}
        if command.plan is not None:
            arguments["plan"] = asdict(command.plan)
        outcome = await self._lines("/v1/reconcile", [orjson.dumps(arguments)], _JSON, caller, report)
        return ReconcileReport(cast(int, outcome["exit"]), cast("StatusDocument", outcome["status"]))

    async def _install(self, command: Install, caller: Caller, report: Report) -> PackageState:
        target = f"/algorithms/install?name={quote(command.zip_path.name, safe='')}"
        outcome = await self._lines(target, [_content(command.zip_path)], ZIP, caller, report)
        return cast(PackageState, _result(PackageState, outcome))

    async def _validate(self, command: Validate, caller: Caller, report: Report) -> PackageReport:
        target = f"/algorithms/validate?name={quote(command.zip_path.name, safe='')}"
        target += "&prove=true" if command.prove else ""
        outcome = await self._lines(target, [_content(command.zip_path)], ZIP, caller, report)
        return cast(PackageReport, _result(PackageReport, outcome))

    async def _follow(self, command: FollowOperation, caller: Caller, report: Report) -> OperationDocument:
        _, path, _ = self._request_of(command.operation, command)
        with suppress(CodedError):  # its own failure: the document has it
            await self._lines(path, [], _JSON, caller, report, "GET")
        get = GetOperation(command.id)
        return cast("OperationDocument", await self._ask(get, caller, report))

    async def _metrics(self, command: GetMetrics, caller: Caller, _report: Report) -> MetricsText:
        """Return what is measured, in the text format."""
        _, target, _ = self._request_of(command.operation, command)
        answer = await self._answer(
            request(self._address, "GET", target, [], more=self._conversation.on_behalf(caller))
        )
        if answer.status != 200:
            content_of(answer)  # raises what it says
        return MetricsText("text/plain; version=0.0.4; charset=utf-8", answer.body)

    async def _lines(
        self, target: str, body: list[Buffer], kind: str, caller: Caller, report: Report, method: str = "POST"
    ) -> Document:
        """Ask for something that reports its progress as JSON lines; return its outcome."""
        lines = _Lines(report)
        headers = [("Accept", _JSON_LINES), *self._conversation.on_behalf(caller)]
        answer = await self._exchange(request(self._address, method, target, body, kind, headers), lines.hear)
        last = cast(_Line, answer) if answer else lines.last
        if "error" in last:
            raise error_of(last["error"])
        if "outcome" not in last:
            raise UnknownOutcome("the daemon's report ended early")
        return last["outcome"]

    async def _exchange(self, buffers: list[Buffer], heard: Callable[[bytes], None] | None = None) -> object:
        """Return what the JSON of the answer holds; nothing of one whose lines `heard` has heard."""
        answer = await self._answer(buffers, heard)
        return {} if heard is not None and answer.status == 200 else content_of(answer)

    async def _answer(self, buffers: list[Buffer], heard: Callable[[bytes], None] | None = None) -> Answer:
        try:
            return await self._conversation.exchange(buffers, heard)
        except NeverAccepted as failure:
            raise NotReached(str(self._address), str(failure)) from None
        except Silent as failure:
            why = f"{failure}; whether it still does what it was asked is unknown"
            raise DaemonSilent(f"the daemon at {self._address}", why) from None
        except Broken as failure:
            raise UnknownOutcome(str(failure)) from None


def _texts(value: object) -> Iterator[str]:
    """Yield a field's value as query parameters have it: each part of a tuple is one."""
    for each in value if isinstance(value, tuple) else (value,):
        yield str(each).lower() if isinstance(each, bool) else str(each)


def _result(kind: type[object], content: object) -> object:
    """Return the typed result in an answer; what a newer daemon says more is passed over.

    Raises UnknownOutcome where the answer is of another type.
    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - only who asks a daemon

    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise UnknownOutcome(f"the daemon's answer is not what this release knows: {error.errors()[0]}") from None


def _fields(kind: type[object]) -> Sequence[Field[object]]:
    return fields(kind) if is_dataclass(kind) else ()


def _detect(address: Address, command: Detect) -> Detection:
    from controller.station.remote_detection import detect  # noqa: PLC0415 - only `exec` needs it

    return detect(address, command.request)


def _content(path: Path) -> Buffer:
    """A zip's bytes, not read before they are sent. Raises PackageError 2001 where the file cannot be read."""
    try:
        with path.open("rb") as file:
            empty = file.seek(0, 2) == 0
            content = b"" if empty else memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise PackageError(
            Code.invalid_zip, f"cannot read {path}: {error.strerror}", next_step="check the path"
        ) from None
    return content  # the map goes with its last view


class _Lines:
    """Cuts a body into JSON lines: progress is told, the last line kept."""

    def __init__(self, report: Report) -> None:
        self.last: _Line = {}
        self._report = report
        self._rest = b""

    def hear(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self.last = orjson.loads(line)
            if "progress" in self.last:
                self._report(self.last["progress"])
