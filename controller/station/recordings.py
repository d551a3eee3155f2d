"""Recorded calls of a store, for who may see them: with a daemon and without one; what leaves or goes is on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from controller.errors import Code, ControllerError, NotFound
from controller.model.last_part import defects_of
from controller.model.recorded import RecordingFilter
from controller.station import recording_jobs
from controller.station.commands.recordings import (
    DeletedRecordings,
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportedRecordings,
    ImportRecordings,
    ListRecordings,
    RecordingDocument,
    RecordingPage,
    RecordingRow,
    ShowRecording,
)
from controller.station.recording_jobs import Jobs, Said
from controller.store.audit_chain import AuditRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from controller.model.recording import RecordedCall
    from controller.recordings.stored import StoreRecordings
    from controller.station.commands.events import Feed
    from controller.station.port import Caller, Command, Report
    from controller.store.store import Store

RecordingCommand = (
    ListRecordings | GetRecording | ShowRecording | ExportRecordings | ImportRecordings | DeleteRecordings
)
_FEW = 20
"""Ids that stand in a record of the audit, at most."""
_AT_ONCE = 20
"""Calls that are in memory at once while a page is made: what an algorithm says may be long."""


def executors(store: Store) -> Mapping[type[Command[Any]], Callable[[Any, Caller, Report], Awaitable[object]]]:
    """Return what carries the commands out in a daemon."""
    import asyncio  # noqa: PLC0415 - a daemon's; a command without one does not load it

    jobs = Jobs()

    async def look(query: ListRecordings | GetRecording, _caller: Caller, _report: Report) -> object:
        return await asyncio.to_thread(looked_at, store, query)

    async def show(query: ShowRecording, _caller: Caller, _report: Report) -> Feed[bytes]:
        return await jobs.file(_job(store, query))

    async def export(query: ExportRecordings, caller: Caller, _report: Report) -> Feed[bytes]:
        record = _Record(store, caller, query)
        await asyncio.to_thread(record.begin)
        try:
            return await jobs.file(_job(store, query), record.end)
        except ControllerError as error:
            await asyncio.to_thread(record.end, error)
            raise

    async def change(command: ImportRecordings | DeleteRecordings, caller: Caller, _report: Report) -> object:
        record = _Record(store, caller, command)
        await asyncio.to_thread(record.begin)
        try:
            said = await jobs.result(_job(store, command))
        except ControllerError as error:
            await asyncio.to_thread(record.end, error)
            raise
        await asyncio.to_thread(record.end, said)
        return _result_of(command, said)

    return {
        ListRecordings: look, GetRecording: look, ShowRecording: show, ExportRecordings: export,
        ImportRecordings: change, DeleteRecordings: change,
    }  # fmt: skip


def execute(store: Store, command: RecordingCommand, caller: Caller) -> object:
    """Carry a command out without a daemon. Blocks. Raises what it says."""
    if isinstance(command, ListRecordings | GetRecording):
        return looked_at(store, command)
    if isinstance(command, ShowRecording):
        return recording_jobs.file(_job(store, command))
    record = _Record(store, caller, command)
    record.begin()
    try:
        if isinstance(command, ExportRecordings):
            return recording_jobs.file(_job(store, command), record.end)
        said = recording_jobs.result(_job(store, command))
    except ControllerError as error:
        record.end(error)
        raise
    record.end(said)
    return _result_of(command, said)


# Looking.


def looked_at(store: Store, query: ListRecordings | GetRecording) -> RecordingPage | RecordingDocument:
    """Return a page of recorded calls, or one of them. Raises NotFound, StoreError."""
    from controller.recordings.stored import StoreRecordings  # noqa: PLC0415 - SQLite, which only who asks needs

    source = StoreRecordings(store.layout)
    if isinstance(query, GetRecording):
        for call in source.calls(RecordingFilter(ids=frozenset({query.id}))):
            return _document_of(call)
        raise NotFound(
            Code.invalid_params, f"there is no recorded call {query.id[:80]}", next_step="see `pvctl recordings list`"
        )
    rows = list(_rows(source, query.wanted(query.before), query.limit + 1))
    following = rows[query.limit - 1].id if len(rows) > query.limit else None
    return RecordingPage(tuple(rows[: query.limit]), following)


def _rows(source: StoreRecordings, wanted: RecordingFilter, most: int) -> Iterator[RecordingRow]:
    """Yield the newest rows that are meant, `most` of them."""
    left = most
    while left:
        asked = min(left, _AT_ONCE)
        calls = source.calls(replace(wanted, last=asked))
        yield from map(_row_of, calls)
        if not calls:
            return
        left -= len(calls)
        wanted = replace(wanted, before=calls[-1].id)


def _row_of(call: RecordedCall) -> RecordingRow:
    defects, _ = defects_of(call.data.get("defect_rects"))
    return RecordingRow(
        call.id, call.pid, call.deployment, call.package.name, call.package.version, call.request_id, call.at,
        call.verdict, call.kinds, call.message, call.latency_ms, len(defects), call.image.shape,
        call.guide is not None, call.size,
    )  # fmt: skip


def _document_of(call: RecordedCall) -> RecordingDocument:
    return RecordingDocument(
        call.id, call.pid, call.deployment, call.package.name, call.package.version, call.digest, call.request_id,
        call.at, call.verdict, call.kinds, call.message, call.data, call.error, call.latency_ms, call.arguments,
        call.image.shape, call.image.color_space, None if call.guide is None else call.guide.shape,
        call.guide_is_image, call.size,
    )  # fmt: skip


# What a process of its own does.


def _job(store: Store, command: RecordingCommand) -> Said:
    said: dict[str, Any] = {"store": str(store.layout.root.absolute())}
    match command:
        case ShowRecording():
            return said | {"job": command.form, "id": command.id, "guide": command.guide}
        case ImportRecordings():
            return said | {"job": "import", "path": str(command.path.absolute())}
        case ExportRecordings() | DeleteRecordings():
            last = command.last if isinstance(command, ExportRecordings) else None
            wanted = {name: sorted(value) if isinstance(value, frozenset) else value
                      for name, value in asdict(command.wanted(last=last)).items()}  # fmt: skip
            kind = "export" if isinstance(command, ExportRecordings) else "delete"
            return said | {"job": kind, "filter": wanted, "few": _FEW}
        case _:
            raise TypeError(type(command).__name__)


def _result_of(command: RecordingCommand, said: Said) -> ImportedRecordings | DeletedRecordings:
    if isinstance(command, DeleteRecordings):
        return DeletedRecordings(said["deleted"], said["size"])
    return ImportedRecordings(said["imported"], said["already_there"], said["damaged"], said["beyond"])


def _on_record(command: ExportRecordings | DeleteRecordings) -> object:
    """Return what the audit has of a filter: every one, or what was said, and of many ids their number."""
    said = command.said
    if len(command.id) > _FEW:
        said["id"] = f"{len(command.id)} calls"
    if isinstance(command, ExportRecordings) and command.last is not None:
        said["last"] = command.last
    return said or "all"


class _Record:
    """What the audit has of an act on recorded calls: who, which, and what came of it."""

    def __init__(
        self, store: Store, caller: Caller, command: ExportRecordings | ImportRecordings | DeleteRecordings
    ) -> None:
        self._store = store
        self._caller = caller
        self._noted = False
        self._act = type(command).__name__.removesuffix("Recordings").lower()
        self._asked: dict[str, object] = (
            {"file": command.path.name} if isinstance(command, ImportRecordings) else {"filter": _on_record(command)}
        )

    def begin(self) -> None:
        """Note what is asked for. Raises StoreError: then it is not done."""
        self._note("started", {})

    def end(self, outcome: Said | ControllerError | None) -> None:
        """Note what came of it, once; see `recording_jobs.AtEnd`."""
        if self._noted:
            return
        self._noted = True
        if outcome is None:
            self._note("cut off: whoever asked for it left", {})
        elif isinstance(outcome, ControllerError):
            self._note(f"failed: {outcome.message}", {})
        else:
            self._note("succeeded", {"came_to": dict(outcome)})

    def _note(self, outcome: str, more: Mapping[str, object]) -> None:
        about = {**self._asked, **more}
        self._store.audit.append(
            AuditRecord(
                self._caller.name, "", f"recordings.{self._act}", "recordings", None, about, "", outcome,
                self._caller.worker,
            )
        )  # fmt: skip
