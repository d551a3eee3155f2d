"""Tells of the parts to be shown as events, a few times a second and the latest of each PID, while somebody follows."""

from __future__ import annotations

import asyncio
import time

from controller.calls.data_plane import DataPlane
from controller.calls.last_parts import Part
from controller.model.last_part import PartPicture
from controller.station.events import EventLog
from controller.station.parts import to_show

EVERY = 0.5
_ROWS = 25
"""Rows of one event: with all the defects that they may have they still fit into what is handed over at once."""


class PartsEvents:
    """Publishes the parts of one data plane."""

    def __init__(self, plane: DataPlane, events: EventLog) -> None:
        self._plane = plane
        self._events = events
        self._told: dict[str, tuple[Part, PartPicture | None]] = {}

    async def run(self) -> None:
        """Look for as long as the daemon lives."""
        while True:
            await asyncio.sleep(EVERY)
            self.look(time.time())

    def look(self, now: float) -> None:
        """Publish what changed since the last look; all, where nobody followed before. `now`: seconds since 1970."""
        if not self._events.wants("parts"):
            self._told.clear()
            return
        self._plane.gallery.look()
        rows = []
        for part in (to_show(self._plane, last, now) for last in self._plane.parts.latest()):
            if self._told.get(part.pid) != (part, part.picture):
                self._told[part.pid] = (part, part.picture)
                rows.append(part.row())
        for start in range(0, len(rows), _ROWS):
            self._events.publish("parts", rows[start : start + _ROWS])
