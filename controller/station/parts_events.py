"""Tells of the last parts as events, a few times a second and the latest of each PID, while somebody follows them.

Where parts come faster than anybody can read, each with a picture stands for a moment before those without one go on:
else a viewer would hardly ever see a verdict together with its picture.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from controller.calls.data_plane import DataPlane
from controller.calls.last_parts import Part
from controller.model.last_part import PartPicture
from controller.station.events import EventLog

EVERY = 0.5
STANDS = 1.2
"""Seconds for which a part with a picture stands, where only parts without one come."""
_ROWS = 25
"""Rows of one event: with all the defects that they may have they still fit into what is handed over at once."""


@dataclass(frozen=True, slots=True)
class _Told:
    part: Part
    picture: PartPicture | None
    at: float


class PartsEvents:
    """Publishes the parts of one data plane."""

    def __init__(self, plane: DataPlane, events: EventLog) -> None:
        self._plane = plane
        self._events = events
        self._told: dict[str, _Told] = {}

    async def run(self) -> None:
        """Look for as long as the daemon lives."""
        while True:
            await asyncio.sleep(EVERY)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Publish what changed since the last look; all, where nobody followed before."""
        if not self._events.wants("parts"):
            self._told.clear()
            return
        self._plane.gallery.look()
        rows = []
        for last in self._plane.parts.latest():
            part = self._to_tell(last, now)
            if part is not None:
                self._told[part.pid] = _Told(part, part.picture, now)
                rows.append(part.row())
        for start in range(0, len(rows), _ROWS):
            self._events.publish("parts", rows[start : start + _ROWS])

    def _to_tell(self, last: Part, now: float) -> Part | None:
        told, pictured = self._told.get(last.pid), self._plane.gallery.latest(last.pid)
        if told is None:
            return pictured or last
        if pictured is not None and pictured.at >= told.part.at and (pictured is not told.part or not told.picture):
            return pictured
        if last is told.part:
            return last if last.picture != told.picture else None
        stands = told.picture is not None and last.picture is None and now - told.at < STANDS
        return None if stands else last
