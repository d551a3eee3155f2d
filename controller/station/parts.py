"""The last parts and their pictures, as a daemon's data plane has them. Who asks looks, and so has pictures made."""

from __future__ import annotations

import time

from controller.calls.data_plane import DataPlane
from controller.calls.last_parts import Part
from controller.model.last_part import LastPart
from controller.station.commands.parts import GetLastParts, GetPicture, NoPicture, PictureFile

FRESH = 1.5
"""Seconds after which a part with a picture gives way to later ones without: a little longer than pictures come."""


def last_parts(plane: DataPlane, query: GetLastParts) -> list[LastPart]:
    """Return the last part of each PID, by PID."""
    plane.gallery.look()
    now = time.time()
    found = (to_show(plane, last, now) if query.pictured else last for last in plane.parts.latest())
    return [part.row() for part in sorted(found, key=lambda part: part.pid)]


def to_show(plane: DataPlane, last: Part, now: float) -> Part:
    """Return what is best shown of a PID: its last part, or one before it that has a picture and is still fresh.

    Where parts come faster than anybody can read, a viewer would else hardly ever see a verdict with its picture.
    """
    if last.picture is not None:
        return last
    pictured = plane.gallery.latest(last.pid)
    return pictured if pictured is not None and 0 <= now - pictured.at < FRESH else last


async def picture(plane: DataPlane, query: GetPicture) -> PictureFile:
    """Return the picture of the part that is meant. Raises NoPicture."""
    plane.gallery.look()
    pid, request_id = query.pid, query.request_id
    part = plane.gallery.of_request(pid, request_id) if request_id else plane.gallery.latest(pid)
    content = await plane.gallery.content(part) if part is not None else None
    if part is None or content is None:
        last = plane.parts.last(pid)
        if request_id and last is not None and last.request_id != request_id:
            raise NoPicture(f"there is no picture of that part; {pid} has another part now", gone=True)
        raise NoPicture(f"there is no picture of a part of PID {pid[:80]}")
    return PictureFile(part.request_id, content)
