"""What two versions said of one picture, whether that is the same, and how often it was not. Pure values and rules.

Formulas and their sources: docs/analysis.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import add, attrgetter, sub
from typing import Literal, Self

from controller.model.last_part import Defect

Said = Literal["OK", "NG", "ERROR", "TIMEOUT"]
"""What a version came to on a picture: a verdict, a failure (its own ERROR, an exception, its end), or no answer."""
Words = tuple[Said, Said]
"""What the version before said of a picture, and what the new one says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one version said of one picture. `defects` in the pixels of the picture, `latency_ms` None: no answer."""

    said: Said
    defects: Sequence[Defect] = ()
    latency_ms: float | None = None
    message: str = ""

    @property
    def is_verdict(self) -> bool:
        return self.said in {"OK", "NG"}


@dataclass(frozen=True, slots=True)
class Difference:
    """How a new version's answer differs from the one before. Both may hold: one defect was missed, another found."""

    newly_ok: bool = False
    newly_ng: bool = False

    def __bool__(self) -> bool:
        return self.newly_ok or self.newly_ng


def compare(before: Answer, after: Answer, iou: float | None = None) -> Difference:
    """Return how two verdicts on one picture differ; nothing where either is no verdict.

    `iou`: the defects are compared too. One of `before` without a partner in `after` makes the picture newly OK, one of
    `after` without a partner newly NG; partners overlap by that intersection over union at least, each has one only.
    """
    if not (before.is_verdict and after.is_verdict):
        return Difference()
    by_verdict = Difference((before.said, after.said) == ("NG", "OK"), (before.said, after.said) == ("OK", "NG"))
    if iou is None:
        return by_verdict
    missed, found = unmatched(before.defects, after.defects, iou)
    return Difference(by_verdict.newly_ok or bool(missed), by_verdict.newly_ng or bool(found))


def unmatched(
    before: Sequence[Defect], after: Sequence[Defect], iou: float
) -> tuple[tuple[Defect, ...], tuple[Defect, ...]]:
    """Return the defects of each side without a partner on the other one.

    Partners are chosen by the largest overlap first, as in the evaluation of object detectors (Everingham et al., The
    PASCAL Visual Object Classes Challenge, IJCV 88, 2010, section 4.2).
    """
    pairs = sorted(
        ((overlap(one, other), i, j) for i, one in enumerate(before) for j, other in enumerate(after)), reverse=True
    )
    lost, new = set(range(len(before))), set(range(len(after)))
    for share, i, j in pairs:
        if share >= iou and i in lost and j in new:
            lost.discard(i)
            new.discard(j)
    return tuple(before[i] for i in sorted(lost)), tuple(after[j] for j in sorted(new))


def overlap(one: Defect, other: Defect) -> float:
    """Return the intersection over union of two rectangles (0–1); two that are equal overlap whole, also empty ones."""
    if all(one[side] == other[side] for side in ("x", "y", "width", "height")):
        return 1.0
    width = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    height = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    shared = max(width, 0.0) * max(height, 0.0)
    area = one["width"] * one["height"] + other["width"] * other["height"] - shared
    return shared / area if area > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a new version and the one before said the same of a picture: counts that add and subtract.

    The first four are pictures on which both gave a verdict, by what was said before and now: `newly_ok` of them went
    to OK, or lost a defect; `newly_ng` the other way. `errors` and `timeouts` are pictures with a verdict before on
    which the new version failed. `excused` had no verdict before: they say nothing of the new version. `dropped` were
    to be compared and could not be, for want of time, room or processor time: they say nothing either.
    """

    ok_ok: int = 0
    ok_ng: int = 0
    ng_ok: int = 0
    ng_ng: int = 0
    newly_ok: int = 0
    newly_ng: int = 0
    errors: int = 0
    timeouts: int = 0
    excused: int = 0
    dropped: int = 0

    @property
    def compared(self) -> int:
        """Pictures on which both gave a verdict: what the shares of `newly_ok` and `newly_ng` are of."""
        return self.ok_ok + self.ok_ng + self.ng_ok + self.ng_ng

    @property
    def calls(self) -> int:
        """Pictures that were shown to the new version and count for its error rate."""
        return self.compared + self.errors + self.timeouts

    @classmethod
    def of(cls, before: Answer, after: Answer, iou: float | None = None) -> Self:
        """Return the counts of one picture."""
        if not before.is_verdict:
            return cls(excused=1)
        if after.said == "ERROR":
            return cls(errors=1)
        if after.said == "TIMEOUT":
            return cls(timeouts=1)
        different = compare(before, after, iou)
        cell = f"{before.said}_{after.said}".lower()
        return cls(**{cell: 1}, newly_ok=int(different.newly_ok), newly_ng=int(different.newly_ng))

    @classmethod
    def from_document(cls, document: Mapping[str, int]) -> Self:
        """Return what `to_document` wrote; what it does not say is 0."""
        return cls(**{each.name: int(document.get(each.name, 0)) for each in fields(cls)})

    def to_document(self) -> dict[str, int]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(*map(add, _counts(self), _counts(other)))

    def __sub__(self, earlier: Agreement) -> Agreement:
        """Return what came since `earlier`. Raises ValueError where that is not an earlier state of the same counts."""
        since = Agreement(*map(sub, _counts(self), _counts(earlier)))
        if any(count < 0 for count in since.to_document().values()):
            raise ValueError("cannot subtract counts that are not an earlier state of the same ones")
        return since


_counts: Callable[[Agreement], tuple[int, ...]] = attrgetter(*(each.name for each in fields(Agreement)))
"""The counts in their order: they are added up with every picture."""
