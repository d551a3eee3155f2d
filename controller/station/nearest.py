"""The station of a store on this machine: its daemon where one runs, else the store itself. Decided only here.

Here a caller's desired tree is also held against the daemon's, for every command that has to do with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from controller.station.commands.status import GetStatus
from controller.station.glance import glance
from controller.station.port import Caller, Command, Report, Result, Station, silent
from controller.store.layout import StoreLayout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.station.trees import NamedTree


class NearestStation:
    """Chooses for each command. `remote` and `offline` build the stations when they are asked for.

    `offline` takes the tree to read; `named` returns the caller's.
    """

    def __init__(
        self,
        layout: StoreLayout,
        named: Callable[[], NamedTree],
        remote: Callable[[], Station],
        offline: Callable[[Path | None], Station],
    ) -> None:
        self._layout = layout
        self._named = named
        self._remote = remote
        self._offline = offline

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Carry out a command; see `Station.execute`. Blocks. Raises OtherTree."""
        if isinstance(command, GetStatus):
            document = glance(self._layout.socket)
            if document is not None:
                return cast(Result, document)
        tree = await self._followed(command, caller) if command.tree else None
        if command.for_daemon and (self._layout.socket.exists() or not isinstance(command, GetStatus)):
            from controller.client.answers import NotReached  # noqa: PLC0415 - `status` without a daemon is quick

            try:
                return await self._remote().execute(command, caller, report)
            except NotReached:
                pass  # no daemon, or a socket that a killed one left: certainly nothing was done
        return await self._offline(tree).execute(command, caller, report)

    async def _followed(self, command: Command[Result], caller: Caller) -> Path | None:
        """Return the tree that the daemon keeps; None where no daemon runs, or one that cannot say it."""
        from controller.client.answers import NotReached  # noqa: PLC0415
        from controller.errors import CallError  # noqa: PLC0415
        from controller.station.commands.reconciling import GetDesiredTree  # noqa: PLC0415
        from controller.station.trees import followed  # noqa: PLC0415

        try:
            theirs = await self._remote().execute(GetDesiredTree(), caller)
        except NotReached:
            return None
        except CallError:  # a daemon of the release before has no such route; the command says what else is wrong
            return None
        return followed(self._named(), theirs, command.tree, self._layout.root)
