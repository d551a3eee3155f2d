"""Jobs on recorded calls, each in a process of its own (`recordings/job.py`): started, read, and ended.

Twice, as everything that has to do with waiting: on an event loop for a daemon, and blocking for a command without one.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar, cast

import orjson

from controller.client.answers import error_of
from controller.errors import Code, CodedError, ControllerError, HostError, NotFound, our_fault
from controller.host.environment import clean_environment

log = logging.getLogger(__name__)

Said = Mapping[str, Any]
"""What a job is, and what it came to."""
AtEnd = Callable[[Said | ControllerError | None], None]
"""Is told what became of a file: what it came to, why it failed, or None where its reader wanted no more of it."""
_COMMAND = (sys.executable, "-P", "-m", "controller.recordings.job")
_PIECE = 256 * 1024
_PACE = 64 * 1024 * 1024
"""Bytes of a file a second that go through a daemon, at most: an export has gigabytes, and calls go through it, too."""
_Process = TypeVar("_Process")


def _outcome(words: bytes) -> Said:
    """Return what a job came to. Raises what it failed with."""
    *others, last = words.strip().split(b"\n")
    for each in others:
        if each.strip():
            log.warning("recordings: %s", each.decode("utf-8", "replace"))
    try:
        said = cast("dict[str, Any]", orjson.loads(last))
    except orjson.JSONDecodeError:  # it was killed, for want of memory, say
        raise our_fault() from None
    if "done" in said:
        return cast("Said", said["done"])
    error = error_of(said["error"])
    raise NotFound(error.code, error.message, details=error.details) if said.get("missing") else error


def _not_started(error: OSError) -> HostError:
    return HostError("ProcessesRefused", f"no process could be started for the recordings: {error.strerror}")


def _unheard(_: Said | ControllerError | None) -> None:
    """Nobody wants to know."""


class _File(Generic[_Process]):
    """What both kinds of file have: the first piece, which is there before anybody is told that there is a file."""

    def __init__(self, process: _Process, at_end: AtEnd) -> None:
        self._process = process
        self._first = b""
        self._at_end: AtEnd | None = at_end

    def __aiter__(self) -> Self:
        return self

    def _taken(self) -> bytes:
        first, self._first = self._first, b""
        return first

    def _ended(self, outcome: Said | ControllerError | None) -> None:
        """Tell once what became of it."""
        at_end, self._at_end = self._at_end, None
        if at_end is not None:
            at_end(outcome)


class Jobs:
    """The jobs of a daemon. Files are made for a few callers at once; `busy` (1011) for more."""

    def __init__(self, most_files: int = 3) -> None:
        self._places = most_files

    async def result(self, job: Said) -> Said:
        """Do a job that makes no file, and return what it came to. Raises what it failed with."""
        process = await _begin(job)
        try:
            _, words = await process.communicate()
            return _outcome(words)
        finally:
            await _end(process)

    async def file(self, job: Said, at_end: AtEnd = _unheard) -> JobFile:
        """Return the file that a job makes, as it makes it. Raises what it failed with before the first piece."""
        if not self._places:
            raise CodedError(Code.busy, "recorded calls are being shown to others", next_step="ask again in a moment")
        self._places -= 1
        try:
            found = JobFile(await _begin(job), at_end, self._one_less)
        except BaseException:
            self._places += 1
            raise
        try:
            await found.begin()
        except BaseException:
            await found.aclose()
            raise
        return found

    def _one_less(self) -> None:
        self._places += 1


class JobFile(_File[asyncio.subprocess.Process]):
    """`commands.events.Feed` of the pieces of a file."""

    def __init__(
        self, process: asyncio.subprocess.Process, at_end: AtEnd, on_closed: Callable[[], None]
    ) -> None:  # fmt: skip
        super().__init__(process, at_end)
        self._on_closed: Callable[[], None] | None = on_closed
        assert process.stdout is not None  # noqa: S101 - it was asked for
        assert process.stderr is not None  # noqa: S101
        self._stdout = process.stdout
        self._before = 0
        self._words = asyncio.ensure_future(process.stderr.read())

    async def begin(self) -> None:
        """Wait for the first piece. Raises what the job failed with."""
        self._first = await self._piece()

    async def _piece(self) -> bytes:
        """Return a piece; none at the end of the whole file. Raises what the job failed with."""
        await asyncio.sleep(self._before / _PACE)
        if piece := await self._stdout.read(_PIECE):
            self._before = len(piece)
            return piece
        words = await self._words
        try:
            outcome = _outcome(words)
        except ControllerError as error:
            await asyncio.to_thread(self._ended, error)
            raise
        await asyncio.to_thread(self._ended, outcome)
        return b""

    async def __anext__(self) -> bytes:
        """Wait for a piece."""
        if piece := self._taken() or await self._piece():
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the job, wherever it is."""
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is None:
            return
        try:
            await _end(self._process)
            await asyncio.gather(self._words, return_exceptions=True)
            await asyncio.to_thread(self._ended, None)
        finally:
            on_closed()


async def _begin(job: Said) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env=clean_environment(), start_new_session=True
        )
    except OSError as error:
        raise _not_started(error) from None
    assert process.stdin is not None  # noqa: S101 - it was asked for
    process.stdin.write(orjson.dumps({**job, "gives_way": True}))
    process.stdin.close()
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended by itself, and nobody has looked yet
            process.kill()
        await process.wait()


def result(job: Said) -> Said:
    """Do a job that makes no file, by waiting for it. Raises what it failed with."""
    process = _start(job)
    try:
        _, words = process.communicate()
        return _outcome(words)
    finally:
        _stop(process)


def file(job: Said, at_end: AtEnd = _unheard) -> BlockingJobFile:
    """Return the file that a job makes. Raises what it failed with before the first piece."""
    found = BlockingJobFile(_start(job), at_end)
    try:
        found.begin()
    except BaseException:
        found.close()
        raise
    return found


class BlockingJobFile(_File["subprocess.Popen[bytes]"]):
    """The same, for who waits by blocking (see `port.finish`)."""

    def begin(self) -> None:
        """Wait for the first piece. Raises what the job failed with."""
        self._first = self._piece()

    def _piece(self) -> bytes:
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None  # noqa: S101 - it was asked for
        assert stderr is not None  # noqa: S101
        if piece := stdout.read(_PIECE):
            return piece
        try:
            outcome = _outcome(stderr.read())
        except ControllerError as error:
            self._ended(error)
            raise
        self._ended(outcome)
        return b""

    async def __anext__(self) -> bytes:
        """Wait for a piece."""
        if piece := self._taken() or self._piece():
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the job, wherever it is."""
        self.close()

    def close(self) -> None:
        """End the job, wherever it is."""
        _stop(self._process)
        self._ended(None)


def _start(job: Said) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env=clean_environment())
    except OSError as error:
        raise _not_started(error) from None
    assert process.stdin is not None  # noqa: S101 - it was asked for
    process.stdin.write(orjson.dumps({**job, "gives_way": False}))
    process.stdin.close()
    process.stdin = None  # `communicate` would flush it
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
