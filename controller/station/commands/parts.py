"""The last part of every PID: what was said of it, and its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from controller.errors import ControllerError
from controller.model.last_part import LastPart
from controller.station.port import Access, Command, Operation, Route

JPEG = "image/jpeg"
_PICTURED = "true: where parts come faster than pictures, the last one that has a picture, for 1.5 s; for showing."
_PART = "The part that is meant; 410 where another one is there now."


@dataclass(frozen=True, slots=True)
class GetLastParts(Command[list[LastPart]]):
    """The last part of each PID that one came to since the daemon's start, by PID.

    Who asks is taken to look at the parts: for a minute, pictures are made of the parts to come. `pictured`: where
    parts come faster than pictures, the last part that has one, for as long as it is fresh.
    """

    pictured: bool = False
    operation: ClassVar = Operation(
        Access.viewer,
        "Return the verdict on the last part of each PID, its defects, and whether there is a picture of it.",
        (
            Route(
                "GET",
                "/v1/parts",
                "The parts, by PID; of a PID that no part came to, nothing.",
                (400, 500),
                query={"pictured": _PICTURED},
            ),
        ),
        list[LastPart],
    )


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A part's picture as the bytes of a JPEG file, its longest side at most 960 pixels."""

    request_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class GetPicture(Command[PictureFile]):
    """The picture of a PID's part: of the one named by its `request_id`, else of the last one that has a picture.

    Raises:
        NoPicture: there is none of that part.
    """

    pid: str
    request_id: str = ""
    operation: ClassVar = Operation(
        Access.viewer,
        "Return the picture of a PID's part, reduced. With request_id: of that part, or of none.",
        (
            Route(
                "GET",
                "/v1/pids/{pid}/picture",
                "The picture.",
                (400, 404, 410, 500),
                {"pid": "pid"},
                query={"request_id": _PART},
            ),
        ),
    )


class NoPicture(ControllerError):
    """There is no picture of a part. `gone`: another part is there now."""

    def __init__(
        self, message: str, *, gone: bool = False, next_step: str = "see `pvctl parts` for the parts that have one"
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.gone = gone
