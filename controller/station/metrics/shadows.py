"""Families about shadowed versions, from the mirror's counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from controller.calls.shadow_counts import ShadowCounts
from controller.model.comparison import Agreement
from controller.station.metrics.family import Family

_VERSION = ("deployment", "package", "version")
_OUTCOMES = ("ok_ok", "ok_ng", "ng_ok", "ng_ng", "errors", "timeouts", "excused")


def shadow_families(
    counts: ShadowCounts, waiting: Mapping[str, int], deployments: Mapping[str, str]
) -> Iterator[Family]:  # fmt: skip
    """Yield what shadowed versions said of the line's pictures. `deployments` says whose each PID is."""
    summed: defaultdict[tuple[str, str, str], Agreement] = defaultdict(Agreement)
    for (pid, ref), agreement in counts.agreements.items():
        summed[deployments.get(pid, ""), ref.name, ref.version] += agreement
    rows = sorted(summed.items())
    yield Family(
        "counter", "shadow_pictures", "Pictures that a shadowed version was shown, by what was said before and now.",
        (*_VERSION, "outcome"),
        (((*labels, word), getattr(found, word)) for labels, found in rows for word in _OUTCOMES),
    )  # fmt: skip
    yield Family("counter", "shadow_newly_ok", "Compared pictures that a shadowed version newly calls OK, or finds "
                 "a defect less on.", _VERSION, ((labels, found.newly_ok) for labels, found in rows))  # fmt: skip
    yield Family("counter", "shadow_newly_ng", "Compared pictures that a shadowed version newly calls NG, or finds "
                 "a defect more on.", _VERSION, ((labels, found.newly_ng) for labels, found in rows))  # fmt: skip
    yield Family("counter", "shadow_dropped", "Pictures that were to be compared and could not be, by why.",
                 ("deployment", "reason"), sorted(counts.dropped.items()))  # fmt: skip
    yield Family("gauge", "shadow_waiting", "Calls of the line that wait to be shown to a shadowed version.",
                 ("deployment",), (((name,), count) for name, count in sorted(waiting.items())))  # fmt: skip
