"""Verdicts: what passes, fails, waits and holds, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model.analysis import SequentialTests, Verdict
from controller.model.health import Health
from controller.model.strategy import Analysis
from controller.model.tally import Tally
from controller.rollouts.analysis.judge import advance, failing, judge, judged_metrics
from controller.rollouts.analysis.observation import Observation, Reading, UnaffectedVersion
from tests.builders import sketch

ANALYSIS = Analysis()


def health(**limits: Any) -> Health:
    return Health.model_validate(limits)


def tally(calls: int, errors: int = 0, *, timeouts: int = 0, ng: int = 0, latency: Mapping[float, int] = {}) -> Tally:
    taken = [seconds for seconds, count in latency.items() for _ in range(count)]
    verdicts = calls - errors - timeouts
    return Tally(calls, errors, timeouts, verdicts - ng, ng, latency=sketch(taken))


def seen(canary: Tally, **more: Any) -> Observation:
    return Observation({"A04": canary}, step_calls=canary.calls, **more)


def verdict_on(limits: Health, analysis: Analysis | None, observed: Observation) -> Verdict:
    """The verdict, with the tests advanced by what was observed."""
    return judge(limits, analysis, replace(observed, tests=advance(limits, observed)))


def recent(tallies: Mapping[str, Tally]) -> Any:
    """The same calls within the window of every limit."""
    return dict.fromkeys(("errorRate", "timeoutRate", "latencyP95"), tallies)


def finding(verdict: Verdict, metric: str) -> Any:
    return next(each for each in verdict.findings if each.metric == metric)


def test_enough_good_calls_pass() -> None:
    verdict = verdict_on(health(), ANALYSIS, seen(tally(50)))
    assert verdict.outcome == "pass"
    assert verdict.reason == ""
    assert [each.metric for each in verdict.findings] == ["errorRate", "timeoutRate"]


@pytest.mark.parametrize("calls", [0, 1, 49])
def test_too_few_calls_are_inconclusive_and_it_says_how_many_are_needed(calls: int) -> None:
    verdict = verdict_on(health(), ANALYSIS, seen(tally(calls)))
    assert verdict.outcome == "inconclusive"
    assert "50 calls are needed" in verdict.reason


def test_each_step_needs_its_own_calls() -> None:
    before = Observation({"A04": tally(500)}, step_calls=49)
    verdict = verdict_on(health(), ANALYSIS, before)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason == "49 calls in this step, 50 are needed"
    assert verdict_on(health(), None, before).outcome == "pass"


def test_a_metric_has_its_own_minimum() -> None:
    wanting = health(errorRate={"max": "5%", "minSamples": 80})
    assert verdict_on(wanting, ANALYSIS, seen(tally(60))).outcome == "inconclusive"
    assert verdict_on(wanting, ANALYSIS, seen(tally(80))).outcome == "pass"


def test_failing_needs_no_minimum_and_names_the_numbers() -> None:
    canary = {"A03": tally(20), "A04": tally(27, errors=12)}
    verdict = verdict_on(health(), ANALYSIS, Observation(canary, step_calls=47))
    assert verdict.outcome == "fail"
    found = finding(verdict, "errorRate")
    assert (found.samples, found.failures, found.where) == (47, 12, ("A04",))
    assert found.observed == pytest.approx(12 / 47)
    assert found.chance < 1e-3
    assert verdict.reason.startswith("error rate 25.5 % over 47 calls on A04, limit 5% (would happen by chance less")


def test_samples_pool_over_the_pids() -> None:
    apart = {f"A0{number}": tally(12, errors=3) for number in range(1, 5)}
    assert verdict_on(health(), ANALYSIS, Observation(dict(list(apart.items())[:1]))).outcome == "inconclusive"
    assert verdict_on(health(), ANALYSIS, Observation(apart)).outcome == "fail"


def test_a_version_that_answers_nothing_fails_in_a_handful_of_calls() -> None:
    assert verdict_on(health(), ANALYSIS, seen(tally(3, errors=3))).outcome == "fail"
    assert verdict_on(health(), ANALYSIS, seen(tally(2, timeouts=2))).outcome == "fail"
    assert verdict_on(health(), ANALYSIS, seen(tally(1, errors=1))).outcome == "inconclusive"


def test_a_limit_of_nothing_and_of_everything() -> None:
    strict, lax = health(errorRate={"max": "0%"}), health(errorRate={"max": "100%"})
    failed = verdict_on(strict, ANALYSIS, seen(tally(1000, errors=1)))
    assert failed.outcome == "fail"
    assert failed.reason == "error rate 0.1 % over 1,000 calls on A04, limit 0%"
    assert verdict_on(lax, ANALYSIS, seen(tally(1000, errors=1000))).outcome == "pass"


def test_latency_is_judged_by_the_share_of_slow_calls() -> None:
    limits = health(latencyP95={"max": "800ms"})
    slow = verdict_on(limits, ANALYSIS, seen(tally(60, latency={0.3: 45, 1.5: 15})))
    assert slow.outcome == "fail"
    assert "p95 latency 1s" in slow.reason
    assert "limit 800ms (25 % took longer, 5 % may)" in slow.reason
    assert verdict_on(limits, ANALYSIS, seen(tally(60, latency={0.3: 58, 1.5: 2}))).outcome == "pass"
    assert verdict_on(limits, ANALYSIS, seen(tally(60, latency={0.3: 40}))).outcome == "inconclusive"


def test_the_ng_share_is_compared_both_ways() -> None:
    limits = health(ngRate={"maxChange": "10%"})
    stable = {"A01": tally(100, ng=40), "A02": tally(100, ng=40)}
    more = verdict_on(limits, ANALYSIS, seen(tally(100, ng=90), stable=stable))
    fewer = verdict_on(limits, ANALYSIS, seen(tally(100), stable=stable))
    assert more.outcome == fewer.outcome == "fail"
    assert finding(more, "ngRate").observed == pytest.approx(0.5)
    assert finding(fewer, "ngRate").observed == pytest.approx(-0.4)
    assert "NG rate 90 % over 100 calls of the canary, 40 % over 200 calls of stable PIDs" in more.reason
    assert verdict_on(limits, ANALYSIS, seen(tally(100, ng=45), stable=stable)).outcome == "pass"


def test_the_ng_share_needs_samples_on_both_sides_while_there_are_two() -> None:
    limits = health(ngRate={"maxChange": "10%"})
    short = verdict_on(limits, ANALYSIS, seen(tally(100), stable={"A01": tally(49)}))
    assert short.outcome == "inconclusive"
    assert "50 calls on both sides are needed" in short.reason
    assert verdict_on(limits, ANALYSIS, seen(tally(100))).outcome == "pass"
    left = advance(limits, seen(tally(100), stable={"A01": tally(49)}))
    later = verdict_on(limits, ANALYSIS, seen(tally(200), tests=left))
    assert later.outcome == "pass"


@pytest.mark.parametrize(
    ("reading", "metric", "words"),
    [
        (Reading("p", never_ready=True, detail="no pong in 30 s"), "ready", "never became ready: no pong in 30 s"),
        (Reading("p", breaker_open=True), "restarts", "restarted more than 5 times within 1m"),
        (Reading("p", memory_bytes=3 * 2**30), "memory", "uses 3,072 MiB of memory, limit 2GiB"),
        (Reading("p", cpu=1.2), "cpu", "uses 120 % of a core over 1m, limit 95%"),
    ],
)
def test_what_fails_at_once(reading: Reading, metric: str, words: str) -> None:
    limits = health(memory={"max": "2GiB"}, cpu={"max": "95%"})
    verdict = verdict_on(limits, ANALYSIS, seen(Tally(), readings=(Reading("q", 2**30, 0.9), reading)))
    assert verdict.outcome == "fail"
    assert finding(verdict, metric).where == ("p",)
    assert words in verdict.reason


def test_a_reading_is_judged_only_by_a_limit_that_is_given() -> None:
    assert verdict_on(health(), ANALYSIS, seen(tally(50), readings=(Reading("p", 2**50, 64.0),))).outcome == "pass"


def test_a_lost_heartbeat_fails_and_one_crash_does_not() -> None:
    assert verdict_on(health(), ANALYSIS, seen(replace(tally(50), crashes=1))).outcome == "pass"
    verdict = verdict_on(health(), ANALYSIS, seen(replace(tally(50), heartbeat_losses=1)))
    assert verdict.outcome == "fail"
    assert verdict.reason == "heartbeat lost once on A04 (2 pongs missed in a row)"


def test_a_degraded_host_suspends() -> None:
    other = UnaffectedVersion("label-check 2.0.0", health(), recent({"B01": tally(30, timeouts=10)}))
    fine = UnaffectedVersion("other 1.0.0", health(), recent({"C01": tally(30, errors=1)}))
    bad = seen(tally(20, timeouts=10), unaffected=(fine, other))
    verdict = verdict_on(health(), ANALYSIS, bad)
    assert verdict.outcome == "suspended"
    assert [each.where for each in verdict.host] == [("B01",)]
    assert "suspended, because the host seems to be degraded: label-check 2.0.0: timeout rate 33.3 %" in verdict.reason
    assert verdict_on(health(), ANALYSIS, replace(bad, unaffected=(fine,))).outcome == "fail"
    assert verdict_on(health(), ANALYSIS, replace(bad, canary={"A04": tally(50)}, step_calls=50)).outcome == "pass"


def test_each_rate_of_an_unaffected_version_is_judged_over_the_window_of_its_own_limit() -> None:
    limits = health(latencyP95={"max": "800ms"})
    fine, late, slow = tally(60), tally(60, timeouts=20), tally(60, latency={1.5: 60})

    def failed(**windows: Tally) -> list[str]:
        by_rate: Any = {metric: {"B01": calls} for metric, calls in windows.items()}
        return [each.metric for each in failing(UnaffectedVersion("other", limits, by_rate))]

    assert failed(errorRate=late, timeoutRate=fine, latencyP95=fine) == []
    assert failed(errorRate=fine, timeoutRate=late, latencyP95=fine) == ["timeoutRate"]
    assert failed(errorRate=slow, timeoutRate=slow, latencyP95=fine) == []
    assert failed(errorRate=fine, timeoutRate=fine, latencyP95=slow) == ["latencyP95"]


def test_what_the_canary_itself_uses_is_never_blamed_on_the_host() -> None:
    limits = health(memory={"max": "2GiB"})
    starved = UnaffectedVersion("label-check 2.0.0", health(), recent({"B01": tally(30, timeouts=10)}))
    hog = seen(tally(20, timeouts=10), readings=(Reading("p", 3 * 2**30),), unaffected=(starved,))
    assert verdict_on(limits, ANALYSIS, hog).outcome == "fail"
    greedy = UnaffectedVersion("label-check 2.0.0", limits, {}, (Reading("b", 3 * 2**30),))
    assert verdict_on(limits, ANALYSIS, seen(tally(20, errors=10), unaffected=(greedy,))).outcome == "fail"


def test_a_restart_forgives_nothing() -> None:
    kept = advance(health(), seen(tally(40, errors=6)))
    again = seen(tally(40, errors=6), tests=kept)
    assert advance(health(), again) == kept
    assert verdict_on(health(), ANALYSIS, again) == verdict_on(health(), ANALYSIS, seen(tally(40, errors=6)))
    assert verdict_on(health(), ANALYSIS, seen(tally(60, errors=12), tests=kept)).outcome == "fail"


def test_a_test_of_another_release_is_made_anew_from_all_calls() -> None:
    kept = advance(health(), seen(tally(40, errors=6)))
    strange = SequentialTests({metric: replace(test, bets=(0.0,)) for metric, test in kept.rates.items()})
    assert advance(health(), seen(tally(40, errors=6), tests=strange)) == kept


def test_a_version_that_goes_bad_after_promotion_is_caught_soon() -> None:
    tests, calls = SequentialTests(), 0
    for calls in range(50, 20_001, 50):
        tests = advance(health(), seen(tally(calls, errors=calls // 100), tests=tests))
        verdict = judge(health(), None, seen(tally(calls, errors=calls // 100), tests=tests))
        assert verdict.outcome in {"pass", "inconclusive"}
    caught = verdict_on(health(), None, seen(tally(calls + 12, errors=calls // 100 + 12), tests=tests))
    assert caught.outcome == "fail"


def test_an_edited_limit_judges_all_calls_anew() -> None:
    calls = tally(100, latency={0.5: 100})
    kept = advance(health(latencyP95={"max": "1s"}), seen(calls))
    edited = health(latencyP95={"max": "100ms"}, errorRate={"max": "1%"})
    assert verdict_on(edited, ANALYSIS, seen(calls, tests=kept)).outcome == "fail"


def test_a_pid_that_leaves_takes_its_calls_along() -> None:
    both = Observation({"A03": tally(100, ng=5), "A04": tally(100)}, {"A01": tally(100)}, step_calls=200)
    limits = health(ngRate={"maxChange": "10%"})
    first = verdict_on(limits, ANALYSIS, both)
    kept = advance(limits, both)
    left = verdict_on(limits, ANALYSIS, replace(both, canary={"A04": tally(110)}, tests=kept))
    assert (first.outcome, left.outcome) == ("pass", "pass")
    assert finding(left, "errorRate").samples == 110


def test_the_false_reverts_are_shared_among_what_is_judged() -> None:
    assert judged_metrics(health()) == 2
    assert judged_metrics(health(latencyP95={"max": "1s"}, ngRate={"maxChange": "5%"})) == 4


@given(calls=st.integers(0, 300), data=st.data())
def test_more_failures_never_turn_a_fail_into_anything_better(calls: int, data: st.DataObject) -> None:
    fewer = data.draw(st.integers(0, calls))
    more = data.draw(st.integers(fewer, calls))
    if verdict_on(health(), ANALYSIS, seen(tally(calls, errors=fewer))).outcome == "fail":
        assert verdict_on(health(), ANALYSIS, seen(tally(calls, errors=more))).outcome == "fail"


@given(parts=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=5))
def test_it_does_not_matter_on_which_pid_a_call_fell(parts: list[tuple[int, int]]) -> None:
    each = {f"A{number}": tally(good + bad, errors=bad) for number, (good, bad) in enumerate(parts)}
    together = tally(sum(good + bad for good, bad in parts), errors=sum(bad for _, bad in parts))
    apart, whole = Observation(each), Observation({"A": together})
    assert advance(health(), apart) == advance(health(), whole)
    assert verdict_on(health(), None, apart).outcome == verdict_on(health(), None, whole).outcome


@pytest.mark.parametrize("metric", ["escapes", "overkill"])
def test_feedback_fails_a_version_whose_verdicts_are_wrong(metric: str) -> None:
    limits = health(**{metric: {"max": "2%"}})
    told = replace(tally(100), reviewed=40, **{metric: 12})
    verdict = verdict_on(limits, None, seen(told))
    assert verdict.outcome == "fail"
    assert f"{metric} 30 % over 40 verdicts with feedback on A04, limit 2%" in verdict.reason
    assert verdict_on(health(), None, seen(told)).outcome == "pass"


def test_feedback_that_has_not_come_holds_up_no_rollout_unless_it_is_asked_for() -> None:
    assert verdict_on(health(escapes={"max": "2%"}), ANALYSIS, seen(tally(100))).outcome == "pass"
    asked = verdict_on(health(escapes={"max": "2%", "minSamples": 30}), ANALYSIS, seen(tally(100)))
    assert asked.outcome == "inconclusive"
    assert "30 verdicts with feedback are needed" in finding(asked, "escapes").sentence
