"""What was true of a part, told after its detection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from controller.errors import Code, CodedError
from controller.station.port import Access, Command, Operation, Route

PartVerdict = Literal["OK", "NG"]
Counted = Literal["right", "escape", "overkill"]
"""What feedback makes of a verdict: it was right; it let a bad part pass; it threw a good part away."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class FeedbackCounted:
    """The verdict that feedback was given to, and what it counts as for that version."""

    request_id: str
    pid: str
    name: str
    version: str
    verdict: PartVerdict
    truth: PartVerdict
    counted: Counted


@dataclass(frozen=True, slots=True)
class GiveFeedback(Command[FeedbackCounted]):
    """Tell what was true of the part of a detection, and who says so. Told again, it counts once.

    Raises CodedError 1003: the verdict is not known (any more), another truth was told, or an argument is malformed.
    """

    request_id: str
    truth: PartVerdict
    source: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z0-9_-]{1,64}", self.request_id):
            raise _invalid("request_id", "the request_id of a detection's answer")
        if self.truth not in {"OK", "NG"}:
            raise _invalid("truth", "OK or NG")
        if len(self.source) > _LONGEST or not (self.source.isprintable()):
            raise _invalid("source", f"at most {_LONGEST} printable characters")

    operation: ClassVar = Operation(
        Access.operator,
        "Report what the part of a detection really was: OK or NG.",
        (
            Route(
                "POST", "/v1/detections/{request_id}/feedback", "What it counts as.", (400, 404, 409, 413, 500),
                {"request_id": "request_id"},
            ),
        ),
        FeedbackCounted,
    )  # fmt: skip


def counted(verdict: PartVerdict, truth: PartVerdict) -> Counted:
    """Return what a verdict counts as, now that the truth is known."""
    if verdict == truth:
        return "right"
    return "escape" if truth == "NG" else "overkill"


def _invalid(what: str, need: str) -> CodedError:
    return CodedError(Code.invalid_params, f"{what} is not valid", next_step=f"pass {need}")
