"""A replay as its document: 60 parts, of which the new version lets two scratched ones pass and breaks at a third;
one picture is gone, and of one it refuses the arguments."""

from __future__ import annotations

from controller.model.comparison import Answer
from controller.model.last_part import Defect
from controller.replay.document import USUAL_LIMITS, document_of
from controller.replay.result import Result
from controller.replay.shown import Shown

SCRATCH: Defect = {"x": 4.0, "y": 6.0, "width": 10.0, "height": 3.0, "label": "scratch", "score": None}
NG, OK = Answer("NG", (SCRATCH,), 20.0, "1 scratch"), Answer("OK", (), 18.0)
BROKEN = Answer("ERROR", message="the process ended \x00<b>& more")


def shown(number: int) -> Shown:
    """Return a picture of the sixty."""
    before = OK if number % 3 else NG
    after = {30: OK, 60: OK, 31: BROKEN, 32: None, 33: BROKEN, 34: None}.get(number, before)
    said = Answer("ERROR") if number == 33 else before
    at = f"2027-01-15T08:{number % 60:02d}:00.000000Z"
    identifier = f"{20270115080000000 + number * 1000:017d}-{number:010x}"
    refused = "params: threshold must be <1" if number == 34 else ""
    return Shown(identifier, "A01", f"r{number}", at, said, after, refused=refused).compared(None)


SHOWN = [shown(number) for number in range(1, 61)]


def _result() -> Result:
    result = Result(len(SHOWN), SHOWN)
    result.memory_bytes = 90 << 20
    result.finish("")
    return result


RESULT = _result()
REPLAY = document_of(
    RESULT, SHOWN,
    deployment="screws", package="inspector@2.0.0", baseline="recorded", limits=USUAL_LIMITS,
)  # fmt: skip
