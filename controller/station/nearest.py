"""The station of a store on this machine: its daemon where one runs, else the store itself. Decided only here."""

from __future__ import annotations

from collections.abc import Callable

from controller.station.commands import Detect, Reconcile
from controller.station.operations import operation_of
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
        if self._may_be_remote(command):
            from controller.client.answers import NotReached  # noqa: PLC0415 - `pvctl status` without a daemon is quick

            try:
                return await self._remote().execute(command, caller, report)
            except NotReached:
                pass  # a socket that a killed daemon left: certainly nothing was done
        return await self._offline().execute(command, caller, report)

    def _may_be_remote(self, command: Command[object]) -> bool:
        """Whether the daemon, if one runs, is to be asked. What only reads the store's files needs none."""
        if isinstance(command, Reconcile) and not command.serve:
            return False
        if isinstance(command, Detect):
            return True  # the client reads the images first: a picture that is not there is told with or without daemon
        return bool(operation_of(type(command)).routes) and self._layout.socket.exists()
