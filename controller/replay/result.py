"""What a replay has come to so far: its counts, its matrix, its latencies, and the pictures that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from controller.model.comparison import Agreement, Answer, Words
from controller.model.package import PackageRef
from controller.model.replay import MOST_DIFFERENCES, DifferingPicture, ReplayKey, ReplayReport
from controller.replay.journal import Journal
from controller.replay.shown import Shown

_UNKNOWN = Answer("ERROR")


class Result:
    """The sum of what is in a journal. `matrix` counts what was said before and now; latencies are in seconds."""

    def __init__(self, wanted: int, shown: Iterable[Shown] = ()) -> None:
        self.wanted = wanted
        self.agreement = Agreement()
        self.matrix: Counter[Words] = Counter()
        self.differing: list[Shown] = []
        self.recorded: list[float] = []
        self.replayed: list[float] = []
        self.memory_bytes: int | None = None
        self.refused = 0
        self.done = False
        self.failure = ""
        for each in shown:
            self.add(each)

    @classmethod
    def of(cls, journal: Journal) -> Result:
        """Return what a journal holds."""
        result = cls(len(journal.wanted), journal.shown)
        result.memory_bytes = journal.memory_bytes
        if journal.end is not None:
            result.finish(str(journal.end.get("failure", "")))
        return result

    def add(self, shown: Shown) -> None:
        """Count a picture."""
        self.agreement += shown.counts
        self.refused += bool(shown.refused)
        if shown.before is None or shown.after is None:
            return
        self.matrix[shown.before.said, shown.after.said] += 1
        if shown.before.latency_ms is not None:
            self.recorded.append(shown.before.latency_ms / 1000)
        if shown.after.latency_ms is not None:
            self.replayed.append(shown.after.latency_ms / 1000)
        if shown.tells:
            self.differing.append(shown)

    def finish(self, failure: str) -> None:
        """Note that nothing more is shown; `failure`: how the version failed otherwise than on a picture."""
        self.done, self.failure = True, failure

    def report(self) -> dict[str, Any]:
        """Return the report of a rollout's replay as JSON, of which `report_of` makes the value."""
        return {
            "wanted": self.wanted,
            "agreement": self.agreement.to_document(),
            "refused": self.refused,
            "done": self.done,
            "failure": self.failure,
            "differing": [each.to_document() for each in self.differing[-MOST_DIFFERENCES:]],
            "recorded_p95": quantile(self.recorded, 0.95),
            "latency_p95": quantile(self.replayed, 0.95),
            "memory_bytes": self.memory_bytes,
        }


def quantile(values: Collection[float], share: float) -> float | None:
    """Return the smallest of the values that so many of them do not exceed (nearest rank); None where there is none."""
    ordered = sorted(values)
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[rank - 1] if ordered else None


def report_of(key: ReplayKey, document: Mapping[str, Any]) -> ReplayReport:
    """Return the report that `Result.report` gave as JSON."""
    plain = {name: document[name] for name in (
        "wanted", "refused", "done", "failure", "recorded_p95", "latency_p95", "memory_bytes"
    )}  # fmt: skip
    differing = tuple(_differing(Shown.from_document(each)) for each in document["differing"])
    return ReplayReport(key, agreement=Agreement.from_document(document["agreement"]), differing=differing, **plain)


def _differing(shown: Shown) -> DifferingPicture:
    before, after = shown.before or _UNKNOWN, shown.after or _UNKNOWN
    return DifferingPicture(
        shown.pid, shown.request_id, shown.recording, shown.at, before, after,
        shown.difference,
    )  # fmt: skip


def mark_of(key: ReplayKey, **settings: object) -> dict[str, Any]:
    """Return what tells the replay of a rollout's step from every other one."""
    return {
        "deployment": key.deployment, "name": key.target.name, "version": key.target.version, "digest": key.digest,
        "began": key.began, "step": key.step, **({"again": key.again} if key.again else {}), **settings,
    }  # fmt: skip


def key_of(mark: Mapping[str, Any]) -> ReplayKey:
    """Return the key in a mark. Raises KeyError."""
    target = PackageRef(mark["name"], mark["version"])
    return ReplayKey(mark["deployment"], target, mark["digest"], mark["began"], mark["step"], mark.get("again", 0))
