"""A rollout that is judged by pictures before any PID moves: replay and shadow steps, pass by pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model.actions import Preheat, Replay, Retire, Switch
from controller.model.comparison import Agreement, Answer, Difference
from controller.model.desired import Revision
from controller.model.objects import ProcessKey
from controller.model.replay import DifferingPicture, ReplayKey
from controller.model.rollout import Hold
from controller.rollouts.machine import promote, replay_again
from controller.rollouts.pictures import replay_key
from tests.builders import revision
from tests.rollouts.line import PIDS, A, B, C, Line, line_of

REPLAY = {"replay": {"last": 100, "maxNewlyOK": "2%", "maxNewlyNG": "5%"}}
SHADOW = {"shadow": {"weight": "50%", "duration": "15m", "minSamples": 30, "maxNewlyOK": "2%", "maxNewlyNG": "5%"}}
FINE = Agreement(ok_ok=80, ng_ng=20)
SHADOW_KEY = ProcessKey("line", "screw", "1.1.0", shadow=True)


def of(*steps: Any, ref: Any = B, then: str = "wait", **spec: Any) -> Revision:
    canary = {"order": ["A04"], "steps": list(steps), "analysis": {"minSamples": 10, "onInconclusive": then}}
    return revision(line_of(ref, **{"strategy": {"canary": canary}, **spec}))


def differing(
    number: int, before: Any = "NG", after: Any = "OK", pid: str = "A02", at: str = "2027"
) -> tuple[DifferingPicture, ...]:  # fmt: skip
    difference = Difference(newly_ok=(before, after) == ("NG", "OK"), newly_ng=(before, after) == ("OK", "NG"))
    return tuple(
        DifferingPicture(pid, f"q{each}", f"r{each}", f"{at}-01-01T00:00:{each:02}Z", Answer(before), Answer(after),
                         difference)
        for each in range(number)
    )  # fmt: skip


@pytest.fixture
def line() -> Line:
    """A line on A with B installed."""
    line = Line(A, B, zips=(A, B, C))
    line.serving(A, *PIDS)
    return line


def planned(line: Line, kind: type) -> list[Any]:
    return [action for action in line.plan.actions if isinstance(action, kind)]


def begin(line: Line, wanted: Revision) -> None:
    """Make passes until the first step is entered and nothing but it is to be done."""
    for _ in range(4):
        line.step(wanted)


# --- replay


def test_a_replay_is_planned_until_it_is_done_and_no_process_of_the_line_is_started_for_it(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)

    [replay] = line.plan.actions
    key = ReplayKey("line", B, line.rollout.digest, line.rollout.started_at, 0)
    assert replay == Replay(
        key, ("A04", "A01", "A02", "A03"), 100, None, "rollout of screw@1.1.0: replay of the last 100",
        answered_by=tuple((pid, A) for pid in ("A04", "A01", "A02", "A03")),
    ), "shown is what the version said that it replaces"  # fmt: skip
    assert (line.rollout.state, line.rollout.weight, line.on) == ("replaying", 0, "A A A A")
    line.replayed(100, done=False, agreement=Agreement(ok_ok=40))
    line.step(wanted)
    assert planned(line, Replay)
    assert "40 of 100 recorded pictures shown" in line.plan.waiting[0].reason
    line.replayed(100, agreement=FINE)
    line.go(wanted)
    assert (line.rollout.state, line.on) == ("sampling", "A A A B")
    assert not planned(line, Replay)
    [passed] = [note for note in line.notes if "is passed" in note]
    assert passed.startswith(
        "rollout of screw@1.1.0: setWeight 25; replay of the last 100 is passed: replay: newly OK 0 %"
    )


def test_a_version_that_lets_ng_parts_pass_is_stopped_before_any_pid_moves(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    pictures = differing(3)
    line.replayed(100, agreement=Agreement(ok_ok=77, ng_ng=20, ng_ok=3, newly_ok=3), differing=pictures)

    line.go(wanted)

    assert (line.rollout.state, line.on) == ("reverted", "A A A A")
    assert line.record.quarantined(B, line.rollout.digest) is not None
    assert "newly OK 3 % (3 of 100 replayed pictures, 95 % interval 0.623 % to 8.52 %), limit 2%" in line.rollout.reason
    assert "A02 r2, A02 r1, A02 r0" in line.rollout.reason
    assert not any(isinstance(action, Switch | Preheat) for action in line.plan.actions)
    verdict = line.plan.verdicts["line"]
    [found] = [each for each in verdict.findings if each.outcome == "fail"]
    assert (found.metric, found.where, found.odds) == ("newlyOK", ("A02",), 0)
    assert [(each.recording, each.before, each.after) for each in found.pictures] == [
        ("r2", "NG", "OK"), ("r1", "NG", "OK"), ("r0", "NG", "OK"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        (Agreement(ok_ok=98, ng_ok=2, newly_ok=2), "stepping"),  # exactly the limit
        (Agreement(ok_ok=95, ok_ng=5, newly_ng=5), "stepping"),
        (Agreement(ok_ok=94, ok_ng=6, newly_ng=6), "reverted"),
        (Agreement(ok_ok=95, errors=5), "stepping"),
        (Agreement(ok_ok=94, errors=6), "reverted"),
        (Agreement(ok_ok=99, timeouts=1), "stepping"),
        (Agreement(ok_ok=98, timeouts=2), "reverted"),
        (Agreement(ok_ok=50, excused=50), "stepping"),  # what had no verdict before says nothing
    ],
)
def test_a_replay_is_a_count_against_its_limits(line: Line, counts: Agreement, state: str) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, agreement=counts)

    line.step(wanted)
    if state == "reverted":
        line.go(wanted)

    assert line.rollout.state == state


def test_it_fails_before_it_is_done_only_where_no_picture_to_come_can_save_it(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, done=False, agreement=Agreement(ng_ok=2, newly_ok=2))
    line.step(wanted)
    assert line.rollout.state == "replaying"
    line.replayed(100, done=False, agreement=Agreement(ng_ok=3, newly_ok=3))

    line.go(wanted)

    assert line.rollout.state == "reverted"


def test_a_version_that_never_became_ready_for_a_replay_fails(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, done=False, failure="no process of it became ready: it does not import")

    line.go(wanted)

    assert (line.rollout.state, line.on) == ("reverted", "A A A A")
    assert line.rollout.reason == "replay: no process of it became ready: it does not import"


def test_what_hinders_a_replay_is_said_and_no_deadline_runs_meanwhile(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, done=False, problem="recordings cannot be read: I/O error")

    line.seconds += 100_000
    line.step(wanted)

    assert line.rollout.state == "replaying"
    assert "the replay cannot go on: recordings cannot be read: I/O error" in line.plan.waiting[0].reason
    assert "`pvctl promote line` passes the step" in line.plan.waiting[0].reason


@pytest.mark.parametrize(("then", "state"), [("wait", "replaying"), ("promote", "stepping"), ("revert", "reverted")])
def test_too_few_pictures_are_no_pass(line: Line, then: str, state: str) -> None:
    wanted = of(REPLAY, {"setWeight": 25}, then=then)
    begin(line, wanted)
    line.replayed(12, agreement=Agreement(ok_ok=9, excused=2, dropped=1))

    line.step(wanted)
    if then == "revert":
        line.go(wanted)

    assert line.rollout.state == state
    if then == "wait":
        assert "9 recorded pictures could be compared, 10 are needed (2 had no verdict, 1 could not be shown)" in (
            line.plan.waiting[0].reason
        )
        assert not planned(line, Replay)


def test_a_replay_is_begun_anew_over_what_is_recorded_by_then(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(3, agreement=Agreement(ok_ok=3))
    line.go(wanted, 1)
    assert "`pvctl retry line` shows what is recorded by now" in line.plan.waiting[0].reason
    first = replay_key(line.rollout)

    line.see(records={"line": line.observed.records["line"].with_rollout(replay_again(line.rollout))})
    line.step(wanted)

    [action] = planned(line, Replay)
    assert action.key == replay_key(line.rollout) != first
    assert "about to begin" in line.plan.waiting[0].reason, "what the first one came to counts no more"
    line.replayed(30, agreement=Agreement(ok_ok=30))
    line.go(wanted, 1)
    assert (line.rollout.weight, line.on) == (25, "A A A B")


def test_pictures_whose_arguments_it_does_not_take_are_told_and_are_too_few(line: Line) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, agreement=Agreement(ok_ok=3, dropped=97, excused=0), refused=95)

    line.go(wanted, 1)

    assert (line.rollout.state, line.on) == ("replaying", "A A A A")
    assert "3 recorded pictures could be compared" in line.plan.waiting[0].reason
    assert "(2 could not be shown, 95 were refused: arguments that it does not take)" in line.plan.waiting[0].reason


def test_promote_passes_the_step_and_full_passes_those_to_come(line: Line) -> None:
    wanted = of(REPLAY, SHADOW, {"setWeight": 25}, REPLAY)
    begin(line, wanted)
    line.promote()
    assert line.rollout.state == "shadowing"

    full = promote(line.rollout, line.now(), full=True)
    line.see(records={"line": line.record.with_rollout(full)})
    line.go(wanted)

    assert (line.rollout.state, line.on) == ("promoted", "B B B B")


@pytest.mark.parametrize("how", ["paused", "suspended", "held"])
def test_a_replay_stands_still_with_its_rollout(line: Line, how: str) -> None:
    wanted = of(REPLAY, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, agreement=FINE)
    then = wanted
    if how == "paused":
        line.see(records={"line": line.record.with_rollout(replace(line.rollout, paused_by="ann"))})
    elif how == "suspended":
        then = of(REPLAY, {"setWeight": 25}, suspend=True)
    else:
        line.see(holds={pid: Hold(pid, A, "ann", "", "scrap") for pid in PIDS})

    for _ in range(3):
        line.step(then)

    assert (line.rollout.state, line.on) == ("replaying", "A A A A")
    assert not planned(line, Replay)


def test_another_target_ends_it(line: Line) -> None:
    begin(line, of(REPLAY, {"setWeight": 25}))
    line.install(C)
    wanted = of(REPLAY, {"setWeight": 25}, ref=C)

    begin(line, wanted)

    assert line.rollout.target == C
    assert [each.key.target for each in planned(line, Replay)] == [C]


def test_of_two_replays_the_second_is_not_judged_by_what_the_first_came_to(line: Line) -> None:
    wanted = of(REPLAY, {"replay": {"last": 7}}, {"setWeight": 25})
    begin(line, wanted)
    line.replayed(100, agreement=FINE)

    begin(line, wanted)

    assert (line.rollout.state, line.rollout.step) == ("replaying", 1)
    assert [(each.key.step, each.last) for each in planned(line, Replay)] == [(1, 7)]


def test_without_automatic_reverts_a_replay_that_fails_stops_the_rollout(line: Line) -> None:
    canary = {"canary": {"steps": [REPLAY]}, "autoRevert": False}
    wanted = revision(line_of(B, strategy=canary))
    begin(line, wanted)
    line.replayed(100, agreement=Agreement(ng_ok=100, newly_ok=100))

    line.go(wanted)

    assert (line.rollout.state, line.on) == ("stopped", "A A A A")


# --- shadow


def test_a_shadow_has_its_process_until_its_time_is_over_and_enough_pictures_are_compared(line: Line) -> None:
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)

    assert (line.rollout.state, line.on) == ("shadowing", "A A A A")
    assert SHADOW_KEY in line.observed.processes
    assert ProcessKey("line", "screw", "1.1.0") not in line.observed.processes
    assert "0 shadowed pictures compared, 30 are needed (shadow.minSamples)" in line.plan.waiting[0].reason
    line.shadowed("A04", Agreement(ok_ok=20, dropped=4))
    line.go(wanted, 899)
    line.shadowed("A01", Agreement(ng_ng=9, errors=1))
    line.go(wanted, 100)
    assert line.rollout.state == "shadowing"
    assert "29 shadowed pictures compared (4 were dropped), 30 are needed" in line.plan.waiting[0].reason
    line.shadowed("A01", Agreement(ok_ok=1))
    line.go(wanted)
    assert (line.rollout.weight, line.on) == (25, "A A A B")
    assert SHADOW_KEY not in line.observed.processes


def test_enough_pictures_do_not_shorten_a_shadow(line: Line) -> None:
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)
    line.shadowed("A04", Agreement(ok_ok=1000))

    line.go(wanted, 899)
    assert line.rollout.state == "shadowing"
    line.go(wanted, 1)
    assert line.rollout.weight == 25


def test_a_shadow_above_its_limit_goes_on_until_it_is_certain_or_within_it_again(line: Line) -> None:
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)
    line.shadowed("A04", Agreement(ok_ok=38, ng_ok=2, newly_ok=2))

    line.go(wanted, 2000)
    assert line.rollout.state == "shadowing"
    assert "newly OK 5 %, limit 2%, over 40 compared pictures: more will decide" in line.plan.waiting[0].reason
    line.shadowed("A04", Agreement(ok_ok=60))
    line.go(wanted)
    assert (line.rollout.weight, line.on) == (25, "A A A B")


@pytest.mark.parametrize(
    ("counts", "metric"),
    [
        (Agreement(ok_ok=80, ng_ok=20, newly_ok=20), "newlyOK"),
        (Agreement(ok_ok=70, ok_ng=30, newly_ng=30), "newlyNG"),
        (Agreement(ok_ok=60, errors=40), "errorRate"),
        (Agreement(ok_ok=80, timeouts=20), "timeoutRate"),
    ],
)
def test_a_shadow_that_says_something_else_or_fails_stops_the_rollout_before_any_weight(
    line: Line, counts: Agreement, metric: str
) -> None:  # fmt: skip
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)
    line.see(shadow_differences={"line": (*differing(2), *differing(1, "OK", "ERROR"), *differing(1, "OK", "TIMEOUT"),
                                          *differing(1, "OK", "NG", "A01"))})  # fmt: skip
    line.shadowed("A02", counts)

    line.go(wanted, 5)

    assert (line.rollout.state, line.on) == ("reverted", "A A A A")
    [found] = [each for each in line.plan.verdicts["line"].findings if each.outcome == "fail"]
    assert (found.metric, found.odds, bool(found.pictures)) == (metric, 400, True)
    assert ("; of these 100 calls beside the line" in found.sentence) is (metric in {"errorRate", "timeoutRate"})
    assert SHADOW_KEY not in line.observed.processes
    assert line.record.quarantined(B, line.rollout.digest) is not None


def test_one_budget_is_shared_by_the_tests_of_the_shadow_and_of_calls(line: Line) -> None:
    line.go(of(SHADOW, {"setWeight": 25}))

    findings = {each.metric: each.odds for each in line.plan.verdicts["line"].findings}

    assert findings == {"newlyOK": 400, "newlyNG": 400, "errorRate": 400, "timeoutRate": 400}


def test_what_was_counted_of_an_earlier_rollout_of_the_version_counts_no_more(line: Line) -> None:
    line.shadowed("A04", Agreement(ng_ok=90, newly_ok=90, errors=50))
    line.see(shadow_differences={"line": differing(2, at="1969")})
    wanted = of(SHADOW, {"setWeight": 25})

    line.go(wanted, 1)
    line.shadowed("A04", Agreement(ok_ok=30))
    line.go(wanted, 1)

    assert line.rollout.state == "shadowing"
    found = next(each for each in line.plan.verdicts["line"].findings if each.metric == "newlyOK")
    assert (found.samples, found.failures, found.pictures) == (30, 0, ())


def test_two_shadow_steps_share_their_tests_and_each_needs_its_own_pictures(line: Line) -> None:
    wanted = of(SHADOW, {"setWeight": 25}, SHADOW)
    line.go(wanted)
    line.shadowed("A04", Agreement(ok_ok=40))
    line.go(wanted, 900)
    line.calls("A04", 60)
    line.go(wanted)
    assert (line.rollout.state, line.rollout.step) == ("shadowing", 2)
    line.shadowed("A01", Agreement(ok_ok=10))
    line.go(wanted, 900)
    assert line.rollout.state == "shadowing"
    assert line.rollout.analysis.tests.rates["newlyOK"].calls == 50
    assert line.rollout.analysis.tests.rates["errorRate"].calls == 110
    line.shadowed("A01", Agreement(ok_ok=20))
    line.go(wanted)
    assert line.rollout.weight == 100


def test_calls_of_a_shadow_are_none_of_the_steps_that_move_pids(line: Line) -> None:
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)
    line.shadowed("A04", Agreement(ok_ok=1000))
    line.go(wanted, 900)
    line.calls("A04", 9)

    line.go(wanted)

    assert line.rollout.state == "sampling"
    assert "9 calls in this step, 10 are needed" in line.plan.waiting[0].reason


def test_a_shadow_process_that_does_not_become_ready_fails_the_version_but_not_what_the_host_refuses(
    line: Line,
) -> None:
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)
    line.fail(B, shadow=True, condition="MemoryLow", blameless=True)
    line.step(wanted)
    assert line.rollout.state == "shadowing"
    line.fail(B, shadow=True)

    line.go(wanted)

    assert (line.rollout.state, line.rollout.emergency, line.on) == ("reverted", False, "A A A A")
    assert "line/screw@1.1.0-shadow-0 never became ready" in line.rollout.reason


def test_a_shadow_that_breaks_between_weights_is_no_emergency_for_pids_on_the_version(line: Line) -> None:
    wanted = of({"setWeight": 25}, SHADOW)
    line.go(wanted)
    line.calls("A04", 60)
    line.go(wanted)
    assert (line.rollout.state, line.on) == ("shadowing", "A A A B")
    line.fail(B, shadow=True, breaker=True)

    line.step(wanted)

    assert (line.rollout.state, line.rollout.emergency) == ("reverting", False)


def test_counts_that_were_lost_begin_anew(line: Line) -> None:
    line.shadowed("A04", Agreement(ok_ok=500))
    wanted = of(SHADOW, {"setWeight": 25})
    line.go(wanted)
    line.see(shadows={})
    line.go(wanted, 1)
    line.shadowed("A04", Agreement(ok_ok=29, ng_ok=1, newly_ok=1))
    line.go(wanted, 1)
    assert line.rollout.state == "shadowing"
    line.shadowed("A04", Agreement(ok_ok=471, ng_ok=2, newly_ok=2))

    line.go(wanted, 900)

    assert line.rollout.weight == 25, "of more pictures than before nothing is taken away"


@pytest.mark.parametrize(("then", "state"), [("promote", "stepping"), ("revert", "reverted")])
def test_undecided_shadow_pictures_when_the_time_is_over(line: Line, then: str, state: str) -> None:
    wanted = of(SHADOW, {"setWeight": 25}, then=then)
    line.go(wanted)
    line.seconds += 900
    line.step(wanted)
    if state == "reverted":
        line.go(wanted)

    assert line.rollout.state == state


def test_the_plan_names_the_pids_whose_pictures_a_step_shows(line: Line) -> None:
    begin(line, of(REPLAY, SHADOW, {"setWeight": 25}))

    assert [(each.step, each.pids) for each in line.plan.steps] == [
        ("replay of the last 100", ("A04", "A01", "A02", "A03")),
        ("shadow 50 % for 15m", ("A04", "A01")),
        ("setWeight 25", ("A04",)),
        ("setWeight 100", ("A04", "A01", "A02", "A03")),
    ]


def test_nothing_of_the_line_is_retired_for_a_shadow(line: Line) -> None:
    line.go(of(SHADOW, {"setWeight": 25}))

    assert ProcessKey("line", "screw", "1.0.0") in line.observed.processes
    assert not planned(line, Retire)
