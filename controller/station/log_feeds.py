"""Logs as feeds: the last lines of each, then what is added, also to logs that come. In a daemon, and without one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from controller.errors import Code, CodedError, StoreError
from controller.station.commands.records import LogPiece, ReadLogs
from controller.station.log_places import LogPlace
from controller.store.log_reading import LogFile

_POLL = 0.25
"""Seconds between two looks at what was added."""
_LOOK_EVERY = 4
"""So many looks at what was added, and one whether there are more logs."""
_QUIET = 10.0
"""Seconds after which an empty batch says that nothing was."""
MOST = 32
Find = Callable[[], Sequence[LogPlace]]
"""Returns the logs that are meant at this moment; a thread may block in it."""


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

    def __init__(self, find: Find, query: ReadLogs) -> None:
        self._find = find
        self._query = query
        self._files: dict[Path, LogFile] = {}
        self._looks = 0
        self._lock = threading.Lock()
        self._reading = False
        self.ended = False

    def batch(self) -> tuple[LogPiece, ...]:
        """Return the last lines of each log; later, what was added. Raises StoreError."""
        with self._lock:
            if self.ended:
                return ()
            self._reading = True
        try:
            pieces = [LogPiece(each.name, each.more()) for each in self._files.values()]
            if self._looks % _LOOK_EVERY == 0:
                pieces += self._begin()
        except OSError as error:
            raise StoreError(f"cannot read a log: {error.strerror or error}") from error
        finally:
            with self._lock:
                self._reading = False
                self.ended = self.ended or not self._query.follow
                self._close_if_ended()
        self._looks += 1
        return tuple(each for each in pieces if each.text)

    def _begin(self) -> list[LogPiece]:
        """Return what the logs begin with that are meant and were not before; let go of those that are no longer.

        A log that was made meanwhile begins with its first line, any other with its last ones.
        """
        meant = {each.path: each for each in self._find()}
        for path in self._files.keys() - meant.keys():
            self._files.pop(path).close()
        pieces = []
        for path, place in meant.items():
            if path not in self._files:
                file = self._files[path] = LogFile(path)
                text = file.more() if place.new else file.last(self._query.lines)
                pieces.append(LogPiece(file.name, text if self._query.follow else text + file.rest()))
        return pieces

    def close(self) -> None:
        """Let go of the files; where a thread reads them at this moment, it does so when it is done."""
        with self._lock:
            self.ended = True
            self._close_if_ended()

    def _close_if_ended(self) -> None:
        if self.ended and not self._reading:
            for each in self._files.values():
                each.close()


class LogFeed:
    """The logs of a daemon's station, read in threads beside the loop."""

    def __init__(self, find: Find, query: ReadLogs, followers: Followers) -> None:
        followers.enter()
        self._logs = _Logs(find, query)
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

    def __init__(self, find: Find, query: ReadLogs) -> None:
        self._logs = _Logs(find, query)
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
