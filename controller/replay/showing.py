"""Showing the pictures of a task to a version: read ahead, shown by its stands, written down in batches.

What is told of a replay is on the disk first: a worker that is killed shows nothing twice but the last batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.calls.detection import smoke
from controller.images import shared_folder
from controller.model.recording import RecordedCall, RecordingFilter
from controller.processes.launch import Launcher
from controller.processes.spec import ProcessSpec
from controller.recordings.export import ExportFile
from controller.recordings.source import Pictures, RecordingSource
from controller.recordings.stored import StoreRecordings
from controller.replay.journal import Journal, JournalFile, read
from controller.replay.result import Result
from controller.replay.shown import Shown, recorded_answer
from controller.replay.stand import Refused, Stand, VersionFailed
from controller.replay.task import ReplayTask
from controller.store.layout import StoreLayout

BATCH_S, BATCH = 1.0, 50
"""Seconds after which what came of pictures is written down, and the number of them before that."""
MOST_PLACES = 1000
"""Differing pictures of which the defects are kept: of further ones only the verdicts, so that a journal is bounded."""
_AHEAD = 2
_CHUNK = 100

Tell = Callable[[Result], None]
_Read = tuple[str, RecordedCall | None, Pictures | None]


def source_of(recordings: Path) -> RecordingSource:
    """Return the recorded calls of a store's folder, or of an exported file. Raises StoreError."""
    if recordings.is_dir():
        return StoreRecordings(StoreLayout.at(recordings))
    return ExportFile(recordings)


async def show(task: ReplayTask, now: Callable[[], str], python: str, tell: Tell) -> Result:
    """Show what is still to be shown of a task; return what it came to. `python` runs the shims.

    Raises StoreError: the disk or the recordings cannot be used; ControllerError: this machine has no room for it now.
    """
    source = await asyncio.to_thread(source_of, Path(task.recordings))
    file = JournalFile(Path(task.journal))
    journal = await asyncio.to_thread(_journal, file, task, source)
    try:
        result = Result.of(journal)
        tell(result)
        if not result.done:
            await _Showing(task, source, file, journal, result, tell).run(now, python)
        return result
    finally:
        file.close()


def _journal(file: JournalFile, task: ReplayTask, source: RecordingSource) -> Journal:
    """Return the journal to go on with; a new one fixes which pictures are shown: the oldest of them first."""
    found = file.resume(task.mark)
    return found or file.begin(task.mark, (each.id for each in reversed(source.calls(task.wanted))))


class _Showing:
    """One life of a worker."""

    def __init__(
        self, task: ReplayTask, source: RecordingSource, file: JournalFile, journal: Journal, result: Result, tell: Tell
    ) -> None:
        self._task = task
        self._source = source
        self._file = file
        self._left = journal.left
        self._result = result
        self._tell = tell
        self._baseline: Mapping[str, Shown] = {}
        self._pictures: asyncio.Queue[_Read | None] = asyncio.Queue(_AHEAD + task.jobs)
        self._pending: list[Shown] = []
        self._due = time.monotonic() + BATCH_S
        self._writing = asyncio.Lock()
        self._stands: tuple[Stand, ...] = ()

    async def run(self, now: Callable[[], str], python: str) -> None:
        """Show everything, and write down that it is done."""
        layout, task = StoreLayout.at(self._task.root), self._task
        layout.run.mkdir(parents=True, exist_ok=True)
        shared_folder.open_folder(layout.images)
        if task.baseline:
            journal = await asyncio.to_thread(read, Path(task.baseline))
            self._baseline = {each.recording: each for each in (journal.shown if journal else ())}
        launcher = Launcher(layout, python, smoke)
        self._stands = tuple(
            Stand(layout, launcher, spec, now, task.memory_max, gives_way=task.gives_way) for spec in _specs(task)
        )
        failure = ""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                for stand in self._stands:
                    group.create_task(self._show(stand))
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            if not isinstance(first, VersionFailed):
                raise first from None
            failure = str(first)
        finally:
            for stand in self._stands:
                await stand.close()
        await self._write(force=True)
        await self._end(failure)

    async def _read(self) -> None:
        """Read pictures ahead, so that the version need not wait for the disk."""
        for ids in _chunks(self._left):
            calls = await asyncio.to_thread(self._source.calls, RecordingFilter(ids=frozenset(ids)))
            known = {call.id: call for call in calls}
            for each in ids:
                call = known.get(each)
                pictures = None if call is None else await asyncio.to_thread(self._source.pictures, call)
                await self._pictures.put((each, call, pictures))
        for _ in self._stands:
            await self._pictures.put(None)

    async def _show(self, stand: Stand) -> None:
        """Show pictures on one stand until there are no more."""
        while (found := await self._pictures.get()) is not None:
            identifier, call, pictures = found
            shown = Shown(identifier)
            if call is not None:
                recorded = recorded_answer(call)
                shown = Shown(identifier, call.pid, call.request_id, call.at, before=recorded)
                if self._task.baseline:
                    other = self._baseline.get(identifier, Shown(identifier))
                    shown = replace(shown, before=other.after, recorded=recorded, refused=other.refused)
                if pictures is not None:
                    said = await stand.show(call, pictures)
                    if isinstance(said, Refused):
                        shown = replace(shown, refused=said.why)
                    else:
                        shown = replace(shown, after=said).compared(self._task.iou)
            self._pending.append(shown)
            await self._write()

    async def _write(self, *, force: bool = False) -> None:
        """Write down what came of the pictures since the last time, where it is due; only then it counts."""
        if not force and len(self._pending) < BATCH and time.monotonic() < self._due:
            return
        async with self._writing:
            pending, self._pending = self._pending, []
            lines: list[Mapping[str, Any]] = [self._kept(each).to_document() for each in pending]
            memory = max((stand.memory_bytes or 0 for stand in self._stands), default=0)
            if memory > (self._result.memory_bytes or 0):
                self._result.memory_bytes = memory
                lines.append({"memory_bytes": memory})
            await asyncio.to_thread(self._file.append, lines)
            self._due = time.monotonic() + BATCH_S
            for each in pending:
                self._result.add(each)
            self._tell(self._result)

    def _kept(self, shown: Shown) -> Shown:
        """Return a picture as it is kept: where nothing differs, nobody asks where the defects are."""
        told = shown.tells and len(self._result.differing) < MOST_PLACES
        return shown if told or self._task.whole else shown.without_places()

    async def _end(self, failure: str) -> None:
        await asyncio.to_thread(self._file.append, [{"end": {"failure": failure}}])
        self._result.finish(failure)
        self._tell(self._result)


def _specs(task: ReplayTask) -> Iterator[ProcessSpec]:
    """Yield how the process of each stand is started: each has a log of its own."""
    for number in range(task.jobs):
        log = task.spec.log_path.replace("-0.replay.log", f"-{number}.replay.log")
        yield replace(task.spec, key=replace(task.spec.key, replica=number), log_path=log)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), _CHUNK):
        yield ids[begin : begin + _CHUNK]
