"""What pictures say of a version: a replay's count against its limits, and a shadow's two shares by tests. Pure.

A replay shows a fixed set once, so what it comes to is exact and needs no test; a shadow's pictures never end, so its
shares are tested as other rates are (`rates.py`). Formulas and sources: docs/analysis.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from controller.model.analysis import MOST_PICTURES, Finding, Metric, Outcome, PictureEvidence, RateTest
from controller.model.comparison import Agreement
from controller.model.health import Health
from controller.model.intervals import clopper_pearson
from controller.model.replay import DifferingPicture
from controller.model.rollout import PictureTerms
from controller.model.tally import Tally
from controller.rollouts.analysis.observation import Replayed, Shadowed
from controller.rollouts.analysis.rates import begin_rate, rate_evidence
from controller.rollouts.analysis.sequential import by_chance, chance, gone_on, odds, on, percent, progress

Way = Literal["newlyOK", "newlyNG"]
_NAMED = 3
"""Pictures that a sentence names."""


class _Count(NamedTuple):
    """One thing that is counted of a replay: so many of so many pictures, and the share of them that may be."""

    metric: Metric
    name: str
    hits: int
    trials: int
    limit: float
    unit: str


# --- a replay: a count over a fixed set


def replay_findings(health: Health, replayed: Replayed) -> Iterator[Finding]:
    """Yield what a replay has come to: each count against its limit, and how else the version failed.

    It fails as soon as no picture that is still to come could save it. Until it is done, and where too few of its
    pictures can be compared, the rest is inconclusive.
    """
    report, pictures = replayed.report, () if replayed.report is None else replayed.report.differing
    if report is not None and report.failure:
        yield Finding("replay", "fail", f"replay: {report.failure}")
    for each in _counts(health, replayed):
        to_come = 0 if report is None else max(0, report.wanted - report.shown)
        failed = each.hits > _allowed(each.limit, each.trials + to_come)
        enough = replayed.done and not undecided_replay(replayed)
        named = tuple(evidence(pictures, _about(each.metric)))
        if each.metric in {"replayErrorRate", "replayTimeoutRate"} and not (each.hits or failed):
            continue
        outcome: Outcome = "fail" if failed else "pass" if enough else "inconclusive"
        yield Finding(
            each.metric, outcome, _counted(each, named), observed=each.hits / each.trials if each.trials else None,
            limit=each.limit, samples=each.trials, failures=each.hits,
            where=tuple(dict.fromkeys(picture.pid for picture in named)),
            progress=min(1.0, each.hits / (_allowed(each.limit, each.trials + to_come) + 1)), needed=replayed.needed,
            pictures=named,
        )  # fmt: skip


def undecided_replay(replayed: Replayed) -> str:
    """Return why a replay that is done says too little; empty where it says enough, or is not done."""
    report = replayed.report
    if report is None or not report.done or report.agreement.compared >= replayed.needed:
        return ""
    counts = report.agreement
    why = f"{_pictures(counts.compared, 'recorded')} could be compared, {replayed.needed} are needed"
    lost = [f"{count} {what}" for count, what in (
        (counts.excused, "had no verdict"), (counts.dropped - report.refused, "could not be shown"),
        (report.refused, "were refused: arguments that it does not take")) if count]  # fmt: skip
    return f"{why} ({', '.join(lost)})" if lost else why


def _counts(health: Health, replayed: Replayed) -> Iterator[_Count]:
    terms, seen = replayed.terms, replayed.report.agreement if replayed.report is not None else Agreement()
    compared, shown = "replayed pictures", "pictures that were shown"
    yield _Count("newlyOK", "newly OK", seen.newly_ok, seen.compared, terms.max_newly_ok, compared)
    yield _Count("newlyNG", "newly NG", seen.newly_ng, seen.compared, terms.max_newly_ng, compared)
    yield _Count("replayErrorRate", "failed", seen.errors, seen.calls, health.error_rate.max, shown)
    yield _Count("replayTimeoutRate", "timed out", seen.timeouts, seen.calls, health.timeout_rate.max, shown)


def _allowed(limit: float, of: int) -> int:
    """Return how many of so many may be; that a share has no exact float makes no difference."""
    return int(limit * of + 1e-9)


def _counted(each: _Count, named: tuple[PictureEvidence, ...]) -> str:
    low, high = clopper_pearson(each.hits, each.trials)
    interval = f", 95 % interval {percent(low)} to {percent(high)}" if each.trials else ""
    share = f"{percent(each.hits / each.trials)} " if each.trials else ""
    told = f"replay: {each.name} {share}({each.hits:,} of {each.trials:,} {each.unit}{interval})"
    return f"{told}, limit {_as_written(each.limit)}{_such_as(named)}"


# --- a shadow: two rates of pictures that go on coming


def advanced_shadow(tests: Mapping[str, RateTest], shadowed: Shadowed) -> dict[str, RateTest]:
    """Return the tests of the two shares after every picture so far."""
    seen = shadowed.total
    return {
        way: gone_on(tests.get(way), begin_rate(_limit(shadowed.terms, way)), seen.compared, _newly(way)(seen))
        for way in _WAYS
    }


def shadow_findings(tests: Mapping[str, RateTest], shadowed: Shadowed, needed: float) -> Iterator[Finding]:
    """Yield what a shadow's pictures say of the two shares; each fails where its log evidence reaches `needed`."""
    undecided = undecided_shadow(shadowed)
    for way in _WAYS:
        test, count, log_evidence = tests[way], _newly(way), rate_evidence(tests[way])
        where = tuple(pid for pid, each in shadowed.agreements.items() if count(each))
        named = tuple(evidence(shadowed.differing, _about(way)))
        outcome: Outcome = "fail" if log_evidence >= needed else "inconclusive" if undecided else "pass"
        share, likely = test.failures / test.calls if test.calls else None, chance(log_evidence)
        told = f"shadow: {_WAYS[way]} {percent(share)} over {_pictures(test.calls, 'compared')}{on(where)}"
        why = f"; {undecided}" if outcome == "inconclusive" else by_chance(outcome, likely)
        yield Finding(
            way, outcome, f"{told}, limit {_as_written(test.limit)}{why}{_such_as(named)}", observed=share,
            limit=test.limit, samples=test.calls, failures=test.failures, chance=likely, where=where,
            progress=progress(log_evidence, needed), needed=shadowed.terms.min_samples, odds=odds(needed),
            pictures=named,
        )  # fmt: skip


def undecided_shadow(shadowed: Shadowed) -> str:
    """Return why a shadow step's pictures are no pass yet; empty where they are one, or the step is over.

    They are too few, or more differ than the limit allows, and not yet so many that it could not be chance.
    """
    compared, needed, seen = shadowed.compared, shadowed.terms.min_samples, shadowed.total
    if compared is None:
        return ""
    if compared < needed:
        dropped = f" ({seen.dropped:,} were dropped)" if seen.dropped else ""
        return f"{_pictures(compared, 'shadowed')} compared{dropped}, {needed:,} are needed (shadow.minSamples)"
    counted = [(way, _newly(way)(seen), _limit(shadowed.terms, way)) for way in _WAYS]
    above = [
        f"{_WAYS[way]} {percent(count / seen.compared)}, limit {_as_written(limit)}"
        for way, count, limit in counted
        if count > _allowed(limit, seen.compared)
    ]
    return f"{' and '.join(above)}, over {_pictures(seen.compared, 'compared')}: more will decide" if above else ""


def failed_pictures(shadowed: Shadowed, metric: Metric) -> tuple[PictureEvidence, ...]:
    """Return the pictures on which a shadow failed, or gave no answer: what it adds to the rates of calls."""
    return tuple(evidence(shadowed.differing, _about(metric)))


def shadow_calls(agreement: Agreement) -> Tally:
    """Return a shadow's calls as they count for error and timeout rate: no latency, no verdict about a part."""
    return Tally(calls=agreement.calls, errors=agreement.errors, timeouts=agreement.timeouts)


def shadow_tests(shadows: Iterable[PictureTerms]) -> int:
    """Return among how many tests more the probability of a false revert is shared, because of shadow steps.

    Steps with one limit go on with one test; another limit is another test.
    """
    terms = tuple(shadows)
    return len({each.max_newly_ok for each in terms}) + len({each.max_newly_ng for each in terms})


_WAYS: Mapping[Way, str] = {"newlyOK": "newly OK", "newlyNG": "newly NG"}


def _limit(terms: PictureTerms, way: Way) -> float:
    return terms.max_newly_ok if way == "newlyOK" else terms.max_newly_ng


def _newly(way: Way) -> Callable[[Agreement], int]:
    return (lambda each: each.newly_ok) if way == "newlyOK" else (lambda each: each.newly_ng)


# --- which pictures


def evidence(
    pictures: Iterable[DifferingPicture], about: Callable[[DifferingPicture], bool]
) -> Iterator[PictureEvidence]:  # fmt: skip
    """Yield some of the pictures that something is about, the newest first."""
    found = sorted((each for each in pictures if about(each)), key=lambda each: each.at, reverse=True)
    for each in found[:MOST_PICTURES]:
        yield PictureEvidence(
            each.pid, each.request_id, each.recording, each.before.said, each.after.said, each.at
        )  # fmt: skip


def _about(metric: Metric) -> Callable[[DifferingPicture], bool]:
    match metric:
        case "newlyOK":
            return lambda each: each.difference.newly_ok
        case "newlyNG":
            return lambda each: each.difference.newly_ng
        case "replayTimeoutRate" | "timeoutRate":
            return lambda each: each.after.said == "TIMEOUT"
        case _:
            return lambda each: each.after.said == "ERROR"


def _such_as(named: tuple[PictureEvidence, ...]) -> str:
    if not named:
        return ""
    told = [f"{each.pid} {each.recording or each.request_id}" for each in named[:_NAMED]]
    return f": {', '.join(told)}{', …' if len(named) > _NAMED else ''}"


def _pictures(count: int, kind: str) -> str:
    return f"1 {kind} picture" if count == 1 else f"{count:,} {kind} pictures"


def _as_written(limit: float) -> str:
    """Return a limit as somebody would write it, such as 0.2%."""
    return f"{limit * 100:.6g}%"
