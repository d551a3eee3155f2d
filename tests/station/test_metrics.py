"""Metrics as text, in slices that are read back by prometheus_client's own parsers; and where they come from."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from controller.errors import ControllerError
from controller.model.actions import Install, Switch
from controller.model.desired import Revision
from controller.model.package import PackageRef
from controller.model.rollout import Quarantine, RolloutRecord
from controller.model.tally import Kind, LatencySketch, Recorder, Tally, bin_of
from controller.reconciler.acts import Act, ActionResult
from controller.reconciler.counts import ActCounts, Durations, PassCounts
from controller.station.metrics.calls import BOUNDS, buckets_of, outcomes
from controller.station.metrics.exposition import MOST_ROWS, render
from controller.station.metrics.family import Buckets, Family, counter, gauge
from tests.builders import AT, deployment, revision, rollout

REF = PackageRef("screw", "1.1.0")
MANY = Family("counter", "calls", "Calls.", ("pid",), [((f"P{number}",), number) for number in range(300)])
OF_EACH_KIND = (
    gauge("converged", "Whether.", 1),
    gauge("never_known", "Nobody knows.", None),
    counter("passes", "Passes.", 7),
    MANY,
    Family("histogram", "call_duration_seconds", "How long.", ("deployment",),
           [((name,), Buckets((0.1, 1.0), [2, 1, 1], 3.5)) for name in "abcdefghij"]),
    Family("stateset", "deployment_phase", "Phase.", ("deployment",), [(("a",), {"Healthy": True, "Paused": False})]),
    Family("info", "build", "Release.", (), [((), {"version": '1.0 "x"\n'})]),
)  # fmt: skip


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_what_is_rendered_in_slices_is_one_document(accept: str) -> None:
    kind, made = await render(OF_EACH_KIND, accept)
    text = bytes(made)

    parse = openmetrics if accept else parser
    found = {family.name: family for family in parse.text_string_to_metric_families(text.decode())}
    assert kind.startswith(accept.split(";", maxsplit=1)[0] or "text/plain; version=0.0.4")
    assert [sample.value for sample in found["procvision_calls"].samples] == list(range(300))
    assert found["procvision_never_known"].samples == []
    buckets = found["procvision_call_duration_seconds"].samples
    assert [each.value for each in buckets if each.labels == {"deployment": "j", "le": "+Inf"}] == [4]
    assert Counter(each.labels["deployment"] for each in buckets) == dict.fromkeys("abcdefghij", 5)
    assert text.count(b"# TYPE procvision_calls_total" if not accept else b"# TYPE procvision_calls ") == 1
    assert text.endswith(b"# EOF\n") == bool(accept)
    phases = found["procvision_deployment_phase"].samples
    assert {each.labels["procvision_deployment_phase"]: each.value for each in phases} == {"Healthy": 1, "Paused": 0}


async def test_the_event_loop_has_its_turn_between_two_slices() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await render([MANY], "")
    beside.cancel()

    assert turns >= 300 // 20


async def test_what_is_more_than_a_family_may_have_is_counted_instead() -> None:
    rows = ((("x",), float(number)) for number in range(MOST_ROWS + 5))
    family = Family("gauge", "much", "Much.", ("of",), rows)

    _, made = await render([family], "")
    text = bytes(made)

    assert text.count(b'\nprocvision_much{of="x"}') == MOST_ROWS
    assert b'procvision_rows_left_out{family="procvision_much"} 5.0' in text


def test_a_sketch_becomes_a_histogram_with_bounds_that_are_right_to_four_percent() -> None:
    latencies = [0.0012, 0.0048, 0.03, 0.03, 0.9, 45.0]
    found = buckets_of(LatencySketch.counted(Counter(map(bin_of, latencies))))

    assert dict(zip((*BOUNDS, math.inf), found.counts, strict=True)) == {
        **dict.fromkeys((*BOUNDS, math.inf), 0), 0.005: 2, 0.05: 2, 1.0: 1, math.inf: 1,
    }  # fmt: skip
    assert found.seconds == pytest.approx(sum(latencies), rel=0.03)


def test_every_call_has_one_outcome_and_an_earlier_life_is_not_counted() -> None:
    before = Tally(calls=100, errors=9, failures=4, timeouts=1, verdicts_ok=90)
    recorder = Recorder(before)
    for kind in (Kind.ok, Kind.ng, Kind.error, Kind.error, Kind.timeout, Kind.answered):
        recorder.record(kind, 0.1)
    recorder.failed()
    recorder.excused()

    found = dict(outcomes(recorder.tally, before))

    assert found == {"ok": 1, "ng": 1, "error": 1, "failed": 1, "timeout": 1, "no_verdict": 1, "excused": 1}
    assert dict(outcomes(before, before)) == dict.fromkeys(("ok", "ng", "error", "failed", "timeout"), 0)


def record(state: Any, *, started_at: str = AT, aborted: str = "", quarantined: bool = False) -> RolloutRecord:
    of = revision(deployment("screw", "1.1.0", "A01")).by_name["screw"]
    made = rollout(of, {}, state)
    entries = (Quarantine(REF, "sha256:ab", AT, "it failed"),) if quarantined else ()
    return RolloutRecord(dataclasses.replace(made, started_at=started_at, aborted=aborted), entries)


def test_the_end_of_a_rollout_is_counted_once_and_not_again_by_a_later_life() -> None:
    counts = PassCounts()
    for seen in (
        record("reverting", quarantined=True),  # as an earlier life left it
        record("reverted", quarantined=True),
        record("baking", started_at="later", quarantined=True),
        record("reverting", started_at="later", quarantined=True),
        record("reverted", started_at="later", quarantined=True),
        record("promoted", started_at="third"),
        record("completed", started_at="third"),
        record("reverting", started_at="third", aborted="by ann", quarantined=True),
    ):
        counts.saw({"screw": seen})

    assert counts.rollouts == {("screw", "rolled_back"): 1, ("screw", "promoted"): 1, ("screw", "aborted"): 1}
    assert counts.quarantined["screw"] == 1


def test_a_tree_that_is_refused_is_counted_once_until_it_is_refused_for_something_else() -> None:
    counts = PassCounts()
    for problems in ((), ("a.yaml:1: x",), ("a.yaml:1: x",), ("a.yaml:2: y",), (), ("a.yaml:2: y",)):
        counts.took(problems)

    assert counts.refused == 3


def test_acts_are_counted_by_kind_and_result_and_switches_by_their_way() -> None:
    counts = ActCounts()

    def end(action: Any, error: ControllerError | None = None, *, begun: bool = True) -> None:
        counts.take(Act(action, Revision(id="r", source="", loaded_at=""), "ann"), ActionResult(action, error, begun))

    there = Switch("A01", "screws", None, REF, "desired")
    end(there)
    end(dataclasses.replace(there, diverges=True))
    end(there, ControllerError("no"))
    end(there, ControllerError("the decision was not written"), begun=False)
    end(Install(REF, "screw.zip", "sha256:ab", "desired"))

    assert counts.switches == {("screws", False): 1, ("screws", True): 1}
    assert counts.ended == {("switch", True): 2, ("switch", False): 1, ("install", True): 1}


def test_a_duration_is_noted_also_of_what_fails() -> None:
    durations = Durations((0.0, 3600.0))
    with pytest.raises(KeyError), durations.timing():
        raise KeyError
    assert (durations.counts, durations.seconds > 0) == ([0, 1, 0], True)
