"""The station of a store on this machine: its daemon where one runs, else the store itself. Decided only here.

Here a caller's desired tree is also held against the daemon's, for every command that has to do with one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from controller.station.commands.status import GetStatus
from controller.station.glance import glance
from controller.station.port import Caller, Command, DaemonSilent, Report, Result, Station, silent
from controller.store.layout import StoreLayout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.station.trees import NamedTree

PATIENCE = 5.0
"""Seconds that a daemon which holds the store may take to listen: it starts, or makes a lost socket anew."""
_RETRY = 0.1


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
        """Carry out a command; see `Station.execute`. Blocks.

        Raises:
            OtherTree, DaemonSilent: a daemon holds the store, and does not answer.
        """
        if isinstance(command, GetStatus):
            return cast(Result, await self._status(command, caller, report))
        tree = await self._followed(command, caller) if command.tree else None
        if command.for_daemon:
            from controller.client.answers import NotReached  # noqa: PLC0415 - `status` without a daemon is quick
            from controller.errors import Code, CodedError  # noqa: PLC0415

            try:
                return await self._ask(command, caller, report)
            except NotReached:
                pass  # no daemon, or a socket that a killed one left: certainly nothing was done
            except (CodedError, DaemonSilent) as error:
                if not command.operation.from_files or (isinstance(error, CodedError) and error.code != Code.unknown):
                    raise
                # It hangs, or is of another release: the files say it as well.
        return await self._offline(tree).execute(command, caller, report)

    async def _ask(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Have the daemon carry out a command; one that holds the store is given time to listen.

        Raises:
            NotReached: no daemon is there. DaemonSilent: it is, and does not answer.
        """
        from controller.client.answers import NotReached  # noqa: PLC0415 - as above

        until = time.monotonic() + PATIENCE
        while True:
            try:
                return await self._remote().execute(command, caller, report)
            except NotReached as error:
                if not (daemon := self._daemon()):
                    raise
                if time.monotonic() > until:
                    raise DaemonSilent(daemon, f"it holds the store, but {error.message}") from None
            except DaemonSilent as error:
                raise DaemonSilent(self._daemon() or "the daemon", error.why) from None
            time.sleep(_RETRY)

    async def _status(self, query: GetStatus, caller: Caller, report: Report) -> object:
        """Return what the daemon says, else what the store's files say: there is always something to show."""
        try:
            document = glance(self._layout.socket)
            if document is not None:
                return document
            if self._layout.socket.exists():
                from controller.client.answers import NotReached  # noqa: PLC0415 - as above

                try:
                    return await self._remote().execute(query, caller, report)
                except NotReached:
                    pass  # a socket that a killed daemon left
        except (TimeoutError, DaemonSilent):
            report(f"{self._daemon() or 'the daemon'} does not answer; this is its last status")
        else:
            if daemon := self._daemon():
                report(f"{daemon} does not listen at {self._layout.socket}; this is its last status")
        return await self._offline(None).execute(query, caller, report)

    def _daemon(self) -> str:
        """Name the daemon that holds the store; empty where none does."""
        from controller.store.lock import describe_owner, living_owner  # noqa: PLC0415 - as above

        owner = living_owner(self._layout)
        return "" if owner is None or owner.get("role", "run") != "run" else describe_owner(owner)

    async def _followed(self, command: Command[Result], caller: Caller) -> Path | None:
        """Return the tree that the daemon keeps; None where no daemon runs, or one that cannot say it."""
        from controller.client.answers import NotReached  # noqa: PLC0415
        from controller.errors import CallError  # noqa: PLC0415
        from controller.station.commands.reconciling import GetDesiredTree  # noqa: PLC0415
        from controller.station.trees import followed  # noqa: PLC0415

        try:
            theirs = await self._ask(GetDesiredTree(), caller)
        except NotReached:
            return None
        except CallError:  # a daemon of the release before has no such route; the command says what else is wrong
            return None
        return followed(self._named(), theirs, command.tree, self._layout.root)
