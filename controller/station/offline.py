"""The station where no daemon runs. `pvctl status` has to answer at once; everything else is loaded when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from controller.station.commands.status import GetStatus
from controller.station.port import Caller, Command, Report, Result, require_access, silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.model.rollout import Instant
    from controller.model.status_document import StatusDocument
    from controller.store.layout import StoreLayout


class OfflineStation:
    """Carries out commands on one store and one desired tree. `now` is an RFC 3339 clock, `clock` the boot-time one.

    `begin_log` is called before anything that may log.
    """

    def __init__(
        self,
        layout: StoreLayout,
        desired: Path,
        now: Callable[[], str],
        clock: Callable[[], Instant],
        begin_log: Callable[[], None],
    ) -> None:
        self._layout = layout
        self._desired = desired
        self._now = now
        self._clock = clock
        self._begin_log = begin_log

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Carry out a command; see `Station.execute`. Blocks.

        Raises:
            StoreBusy: the command changes something, and another controller holds the store.
        """
        require_access(command, caller)
        if isinstance(command, GetStatus):
            return cast(Result, self._status())
        from controller.station.offline_commands import OfflineCommands

        self._begin_log()
        commands = OfflineCommands(self._layout, self._desired, self._now, self._clock)
        return commands.execute(command, caller, report)

    def _status(self) -> StatusDocument:
        from controller.processes.record_files import serving
        from controller.station.offline_status import read_offline_status

        return read_offline_status(self._layout, serving(self._layout.run))
