"""The page's station: no more than a bounded number of its commands are with the daemon at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, cast

from controller.gateway.limits import Places
from controller.station.commands.events import Feed
from controller.station.commands.records import LogPiece, ReadLogs
from controller.station.port import Caller, Command, Report, Result, Station, silent

_Lines = tuple[LogPiece, ...]


class BoundedStation:
    """Another station, by a number of places. Logs keep theirs until they are closed; of events there is one feed."""

    def __init__(self, station: Station, places: Places) -> None:
        self._station = station
        self._places = places

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Carry a command out; see `Station.execute`. Raises Refused 503: there is no place."""
        await self._places.enter()
        goes_on = False
        try:
            result = await self._station.execute(command, caller, report)
            if isinstance(command, ReadLogs):
                goes_on = True
                return cast(Result, _Placed(cast("Feed[_Lines]", result), self._places.leave))
            return result
        finally:
            if not goes_on:
                self._places.leave()


class _Placed:
    """A feed that gives its place back when it is closed."""

    def __init__(self, feed: Feed[_Lines], leave: Callable[[], None]) -> None:
        self._feed = feed
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Lines:
        return await anext(self._feed)

    async def aclose(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            try:
                await self._feed.aclose()
            finally:
                leave()
