"""Health verdicts: tallies, readings and limits go in; pass, fail, inconclusive or suspended comes out, and why.

Pure. What each field of `health:` and `analysis:` means for a verdict, and why these tests: docs/analysis.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from controller.model.analysis import Arms, ChangeTest, Finding, Metric, Outcome, RateTest, SequentialTests, Verdict
from controller.model.health import ChangeLimit, Health, LatencyLimit, RateLimit
from controller.model.strategy import Analysis
from controller.model.tally import Tally, pooled
from controller.model.units import format_duration, format_ratio, format_size
from controller.rollouts.analysis.comparison import advance_change, change_evidence
from controller.rollouts.analysis.observation import Observation, Reading, Shadowed, UnaffectedVersion
from controller.rollouts.analysis.pictures import (
    advanced_shadow,
    failed_pictures,
    replay_findings,
    shadow_findings,
)
from controller.rollouts.analysis.rates import begin_rate, rate_evidence, threshold
from controller.rollouts.analysis.sequential import by_chance, chance, gone_on, odds, on, percent, progress

SLOW_SHARE = 0.05
"""The 95th percentile is within its limit exactly when no more than this share of the calls takes longer."""

HOST_EVIDENCE = math.log(20)
"""Evidence at which an unaffected version counts as failing: less than a revert needs, as a suspension passes."""

OWN_DOING: frozenset[Metric] = frozenset({"memory", "cpu", "newlyOK", "newlyNG"})
"""What a process uses, or says of a picture, is its own doing, whoever else suffers: no sign of a degraded host."""


def judge(health: Health, analysis: Analysis | None, seen: Observation) -> Verdict:
    """Return the verdict on the canary, or, after promotion, with `analysis` None, on the promoted version.

    `seen.tests` are as `advance` has left them after the same calls. It may be asked for at any moment and any number
    of times. A fail is final: whoever asks acts on the first one.
    """
    needed = threshold(judged_metrics(health, seen.picture_tests))
    findings = (
        *_picture_findings(health, seen, needed),
        *_at_once(health, seen.canary, seen.readings),
        *_rate_findings(health, seen, needed),
        *_change_findings(health, seen, needed),
        *_step_findings(analysis, seen.step_calls),
    )
    failed = [each for each in findings if each.outcome == "fail"]
    if not failed:
        short = any(each.outcome == "inconclusive" for each in findings)
        return Verdict("inconclusive" if short else "pass", findings)
    host = () if any(each.metric in OWN_DOING for each in failed) else tuple(_host_findings(seen.unaffected))
    return Verdict("suspended" if host else "fail", findings, host)


def advance(health: Health, seen: Observation) -> SequentialTests:
    """Return the tests after what was seen. A test whose limit was edited is made anew from all calls so far."""
    rates: dict[str, RateTest] = {
        rate.metric: _advanced(seen.tests.rates.get(rate.metric), rate, seen.canary) for rate in _rates(health)
    }
    if seen.shadowed is not None:
        rates |= advanced_shadow(seen.tests.rates, seen.shadowed)
    return SequentialTests(rates, _advanced_change(seen.tests.change, health.ng_rate, seen))


def judged_metrics(health: Health, picture_tests: int = 0) -> int:
    """Return among how many tests the probability of a false revert is shared."""
    return len(_rates(health)) + (health.ng_rate is not None) + picture_tests


class _Rate(NamedTuple):
    """A metric that is judged as a share: at most `share` of the calls may fail, or be slower than `limit.max`.

    Of the verdicts about which feedback told the truth, for escapes and overkill.
    """

    metric: Metric
    share: float
    limit: RateLimit | LatencyLimit

    @property
    def slower_than(self) -> float | None:
        return self.limit.max if isinstance(self.limit, LatencyLimit) else None

    def counts(self, tally: Tally) -> tuple[int, int]:
        """Return calls and failures."""
        if self.slower_than is not None:
            return tally.latency.samples, tally.latency.slower_than(self.slower_than)
        match self.metric:
            case "escapes":
                return tally.reviewed, tally.escapes
            case "overkill":
                return tally.reviewed, tally.overkill
            case "timeoutRate":
                return tally.calls, tally.timeouts
        return tally.calls, tally.errors

    @property
    def unit(self) -> str:
        """What is counted, as a plural."""
        return "calls" if self.metric not in _BY_FEEDBACK else "verdicts with feedback"


_BY_FEEDBACK: frozenset[Metric] = frozenset({"escapes", "overkill"})
_NAMES: Mapping[Metric, str] = {
    "errorRate": "error rate", "timeoutRate": "timeout rate", "escapes": "escapes", "overkill": "overkill",
}  # fmt: skip


def _rates(health: Health) -> tuple[_Rate, ...]:
    found = [
        _Rate("errorRate", health.error_rate.max, health.error_rate),
        _Rate("timeoutRate", health.timeout_rate.max, health.timeout_rate),
    ]
    if health.latency_p95 is not None:
        found.append(_Rate("latencyP95", SLOW_SHARE, health.latency_p95))
    if health.escapes is not None:
        found.append(_Rate("escapes", health.escapes.max, health.escapes))
    if health.overkill is not None:
        found.append(_Rate("overkill", health.overkill.max, health.overkill))
    return tuple(found)


def _advanced(test: RateTest | None, rate: _Rate, tallies: Mapping[str, Tally]) -> RateTest:
    return gone_on(test, begin_rate(rate.share, rate.slower_than), *rate.counts(pooled(tallies.values())))


def _advanced_change(test: ChangeTest | None, limit: ChangeLimit | None, seen: Observation) -> ChangeTest | None:
    """The same for the comparison, which stands still while there is nothing left to compare with."""
    if limit is None or not seen.stable:
        return test if limit is not None and test is not None and test.limit == limit.max_change else None
    canary, stable = pooled(seen.canary.values()), pooled(seen.stable.values())
    arms = Arms(canary.verdicts, canary.verdicts_ng, stable.verdicts, stable.verdicts_ng)
    if test is None or test.limit != limit.max_change or not arms.since(test.arms).possible:
        test = ChangeTest(limit.max_change)
    return advance_change(test, arms)


def _picture_findings(health: Health, seen: Observation, needed: float) -> Iterator[Finding]:
    """What pictures say: in a replay step those of the replay, else those of the shadow steps so far."""
    if seen.replayed is not None:
        yield from replay_findings(health, seen.replayed)
    elif seen.shadowed is not None:
        yield from shadow_findings(seen.tests.rates, seen.shadowed, needed)


def _rate_findings(health: Health, seen: Observation, needed: float) -> Iterator[Finding]:
    for rate in _rates(health):
        finding = _rate_finding(rate, seen.tests.rates[rate.metric], seen.canary, needed)
        yield _with_shadow(finding, seen.shadowed) if seen.shadowed is not None else finding


def _with_shadow(finding: Finding, shadowed: Shadowed) -> Finding:
    """Say how many of the calls that are judged together were beside the line, and name their pictures."""
    if finding.metric not in {"errorRate", "timeoutRate"}:
        return finding
    beside = f"; of these {_calls(shadowed.total.calls)} beside the line"
    return replace(finding, sentence=finding.sentence + beside, pictures=failed_pictures(shadowed, finding.metric))


def _rate_finding(rate: _Rate, test: RateTest, tallies: Mapping[str, Tally], needed: float) -> Finding:
    """Judge a rate; it fails where its log evidence reaches `needed`."""
    evidence = rate_evidence(test)
    short: Outcome = "pass" if test.calls >= rate.limit.min_samples else "inconclusive"
    outcome: Outcome = "fail" if evidence >= needed else short
    where = tuple(pid for pid, tally in tallies.items() if rate.counts(tally)[1])
    observed, sentence = _described(rate, test, tallies, where)
    likely = chance(evidence)
    return Finding(
        rate.metric,
        outcome,
        sentence + _why(outcome, likely, f"{rate.limit.min_samples} {rate.unit}", rate.metric),
        observed=observed,
        limit=rate.limit.max,
        samples=test.calls,
        failures=test.failures,
        chance=likely,
        where=where,
        progress=progress(evidence, needed),
        needed=rate.limit.min_samples,
        odds=odds(needed),
    )


def _described(
    rate: _Rate, test: RateTest, tallies: Mapping[str, Tally], where: tuple[str, ...]
) -> tuple[float | None, str]:
    """Return what was observed, in the metric's own unit, and how to say it."""
    share = test.failures / test.calls if test.calls else None
    counted = _calls(test.calls) if rate.metric not in _BY_FEEDBACK else f"{test.calls:,} {rate.unit}"
    over = f"over {counted}{on(where)}"
    if rate.slower_than is None:
        return share, f"{_NAMES[rate.metric]} {percent(share)} {over}, limit {format_ratio(rate.share)}"
    p95 = pooled(tallies.values()).latency.quantile(1 - SLOW_SHARE)
    shown, limit = "unknown" if p95 is None else format_duration(p95), format_duration(rate.slower_than)
    return p95, f"p95 latency {shown} {over}, limit {limit} ({percent(share)} took longer, 5 % may)"


def _change_findings(health: Health, seen: Observation, needed: float) -> Iterator[Finding]:
    """Compare NG shares, unless no stable PID is left and nothing was found before."""
    limit, test = health.ng_rate, seen.tests.change
    if limit is None or test is None:
        return
    evidence = change_evidence(test)
    failed = evidence >= needed
    if not (failed or seen.stable):
        return
    arms = test.arms
    enough = min(arms.canary, arms.stable) >= limit.min_samples
    outcome: Outcome = "fail" if failed else "pass" if enough else "inconclusive"
    canary, stable = (ng / calls if calls else None for calls, ng in (arms[:2], arms[2:]))
    likely = chance(evidence)
    yield Finding(
        "ngRate",
        outcome,
        f"NG rate {percent(canary)} over {_calls(arms.canary)} of the canary, {percent(stable)} over "
        f"{_calls(arms.stable)} of stable PIDs, allowed change {format_ratio(limit.max_change)}"
        + _why(outcome, likely, f"{limit.min_samples} calls on both sides", "ngRate"),
        observed=canary - stable if canary is not None and stable is not None else None,
        limit=limit.max_change,
        samples=min(arms.canary, arms.stable),
        failures=arms.canary_ng,
        chance=likely,
        where=tuple(pid for pid, tally in seen.canary.items() if tally.verdicts),
        progress=progress(evidence, needed),
        needed=limit.min_samples,
        odds=odds(needed),
    )


def _step_findings(analysis: Analysis | None, calls: int) -> Iterator[Finding]:
    if analysis is not None and calls < analysis.min_samples:
        sentence = f"{_calls(calls)} in this step, {analysis.min_samples} are needed"
        yield Finding(
            "samples", "inconclusive", sentence, observed=calls, limit=analysis.min_samples, samples=calls,
            needed=analysis.min_samples,
        )  # fmt: skip


def _at_once(health: Health, tallies: Mapping[str, Tally], readings: Iterable[Reading]) -> Iterator[Finding]:
    """Yield what fails without any number of samples."""
    losses = sum(tally.heartbeat_losses for tally in tallies.values())
    if losses:
        where = tuple(pid for pid, tally in tallies.items() if tally.heartbeat_losses)
        sentence = f"heartbeat lost {_times(losses)}{on(where)} ({health.heartbeat.max_missed} pongs missed in a row)"
        yield Finding("heartbeat", "fail", sentence, observed=losses, limit=0, failures=losses, where=where)
    excesses = sum(tally.memory_excesses for tally in tallies.values())
    if excesses:
        where = tuple(pid for pid, tally in tallies.items() if tally.memory_excesses)
        sentence = f"ended {_times(excesses)} for using more memory than its limit{on(where)}"
        yield Finding("memory", "fail", sentence, observed=excesses, limit=0, failures=excesses, where=where)
    for reading in readings:
        yield from _process_findings(health, reading)


def _process_findings(health: Health, reading: Reading) -> Iterator[Finding]:
    where, detail = (reading.process,), f": {reading.detail}" if reading.detail else ""
    if reading.never_ready:
        yield Finding("ready", "fail", f"{reading.process} never became ready{detail}", where=where)
    if reading.breaker_open:
        most, window = health.restarts.max, format_duration(health.restarts.window)
        sentence = f"{reading.process} restarted more than {_times(most)} within {window}{detail}"
        yield Finding("restarts", "fail", sentence, limit=most, where=where)
    if health.memory is not None and (used := reading.memory_bytes) is not None and used > health.memory.max:
        sentence = f"{reading.process} uses {used / 2**20:,.0f} MiB of memory, limit {format_size(health.memory.max)}"
        yield Finding("memory", "fail", sentence, observed=used, limit=health.memory.max, where=where)
    if health.cpu is not None and reading.cpu is not None and reading.cpu > health.cpu.max:
        window, most_cpu = format_duration(health.cpu.window), format_ratio(health.cpu.max)
        sentence = f"{reading.process} uses {percent(reading.cpu)} of a core over {window}, limit {most_cpu}"
        yield Finding("cpu", "fail", sentence, observed=reading.cpu, limit=health.cpu.max, where=where)


def failing(version: UnaffectedVersion) -> tuple[Finding, ...]:
    """Return what a version fails of its own limits, by the last window of each limit alone."""
    findings = [*_at_once(version.health, version.recent.get("errorRate", {}), version.readings)]
    for rate in _rates(version.health):
        tallies = version.recent.get(rate.metric, {})
        if rate.slower_than is not None or any(rate.counts(each)[1] for each in tallies.values()):
            findings.append(_rate_finding(rate, _advanced(None, rate, tallies), tallies, HOST_EVIDENCE))
    return tuple(each for each in findings if each.outcome == "fail")


def _host_findings(unaffected: Iterable[UnaffectedVersion]) -> Iterator[Finding]:
    """Yield what unaffected versions fail of their own limits, but for what is only their own doing."""
    for version in unaffected:
        for each in failing(version):
            if each.metric not in OWN_DOING:
                yield replace(each, sentence=f"{version.name}: {each.sentence}")


def _why(outcome: Outcome, likely: float, needed: str, metric: Metric) -> str:
    if outcome == "inconclusive":
        return f"; {needed} are needed (health.{metric}.minSamples)"
    return by_chance(outcome, likely)


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
