"""What pictures say of a version: how many tests share a budget, which pictures are named, and how seldom chance stops
a version that is exactly at its limits."""

from __future__ import annotations

import random
from dataclasses import replace

from controller.model.comparison import Agreement, Answer, Difference
from controller.model.health import Health
from controller.model.package import PackageRef
from controller.model.replay import DifferingPicture, ReplayKey, ReplayReport
from controller.model.rollout import PictureTerms
from controller.rollouts.analysis.judge import advance, judge, judged_metrics
from controller.rollouts.analysis.observation import Observation, Replayed, Shadowed
from controller.rollouts.analysis.pictures import replay_findings, shadow_calls, shadow_tests

TERMS = PictureTerms(0.002, 0.02, last=500, min_samples=300)
KEY = ReplayKey("line", PackageRef("screw", "1.1.0"), "sha256:b", "2026-01-01T00:00:00Z", 0)


def differing(number: int, before: Answer, after: Answer, newly: Difference) -> DifferingPicture:
    return DifferingPicture("A01", f"q{number}", "", f"2026-01-01T00:00:{number:02}Z", before, after, newly)


def test_steps_with_one_limit_share_a_test_and_another_limit_is_another_one() -> None:
    stricter = replace(TERMS, max_newly_ok=0.001)

    assert [shadow_tests(steps) for steps in ((), (TERMS,), (TERMS, TERMS), (TERMS, stricter))] == [0, 2, 2, 3]
    assert judged_metrics(Health(), shadow_tests((TERMS, stricter))) == 5


def test_calls_beside_the_line_are_errors_and_timeouts_and_nothing_else() -> None:
    calls = shadow_calls(Agreement(ok_ok=7, ng_ok=1, newly_ok=1, errors=2, timeouts=1, excused=5, dropped=9))

    assert (calls.calls, calls.errors, calls.timeouts) == (11, 2, 1)
    assert (calls.verdicts, calls.latency.samples, calls.reviewed) == (0, 0, 0)


def test_a_finding_names_the_newest_of_its_own_pictures_and_no_more_than_it_may() -> None:
    ok, ng = Answer("OK"), Answer("NG")
    lost = [differing(each, ng, ok, Difference(newly_ok=True)) for each in range(30)]
    found = [differing(each, ok, ng, Difference(newly_ng=True)) for each in range(30, 33)]
    failed = [differing(40, ok, Answer("ERROR"), Difference()), differing(41, ok, Answer("TIMEOUT"), Difference())]
    counts = Agreement(ok_ok=400, ng_ok=30, newly_ok=30, ok_ng=3, newly_ng=3, errors=1, timeouts=1)
    report = ReplayReport(KEY, 435, counts, done=True, differing=(*lost, *found, *failed))

    findings = {each.metric: each for each in replay_findings(Health(), Replayed(TERMS, 50, report))}

    named = {metric: [each.request_id for each in finding.pictures] for metric, finding in findings.items()}
    assert named["newlyOK"] == [f"q{each}" for each in range(29, 9, -1)]
    assert named["newlyNG"] == ["q32", "q31", "q30"]
    assert (named["replayErrorRate"], named["replayTimeoutRate"]) == (["q40"], ["q41"])
    assert findings["newlyOK"].sentence.endswith(", limit 0.2%: A01 q29, A01 q28, A01 q27, …")


def test_the_way_to_a_fail_of_a_replay_is_its_count_against_one_more_than_is_allowed() -> None:
    counts = Agreement(ok_ok=498, ng_ok=1, newly_ok=1, ok_ng=1, newly_ng=1)
    [ok, ng] = replay_findings(Health(), Replayed(TERMS, 50, ReplayReport(KEY, 500, counts, done=True)))
    [begun, _] = replay_findings(Health(), Replayed(TERMS, 50, None))

    assert (ok.outcome, ok.progress, ng.progress) == ("pass", 1 / 2, 1 / 11)
    assert (begun.outcome, begun.observed, begun.samples, begun.progress) == ("inconclusive", None, 0, 0.0)


def test_a_version_exactly_at_every_limit_is_seldom_stopped_and_one_far_beyond_soon() -> None:
    """A few rollouts with the real tests, as in daily use; docs/analysis.md has 6,000 of them."""
    chance = random.Random(4)  # noqa: S311 - a simulation

    def pictures_until_stopped(newly_ok: float, newly_ng: float, most: int) -> int | None:
        seen = Observation({}, picture_tests=2)
        counts, looks = Agreement(), 25
        for shown in range(looks, most + 1, looks):
            for _ in range(looks):
                drawn = chance.random()
                lost, found = drawn < newly_ok, newly_ok <= drawn < newly_ok + newly_ng
                counts += Agreement(ng_ok=lost, newly_ok=lost, ok_ng=found, newly_ng=found, ok_ok=not (lost or found))
            seen = replace(seen, shadowed=Shadowed(TERMS, {"A01": counts}, counts.compared),
                           canary={"A01": shadow_calls(counts)})  # fmt: skip
            seen = replace(seen, tests=advance(Health(), seen))
            if judge(Health(), None, seen).outcome == "fail":
                return shown
        return None

    assert [pictures_until_stopped(0.002, 0.02, 2500) for _ in range(12)].count(None) >= 11
    far_beyond = [pictures_until_stopped(0.04, 0.0, 2500) for _ in range(12)]
    assert max(each or 2501 for each in far_beyond) <= 500
