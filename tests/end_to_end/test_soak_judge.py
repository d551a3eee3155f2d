"""The judge of `make soak` finds what it is there to find; else a soak without violations would mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.client import NotReached, UnknownOutcome
from controller.errors import CallError, Code
from tests.end_to_end.load import Call
from tests.soak.judge import Judgement, Outage, judge
from tests.soak.witness import Reign, Witness
from tests.waiting import eventually

DEATH, ABSENCE = Outage(10.0, 12.0), Outage(20.0, 22.0)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """A witness that saw A01 go from 1.0.0 to 1.1.0 between 5.0 and 5.1, and back between 30.0 and 30.1."""
    witness = Witness(tmp_path, ("A01",))
    witness.reigns["A01"] = [Reign("1.0.0", 0.0, 0.0), Reign("1.1.0", 5.0, 5.1), Reign("1.0.0", 30.0, 30.1)]
    return witness


def judged(witness: Witness, *calls: Call) -> Judgement:
    return judge(calls, witness, [DEATH], [ABSENCE], lambda call: call.debug["seen"] == 7)


def answered(began: float, ended: float, version: str, *, says: str | None = None, seen: int = 7) -> Call:
    return Call("A01", began, ended, 0, version, "OK", {"version": says or version, "seen": seen})


@pytest.mark.parametrize(
    ("call", "stale"),
    [
        (answered(1, 2, "1.0.0"), 0),
        (answered(1, 2, "1.1.0"), 1),  # not active yet
        (answered(5.2, 6, "1.0.0"), 1),  # not active any more
        (answered(5.05, 6, "1.0.0"), 0),  # may have been accepted before the rename
        (answered(4, 5.05, "1.1.0"), 0),  # may have been accepted after it
        (answered(4, 6, "1.0.0"), 0),
        (answered(6, 29, "1.1.0"), 0),
        (answered(6, 29, "1.0.0"), 1),
        (answered(31, 32, "1.1.0"), 1),
    ],
)
def test_an_answer_must_come_from_a_version_that_was_active_meanwhile(witness: Witness, call: Call, stale: int) -> None:
    assert len(judged(witness, call).stale) == stale


def test_calls_that_overlap_no_switch_are_judged_exactly(witness: Witness) -> None:
    assert judged(witness, answered(1, 2, "1.0.0"), answered(4, 6, "1.1.0")).unambiguous == 1


def test_an_answer_must_be_the_calls_own_and_say_its_own_version(witness: Witness) -> None:
    found = judged(witness, answered(1, 2, "1.0.0", says="1.1.0"), answered(1, 2, "1.0.0", seen=8))

    assert len(found.swapped) == 2


@pytest.mark.parametrize(
    ("error", "began", "ended", "excused"),
    [
        (CallError(Code.heartbeat_lost, "it died"), 9, 10.5, True),
        (CallError(Code.heartbeat_lost, "it died"), 13, 14, False),
        (CallError(Code.heartbeat_lost, "it died"), 20.5, 21, False),
        (CallError(Code.timeout, "too late"), 10.5, 11, False),
        (CallError(Code.busy, "too many"), 10.5, 11, False),
        (UnknownOutcome("gone"), 19, 20.5, True),
        (UnknownOutcome("gone"), 10.5, 11, False),
        (NotReached("there", "nobody"), 10.5, 60, False),
    ],
)
def test_an_error_needs_something_that_was_dead_at_the_time(
    witness: Witness, error: CallError, began: float, ended: float, excused: bool
) -> None:
    found = judged(witness, Call("A01", began, ended, 0, error=error))

    assert (sum(found.excused.values()), len(found.unexcused)) == ((1, 0) if excused else (0, 1))


def test_the_witness_sees_every_change_between_two_looks(tmp_path: Path) -> None:
    def write(version: str) -> None:
        (tmp_path / "new").write_text(json.dumps({"name": "n", "version": version, "activated_at": "t"}))
        (tmp_path / "new").replace(tmp_path / "A01.json")

    write("1.0.0")
    with Witness(tmp_path, ("A01",)) as witness:
        for version in ("1.1.0", "1.0.0", "1.1.0"):
            write(version)
            eventually(lambda version=version: witness.version("A01") == version, "the change")

    assert [reign.version for reign in witness.reigns["A01"]] == ["1.0.0", "1.1.0", "1.0.0", "1.1.0"]
    assert witness.switches == 3
    assert all(reign.maybe_since <= reign.since for reign in witness.reigns["A01"])
