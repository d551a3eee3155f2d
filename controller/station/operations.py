"""Long acts of one daemon as operations: each goes on when whoever asked for it leaves, and can be found again.

An operation is on the disk before its act begins. Where the disk takes nothing, the act goes on all the same: then only
this daemon knows of it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import orjson

from controller.errors import CallError, Code, ControllerError, NotFound, StoreError, as_coded, our_fault
from controller.model.operation import OperationDocument, OperationRow, OperationState, row_of
from controller.station.commands.operations import ListOperations
from controller.station.port import Caller, Command, Report
from controller.store.operations import OperationFiles

log = logging.getLogger(__name__)

MOST_RUNNING = 64
"""Operations at once: each may wait for as long as its caller said."""
MOST_LINES = 1000
"""Lines of progress that an operation keeps, the newest."""
_MOST_UNSAVED = 20
_Result = TypeVar("_Result")
_Work = Callable[[Report], Awaitable[object]]
Changed = Callable[[OperationDocument], None]


@dataclass(slots=True, eq=False)
class _Running:
    """One operation under way; `value` or `failure` is what its act came to, once it has ended."""

    document: OperationDocument
    kept: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: list[Report] = field(default_factory=list)
    value: object = None
    failure: Exception | None = None
    task: asyncio.Task[None] | None = None

    def snapshot(self) -> OperationDocument:
        return {**self.document, "progress": list(self.document["progress"])}

    def tell(self, at: str, text: str) -> None:
        """Note a line of progress and hand it to everybody who listens."""
        progress = self.document["progress"]
        progress.append({"at": at, "text": text})
        del progress[:-MOST_LINES]
        for listener in tuple(self.listeners):
            listener(text)

    async def follow(self, report: Report) -> None:
        """Report the progress from the start, and return when the act has ended."""
        for line in self.document["progress"]:
            report(line["text"])
        self.listeners.append(report)
        try:
            await self.ended.wait()
        finally:
            self.listeners.remove(report)


class Operations:
    """The operations of one daemon. `now` is an RFC 3339 clock; `changed` is told of each begin and each end."""

    def __init__(self, files: OperationFiles, now: Callable[[], str], changed: Changed = lambda _: None) -> None:
        self._files = files
        self._now = now
        self._changed = changed
        self._running: dict[str, _Running] = {}
        self._unsaved: dict[str, OperationDocument] = {}
        """Ended ones that the disk did not take."""

    async def execute(self, command: Command[_Result], caller: Caller, work: _Work, report: Report) -> _Result:
        """Execute a long command and return its result. Whoever waits here may leave: the act goes on.

        Raises:
            CallError: 1011, too many operations run already. ControllerError: what the command's own act raises.
        """
        running = self._begin(command, caller, work)
        await running.follow(report)
        if running.failure is not None:
            raise running.failure
        return cast(_Result, running.value)

    async def start(self, command: Command[object], caller: Caller, work: _Work) -> OperationDocument:
        """Begin a long command and return its operation, once it is on the disk. Raises CallError 1011."""
        running = self._begin(command, caller, work)
        await running.kept.wait()
        return running.snapshot()

    def _begin(self, command: Command[object], caller: Caller, work: _Work) -> _Running:
        if len(self._running) >= MOST_RUNNING:
            raise CallError(
                Code.busy,
                f"{len(self._running)} operations run already",
                next_step="see which: GET /v1/operations?state=running, or `pvctl operations --state running`",
            )
        now = self._now()
        document: OperationDocument = {
            "id": _identifier(now, type(command)), "kind": kind_of(type(command)), "subject": command.about,
            "state": "running", "actor": caller.shown, "started_at": now, "ended_at": None, "error": None,
            "progress": [], "result": None,
        }  # fmt: skip
        running = self._running[document["id"]] = _Running(document)
        running.task = asyncio.get_running_loop().create_task(self._perform(running, work))
        return running

    async def _perform(self, running: _Running, work: _Work) -> None:
        loop, document = asyncio.get_running_loop(), running.document

        def report(text: str) -> None:
            loop.call_soon_threadsafe(running.tell, self._now(), text)

        await self._keep(document)
        running.kept.set()
        self._changed(running.snapshot())
        try:
            running.value = await work(report)
        except ControllerError as error:
            running.failure = error
        except Exception as error:
            log.exception("the operation %s failed", document["id"])
            running.failure = error
        await asyncio.sleep(0)  # what `report` was told from this thread is noted now
        self._end(running)
        await self._keep(document)
        del self._running[document["id"]]
        running.ended.set()
        self._changed(running.snapshot())

    def _end(self, running: _Running) -> None:
        document, failure = running.document, running.failure
        state: OperationState = "succeeded"
        if failure is None:
            document["result"] = _as_json(running.value)
        else:
            state = "failed"
            error = failure if isinstance(failure, ControllerError) else our_fault()
            document["error"] = _as_json(as_coded(error).to_document())
        document["state"], document["ended_at"] = state, self._now()

    async def _keep(self, document: OperationDocument) -> None:
        try:
            await asyncio.to_thread(self._files.write, document)
        except StoreError as error:
            log.warning("operation %s is not on the disk: %s", document["id"], error)
            if document["state"] != "running":
                self._unsaved[document["id"]] = document
                while len(self._unsaved) > _MOST_UNSAVED:
                    del self._unsaved[next(iter(self._unsaved))]
        else:
            self._unsaved.pop(document["id"], None)

    async def get(self, identifier: str) -> OperationDocument:
        """Return an operation. Raises NotFound, StoreError."""
        if (running := self._running.get(identifier)) is not None:
            return running.snapshot()
        return self._unsaved.get(identifier) or found(identifier, await asyncio.to_thread(self._files.read, identifier))

    async def follow(self, identifier: str, report: Report) -> OperationDocument:
        """Report an operation's progress from its start; return it when it has ended. Raises NotFound, StoreError."""
        if (running := self._running.get(identifier)) is not None:
            await running.follow(report)
            return running.snapshot()
        document = await self.get(identifier)
        for line in document["progress"]:
            report(line["text"])
        return document

    async def list(self, query: ListOperations) -> tuple[OperationRow, ...]:
        """Return the operations that a query asks for, newest first. Raises StoreError."""
        kept = await asyncio.to_thread(self._files.read_all)
        here = {**self._unsaved, **{name: each.document for name, each in self._running.items()}}
        documents = {**{each["id"]: each for each in kept}, **here}
        return rows(documents.values(), query)


def rows(documents: Any, query: ListOperations) -> tuple[OperationRow, ...]:
    """Return the rows of those documents that a query asks for, newest first."""
    wanted = (
        row_of(each)
        for each in documents
        if query.state in {None, each["state"]} and query.kind in {None, each["kind"]}
    )
    return tuple(sorted(wanted, key=lambda each: each["started_at"], reverse=True))


def found(identifier: str, document: OperationDocument | None) -> OperationDocument:
    """Return the document. Raises NotFound where there is none."""
    if document is None:
        raise NotFound(
            Code.invalid_params,
            f"there is no operation {identifier[:80]!r}; ended ones are kept for a week at most",
            next_step="see GET /v1/operations, or `pvctl operations`",
        )
    return document


def kind_of(command: type[Command[Any]]) -> str:
    """Return the word for a long command in its operations."""
    return command.act or command.__name__.lower()


def _identifier(now: str, command: type[Command[Any]]) -> str:
    """Return a name that sorts by time and can be a file's: `20260131T081500-install-1f3a9c02`."""
    moment = now[:19].replace("-", "").replace(":", "")
    return f"{moment}-{kind_of(command)}-{secrets.token_hex(4)}"


def _as_json(value: object) -> Any:
    return orjson.loads(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS))
