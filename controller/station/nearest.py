"""The station of a store on this machine: its daemon where one runs, else the store itself. Decided only here."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from controller.station.commands.status import GetStatus
from controller.station.glance import glance
from controller.station.port import Caller, Command, Report, Result, Station, silent
from controller.store.layout import StoreLayout


class NearestStation:
    """Chooses for each command. `remote` and `offline` build the stations when they are asked for."""

    def __init__(self, layout: StoreLayout, remote: Callable[[], Station], offline: Callable[[], Station]) -> None:
        self._layout = layout
        self._remote = remote
        self._offline = offline

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Carry out a command; see `Station.execute`. Blocks."""
        if isinstance(command, GetStatus):
            document = glance(self._layout.socket)
            if document is not None:
                return cast(Result, document)
        if command.for_daemon and (self._layout.socket.exists() or not isinstance(command, GetStatus)):
            from controller.client.answers import NotReached  # noqa: PLC0415 - `status` without a daemon is quick

            try:
                return await self._remote().execute(command, caller, report)
            except NotReached:
                pass  # no daemon, or a socket that a killed one left: certainly nothing was done
        return await self._offline().execute(command, caller, report)
