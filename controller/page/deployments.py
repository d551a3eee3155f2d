"""One card for each deployment: its steps, its PIDs, the evidence meters, and which acts there are. Pure rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from controller.model.status_document import DeploymentRow, EvidenceRow, PidRow, StatusDocument
from controller.page.snapshot import JsonRow, Sample, Snapshot
from controller.page.tiles import is_under_way
from controller.rollouts.analysis.rates import threshold

Verb = Literal["promote", "pause", "resume", "abort", "retry", "rollback", "restart"]
Level = Literal["calm", "near", "over"]
Trend = Literal["rising", "steady", "falling"]

NEAR = 0.5
"""From here on a meter warns, as `pvctl status` does."""
_TREND_SECONDS = 60.0
_TREND_LEAST = 0.03
_SCALE = 1000
"""A meter's width in its own units."""
_SPARK = (160, 32)
METERED = (
    "newlyOK", "newlyNG", "replayErrorRate", "replayTimeoutRate", "errorRate", "timeoutRate", "latencyP95", "escapes",
    "overkill", "ngRate",
)  # fmt: skip
"""The metrics that come nearer to a rollback with every call or picture; the others fail at once or not at all."""
BY_PICTURES = METERED[:4]
"""Of these, those whose samples are pictures."""
_MOST_PICTURES = 12


@dataclass(frozen=True, slots=True)
class Meter:
    """How near one metric is to a rollback: `progress` 0 to 1 is the logarithm of the evidence, as a share of what a
    rollback needs, so a scale that is even in it is a logarithmic one in the odds.

    `ticks` are odds with their places, `odds` are those of the threshold; 0: a count of a replay, whose scale is even.
    `spark` are the points of a line.
    """

    metric: str
    progress: float
    value: float | None
    limit: float | None
    samples: int
    needed: int
    sentence: str
    level: Level
    trend: Trend
    ticks: tuple[tuple[int, int], ...]
    odds: int
    spark: str

    @property
    def place(self) -> int:
        """The end of the bar, in the meter's own units."""
        return round(self.progress * _SCALE)

    @property
    def counts(self) -> str:
        """What its samples are."""
        return "pictures" if self.metric in BY_PICTURES else "calls"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the strategy: a weight with the PIDs that have the new version then, a pause, a replay or a shadow.

    `pause_s`: seconds; None: until it is promoted. `last` is a replay's number of pictures; `duration_s` is a shadow's,
    whose `weight` is the percent of the PIDs that are shadowed.
    """

    kind: str
    weight: int
    pause_s: float | None
    pids: tuple[str, ...]
    stands: str
    last: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Differing:
    """A picture on which the version that is judged says something else than the one before, or fails."""

    metric: str
    pid: str
    request: str
    recording: str
    before: str
    after: str
    at: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one deployment. `until` is when its present wait ends, `reason` what it waits for."""

    name: str
    phase: str
    package: str
    target: str
    stable: str
    weight: int
    desired_weight: int
    message: str
    under_way: bool
    steps: tuple[Step, ...]
    on_target: tuple[str, ...]
    elsewhere: tuple[str, ...]
    until: str
    reason: str
    meters: tuple[Meter, ...]
    facts: tuple[str, ...]
    """What failed at once, in the station's own words."""
    pictures: tuple[Differing, ...]
    quarantined: tuple[str, ...]
    rollback_to: str
    rollback_until: str
    last_words: tuple[str, ...]
    last_words_of: str
    patch: str
    acts: tuple[Verb, ...]

    @property
    def quiet(self) -> bool:
        """Whether nobody has to look at it."""
        return self.phase in {"Healthy", "Suspended"} and not self.under_way


_RANKS = ("Degraded", "Progressing", "Paused", "Suspended", "Healthy")


def cards(snapshot: Snapshot) -> tuple[Card, ...]:
    """Return the deployments, those that need somebody first."""
    document = snapshot.status
    if document is None:
        return ()
    found = [_card(row, document, snapshot) for row in document["deployments"]]
    return tuple(sorted(found, key=lambda each: _RANKS.index(each.phase) if each.phase in _RANKS else 0))


def _card(row: DeploymentRow, document: StatusDocument, snapshot: Snapshot) -> Card:
    pids = [each for each in document["pids"] if each["deployment"] == row["name"]]
    waits = [each for each in document["waiting"] if each["what"] == f"rollout/{row['name']}"]
    evidence = [each for each in row.get("evidence", ()) if isinstance(each, dict)]
    detail = snapshot.details.get(row["name"], {})
    shown = is_under_way(row) or row["phase"] == "Degraded" or row.get("rollback_until")
    on_target = tuple(each["pid"] for each in pids if _on(each, row["target_version"]))
    return Card(
        name=row["name"], phase=row["phase"], package=row["package"], target=row["target_version"],
        stable=row["stable_version"] or "", weight=row["actual_weight"], desired_weight=row["desired_weight"],
        message=row["message"], under_way=is_under_way(row), steps=tuple(_steps(detail)), on_target=on_target,
        elsewhere=tuple(each["pid"] for each in pids if each["pid"] not in on_target),
        until=waits[0]["until"] or "" if waits else "", reason=waits[0]["reason"] if waits else "",
        meters=tuple(_meters(row["name"], evidence, snapshot)) if shown else (),
        facts=tuple(each["message"] for each in evidence if each["metric"] not in (*METERED, "samples")),
        pictures=tuple(_pictures(evidence)),
        quarantined=tuple(row["quarantined"]), rollback_to=row.get("rollback_to") or "",
        rollback_until=row.get("rollback_until") or "", last_words=tuple(row.get("last_words", ()))[-6:],
        last_words_of=row.get("last_words_of") or "", patch=row.get("patch", ""), acts=tuple(_acts(row, pids, detail)),
    )  # fmt: skip


def _on(row: PidRow, version: str) -> bool:
    return row["active"] is not None and row["active"]["version"] == version


def _acts(row: DeploymentRow, pids: Sequence[PidRow], detail: JsonRow) -> Iterator[Verb]:
    """Yield what the station would take now, as far as it tells; it decides."""
    rollout = detail.get("rollout") or {}
    paused_by_hand = bool(rollout.get("paused_by"))
    if is_under_way(row) and not paused_by_hand:
        yield "promote"
        yield "pause"
    if paused_by_hand or any(each["held"] for each in pids):
        yield "resume"
    if is_under_way(row) or row.get("rollback_until"):
        yield "abort"
    if f"{row['package']}@{row['target_version']}" in row["quarantined"]:
        yield "retry"
    if any(each["active"] for each in pids):
        yield "rollback"
        yield "restart"


def _steps(detail: JsonRow) -> Iterator[Step]:
    for each in detail.get("steps") or ():
        pids = each["pids"] if each["kind"] in {"setWeight", "shadow"} else ()
        terms = each.get("pictures") or {}
        yield Step(
            each["kind"], terms.get("weight", each["weight"]), each["pause_s"], tuple(pids), each["state"],
            terms.get("last", 0), terms.get("duration_s", 0.0),
        )  # fmt: skip


def _pictures(evidence: Sequence[EvidenceRow]) -> Iterator[Differing]:
    """Yield some of the pictures that each metric is about."""
    for row in evidence:
        for each in row.get("pictures", [])[:_MOST_PICTURES]:
            yield Differing(row["metric"], each["pid"], each["request_id"], each["recording"], each["before"],
                            each["after"], each["at"])  # fmt: skip


def _meters(name: str, evidence: Sequence[EvidenceRow], snapshot: Snapshot) -> Iterator[Meter]:
    judged = [each for each in evidence if each["metric"] in METERED]
    usual = round(math.exp(threshold(len(judged))))  # of a station that does not tell them yet
    for row in judged:
        odds = row.get("odds", usual)
        ticks = tuple((at, round(_SCALE * math.log(at) / math.log(odds))) for at in (10, 100) if at < odds)
        progress = row["progress"]
        samples = snapshot.trends.get((name, row["metric"]), ())
        yield Meter(
            metric=row["metric"], progress=progress, value=row["value"], limit=row["limit"], samples=row["samples"],
            needed=row.get("needed", 0), sentence=row["message"],
            level="over" if progress >= 1 else "near" if progress >= NEAR else "calm",
            trend=trend(samples, snapshot.as_of), ticks=ticks, odds=odds, spark=spark(samples),
        )  # fmt: skip


def trend(samples: Sequence[Sample], now: float) -> Trend:
    """Return where a metric goes: what it is now against what it was a minute ago."""
    recent = [each for each in samples if each.at >= now - _TREND_SECONDS]
    before = [each for each in samples if each.at < now - _TREND_SECONDS]
    start = before[-1] if before else recent[0] if recent else None
    if start is None:
        return "steady"
    change = samples[-1].progress - start.progress
    return "rising" if change > _TREND_LEAST else "falling" if change < -_TREND_LEAST else "steady"


def spark(samples: Sequence[Sample]) -> str:
    """Return the points of a line through the samples, for an SVG polyline that is `_SPARK` large."""
    if len(samples) < 2:
        return ""
    first, last = samples[0].at, samples[-1].at
    span = max(last - first, 1.0)
    width, height = _SPARK
    return " ".join(
        f"{(each.at - first) / span * width:.0f},{height - 1 - each.progress * (height - 2):.0f}" for each in samples
    )
