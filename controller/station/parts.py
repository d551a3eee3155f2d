"""The last parts and their pictures, as a daemon's data plane has them. Who asks looks, and so has pictures made."""

from __future__ import annotations

from controller.calls.data_plane import DataPlane
from controller.model.last_part import LastPart
from controller.station.commands.parts import GetPicture, NoPicture, PictureFile


def last_parts(plane: DataPlane) -> list[LastPart]:
    """Return the last part of each PID, by PID."""
    plane.gallery.look()
    return plane.parts.rows()


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
