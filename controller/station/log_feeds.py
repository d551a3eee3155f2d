"""Logs as feeds: the last lines of each, then what is added to them. In a daemon, and without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from controller.errors import Code, CodedError, StoreError
from controller.station.commands.records import LogPiece, ReadLogs
from controller.store.log_reading import LogFile

_POLL = 0.25
"""Seconds between two looks at what was added."""
_QUIET = 10.0
"""Seconds after which an empty batch says that nothing was."""
MOST = 32


class Followers:
    """How many follow logs of a daemon at once, and whether it goes on. In the thread of the event loop."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._count = 0
        self._ended = asyncio.Event()

    def enter(self) -> None:
        """Count one more. Raises CodedError 1011: there are too many."""
        if self._count >= self._most:
            raise CodedError(Code.busy, f"{self._most} readers of logs are there already", next_step="try again later")
        self._count += 1

    def leave(self) -> None:
        """Count one out."""
        self._count -= 1

    def close(self) -> None:
        """End all of them: the daemon stops."""
        self._ended.set()

    async def rest(self, seconds: float) -> bool:
        """Wait; return whether to go on."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return True
        return False


class _Logs:
    """The logs that a query is about, read where a thread may block."""

    def __init__(self, paths: Sequence[Path], query: ReadLogs) -> None:
        self._files = [LogFile(path) for path in paths]
        self._query = query
        self._begun = False
        self.ended = False

    def batch(self) -> tuple[LogPiece, ...]:
        """Return the last lines of each log; later, what was added. Raises StoreError."""
        first, self._begun = not self._begun, True
        try:
            texts = [(each.name, each.last(self._query.lines) if first else each.more()) for each in self._files]
        except OSError as error:
            raise StoreError(f"cannot read a log: {error.strerror or error}") from error
        if first and not self._query.follow:
            texts = [(each.name, text + each.rest()) for each, (_, text) in zip(self._files, texts, strict=True)]
            self.close()
        return tuple(LogPiece(name, text) for name, text in texts if text)

    def close(self) -> None:
        self.ended = True
        for each in self._files:
            each.close()


class LogFeed:
    """The logs of a daemon's station, read in threads beside the loop."""

    def __init__(self, paths: Sequence[Path], query: ReadLogs, followers: Followers) -> None:
        followers.enter()
        self._logs = _Logs(paths, query)
        self._followers = followers
        self._open = True
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[LogPiece, ...]:
        """Return lines; an empty batch after a while where none were added."""
        waited = 0.0
        while not self._logs.ended:
            batch = await asyncio.to_thread(self._logs.batch)
            if batch or not self._begun or waited >= _QUIET:
                self._begun = True
                return batch
            if not await self._followers.rest(_POLL):
                break
            waited += _POLL
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Let go of the files."""
        if self._open:
            self._open = False
            self._followers.leave()
            self._logs.close()


class BlockingLogFeed:
    """The logs of a store without a daemon: waits by blocking, as everything does there (see `port.finish`)."""

    def __init__(self, paths: Sequence[Path], query: ReadLogs) -> None:
        self._logs = _Logs(paths, query)
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[LogPiece, ...]:
        """Return lines; block where none were added."""
        while not self._logs.ended:
            batch = self._logs.batch()
            if batch or not self._begun:
                self._begun = True
                return batch
            time.sleep(_POLL)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Let go of the files."""
        self._logs.close()
