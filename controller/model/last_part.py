"""The last part of a PID as everybody may see it: its verdict, what was found on it, and whether there is a picture.

The rows are JSON objects; further keys may come. What an algorithm says is shown as far as it can be: at most
`MOST_DEFECTS` rectangles of numbers, and the rest is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

MOST_DEFECTS = 100
LONGEST_WORDS = 500
"""Characters of a message that are kept, and of a defect's label a tenth of that."""
_FARTHEST = 1e6
"""Pixels; no picture is that large."""
_SIDES = ("x", "y", "width", "height")

PartOutcome = Literal["OK", "NG", "ERROR", "FAILED"]
"""What came of a part: the two verdicts; the algorithm said that it failed; the call failed, and nothing was said."""


class Defect(TypedDict):
    """A rectangle in the pixels of the picture that the algorithm got; `score` as the algorithm gives it."""

    x: float
    y: float
    width: float
    height: float
    label: str
    score: float | None


class PartPicture(TypedDict):
    """There is a picture of that very part; the size is that of the original, in whose pixels the defects are meant."""

    width: int
    height: int
    etag: str


class PartError(TypedDict):
    """Why a call failed: the code and the name of the contract."""

    code: int
    name: str


class LastPart(TypedDict):
    """The last part of a PID. `at`: when it was answered, RFC 3339 UTC.

    `name` and `version` are empty where the call reached no version, `error` is said only of a part that FAILED.
    `defects_malformed` counts what stood among the defects and is none, or was too much.
    """

    pid: str
    request_id: str
    at: str
    name: str
    version: str
    verdict: PartOutcome
    message: str
    latency_ms: float | None
    defects: list[Defect]
    defects_malformed: int
    error: PartError | None
    picture: PartPicture | None


def outcome_of(status: str, result_status: object) -> tuple[PartOutcome, str]:
    """Return what an algorithm's result says of a part, and what is wrong with it.

    A result without a verdict that is no failure counts as OK, as in `pvctl exec`: algorithms that only find a place
    have none.
    """
    if status != "OK":
        return "ERROR", ""
    if result_status is None or result_status == "OK":
        return "OK", ""
    if result_status == "NG":
        return "NG", ""
    return "ERROR", f"the algorithm answered with result_status {str(result_status)[:80]!r}, which is neither OK nor NG"


def defects_of(found: object) -> tuple[list[Defect], int]:
    """Return the rectangles in an algorithm's `defect_rects`, and how many entries are none or one too many.

    A rectangle is `{x, y, width, height}`, with `label` and `score` where they are said, or a list of the four numbers.
    """
    if found is None:
        return [], 0
    if not isinstance(found, (list, tuple)):
        return [], 1
    defects = [each for each in map(_defect, found[:MOST_DEFECTS]) if each is not None]
    return defects, len(found) - len(defects)


def _defect(found: object) -> Defect | None:
    if isinstance(found, Sequence) and not isinstance(found, (str, bytes)):
        fields: Mapping[object, object] = dict(zip(_SIDES, found, strict=True)) if len(found) == len(_SIDES) else {}
    else:
        fields = found if isinstance(found, Mapping) else {}
    sides = [_number(fields.get(side)) for side in _SIDES]
    x, y, width, height = sides
    if x is None or y is None or width is None or height is None or min(width, height) < 0:
        return None
    label = fields.get("label")
    words = label[: LONGEST_WORDS // 10] if isinstance(label, str) else ""
    return {"x": x, "y": y, "width": width, "height": height, "label": words, "score": _number(fields.get("score"))}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -_FARTHEST < value < _FARTHEST else None  # neither is NaN
