"""A replay as a document: what `pvctl replay -o json` prints, and a station answers. Fields are only added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from controller.model.comparison import Said
from controller.model.intervals import clopper_pearson
from controller.model.last_part import Defect

if TYPE_CHECKING:
    from controller.model.comparison import Answer
    from controller.replay.result import Result
    from controller.replay.shown import Shown

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """Largest shares (0–1): newly OK and newly NG ones of the compared pictures, errors of all that were shown."""

    max_newly_ok: float = 0.002
    max_newly_ng: float = 0.02
    max_errors: float = 0.0


USUAL_LIMITS = ReplayLimits()


class Share(TypedDict):
    """How many pictures of how many, the share, its exact interval (Clopper–Pearson, 95 %), and its limit."""

    pictures: int
    of: int
    share: float
    interval: list[float]
    limit: float
    within: bool


class Cell(TypedDict):
    """How many pictures came to `before`, and come to `after` now."""

    before: Said
    after: Said
    pictures: int


class AnswerRow(TypedDict):
    """What was said of a picture; `latency_ms` null: it gave no answer."""

    said: Said
    latency_ms: float | None
    message: str
    defects: Sequence[Defect]


class PictureRow(TypedDict):
    """One picture. `after` null: it was not shown; `recorded` is there where another version is compared with.

    `refused`: why it is `dropped`, where a version does not take the recorded arguments; empty elsewhere.
    `outcome` `same` also where it had no verdict before (`excused`: true) and whatever is said now.
    """

    recording: str
    pid: str
    request_id: str
    at: str
    outcome: Literal["same", "newly_ok", "newly_ng", "both", "error", "timeout", "dropped"]
    excused: bool
    before: AnswerRow | None
    after: AnswerRow | None
    recorded: AnswerRow | None
    refused: str


class Quantiles(TypedDict):
    """Latencies in milliseconds; null where none is known. Those of a replay were measured behind all else's back."""

    p50: float | None
    p95: float | None


class ReplayDocument(TypedDict):
    """What a replay came to.

    `baseline`: what is compared with, `recorded` or a package. `pictures` has every one of them; `differing` those that
    differ, or at which the version failed where there had been a verdict. `refused` are those of `dropped` whose
    recorded arguments a version does not take. `failure`: how the version failed otherwise; `within_limits` false then,
    too.
    """

    deployment: str
    package: str
    baseline: str
    wanted: int
    compared: int
    excused: int
    dropped: int
    refused: int
    matrix: list[Cell]
    newly_ok: Share
    newly_ng: Share
    errors: Share
    recorded_latency_ms: Quantiles
    latency_ms: Quantiles
    memory_bytes: int | None
    failure: str
    within_limits: bool
    differing: list[PictureRow]
    pictures: list[PictureRow]


def share_of(pictures: int, of: int, limit: float) -> Share:
    """Return a share with its interval. That nothing was counted is within every limit."""
    share = pictures / of if of else 0.0
    low, high = clopper_pearson(pictures, of, CONFIDENCE)
    return Share(
        pictures=pictures, of=of, share=share, interval=[low, high], limit=limit, within=pictures <= limit * of + 1e-9
    )


def document_of(
    result: Result, shown: Sequence[Shown], *, deployment: str, package: str, baseline: str, limits: ReplayLimits
) -> ReplayDocument:
    """Return the document of a replay that is done, and of its pictures."""
    counts = result.agreement
    newly_ok = share_of(counts.newly_ok, counts.compared, limits.max_newly_ok)
    newly_ng = share_of(counts.newly_ng, counts.compared, limits.max_newly_ng)
    errors = share_of(counts.errors + counts.timeouts, counts.calls, limits.max_errors)
    rows = [_row(each) for each in shown]
    differing = [row for row in rows if row["outcome"] not in {"same", "dropped"}]
    return ReplayDocument(
        deployment=deployment, package=package, baseline=baseline,
        wanted=result.wanted, compared=counts.compared, excused=counts.excused, dropped=counts.dropped,
        refused=result.refused,
        matrix=[Cell(before=before, after=after, pictures=number)
                for (before, after), number in sorted(result.matrix.items())],
        newly_ok=newly_ok, newly_ng=newly_ng, errors=errors,
        recorded_latency_ms=_quantiles(result.recorded), latency_ms=_quantiles(result.replayed),
        memory_bytes=result.memory_bytes, failure=result.failure,
        within_limits=not result.failure and newly_ok["within"] and newly_ng["within"] and errors["within"],
        differing=differing, pictures=rows,
    )  # fmt: skip


def _quantiles(seconds: Sequence[float]) -> Quantiles:
    from controller.replay.result import quantile  # noqa: PLC0415 - who only names the document needs none

    p50, p95 = (quantile(seconds, share) for share in (0.5, 0.95))
    return Quantiles(
        p50=None if p50 is None else round(p50 * 1000, 3), p95=None if p95 is None else round(p95 * 1000, 3)
    )


def _row(shown: Shown) -> PictureRow:
    counts, differs = shown.counts, shown.difference
    outcome: Literal["same", "newly_ok", "newly_ng", "both", "error", "timeout", "dropped"] = "same"
    if counts.dropped:
        outcome = "dropped"
    elif counts.errors or counts.timeouts:
        outcome = "error" if counts.errors else "timeout"
    elif differs:
        outcome = "both" if differs.newly_ok and differs.newly_ng else "newly_ok" if differs.newly_ok else "newly_ng"
    return PictureRow(
        recording=shown.recording, pid=shown.pid, request_id=shown.request_id, at=shown.at, outcome=outcome,
        excused=bool(counts.excused), before=_answer(shown.before), after=_answer(shown.after),
        recorded=_answer(shown.recorded), refused=shown.refused,
    )  # fmt: skip


def _answer(answer: Answer | None) -> AnswerRow | None:
    if answer is None:
        return None
    return AnswerRow(
        said=answer.said, latency_ms=answer.latency_ms, message=answer.message, defects=list(answer.defects)
    )
