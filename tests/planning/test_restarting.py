"""A restart that an operator asks for: one process after the other, only those that ran then, only while all answer."""

from __future__ import annotations

from dataclasses import replace

from controller.model.actions import Preheat
from controller.model.observed import Failure, Observed, ObservedProcess
from controller.model.package import PackageRef
from controller.model.rollout import Instant, RestartRequest, RolloutRecord
from controller.planning.plan import plan
from controller.store.rollout_codec import read_record, write_record
from tests.builders import active, deployment, installed, process, revision, running, zipped

NOW = Instant("boot", 100.0)
SCREW = PackageRef("screw", "1.0.0")
TREE = revision(deployment(replicas=2))
FIRST = replace(process(SCREW), started_at="t1")
SECOND = replace(process(SCREW, replica=1), started_at="t1")
RECORD = RolloutRecord(restart=RestartRequest("mia", "leaks", tuple((str(each.key), "t1") for each in (FIRST, SECOND))))


def observed(*processes: ObservedProcess, record: RolloutRecord = RECORD) -> Observed:
    return Observed(
        zips=zipped(SCREW), installed=installed(SCREW), active=active(SCREW, "A01", "A02"),
        processes=running(*processes), records={"screw": record},
    )  # fmt: skip


def restarts(seen: Observed, *, serve: bool = True) -> list[tuple[int, str]]:
    actions = plan(TREE, seen, NOW, serve=serve).actions
    return [(each.process.replica, each.reason) for each in actions if isinstance(each, Preheat)]


def test_one_after_the_other_until_none_is_left_that_ran_then() -> None:
    new = [replace(each, started_at="t2") for each in (FIRST, SECOND)]
    why = "restart asked for by mia: leaks"
    assert restarts(observed(FIRST, SECOND)) == [(0, why)]
    assert restarts(observed(new[0], SECOND)) == [(1, why)]
    assert plan(TREE, observed(*new), NOW).empty
    assert plan(TREE, observed(FIRST, SECOND, record=RolloutRecord()), NOW).empty


def test_while_one_does_not_answer_no_other_is_taken() -> None:
    gone = replace(FIRST, state="exited", started_at="t2")
    assert restarts(observed(gone, SECOND)) == [(0, "its process is exited")]
    assert restarts(observed(FIRST, SECOND), serve=False) == []


def test_a_successor_that_does_not_start_is_waited_for_with_a_back_off() -> None:
    seen = observed(FIRST, SECOND)
    [first] = [each for each in plan(TREE, seen, NOW).actions if isinstance(each, Preheat)]
    failure = Failure(first.object, "it raised", 2005, 1, NOW.seconds + 10)
    result = plan(TREE, replace(seen, failures={first.object: failure}), NOW)
    assert result.empty
    assert [str(each.object) for each in result.waiting] == [str(first.object)]


def test_it_is_remembered_and_an_earlier_release_reads_the_rest() -> None:
    assert read_record(write_record(RECORD)) == RECORD
    assert b"restart" not in write_record(RolloutRecord())
