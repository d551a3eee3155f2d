"""The mirror: pictures of the line shown to a shadowed version, beside the line and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator

import numpy as np
import pytest

from controller.calls.mirror import Mirror
from controller.host.priority import Thread
from controller.images import slots
from controller.images.formats import ImageRef
from controller.model.comparison import Agreement
from controller.model.rollout import Instant, PictureTerms, PinnedStrategy, Rollout, Step
from tests.calls.stations import NEXT, Station, station
from tests.processes.conftest import KEY
from tests.processes.test_process import PART
from tests.waiting import until

pytestmark = pytest.mark.real

SHADOW = dataclasses.replace(NEXT, shadow=True)
COUNTED = ("A01", NEXT.ref)


def shadowing(*pids: str, sample: float = 1.0, iou: float | None = None) -> dict[str, Rollout]:
    """Return the rollouts of a station in which a version is shadowed on those PIDs."""
    terms = PictureTerms(0.0, 0.0, iou=iou, sample=sample)
    strategy = PinnedStrategy((Step("shadow", weight=100, pictures=terms),), pids, 0, 600, True, "wait", 0)
    at = Instant("boot", 0.0)
    rollout = Rollout(
        KEY.deployment, NEXT.ref, "sha256:0", strategy, dict.fromkeys(pids, KEY.ref), "shadowing", "", at, step=0
    )
    return {KEY.deployment: rollout}


@contextlib.asynccontextmanager
async def shadowed(layout, *specs, is_short=lambda: False, **terms) -> AsyncIterator[tuple[Station, Mirror]]:
    """A station whose A01 is shadowed."""
    async with station(layout, *specs) as opened:
        mirror = Mirror(opened.runner, is_short)
        opened.plane.follow(mirror)
        mirror.judge(shadowing("A01", **terms))
        try:
            yield opened, mirror
        finally:
            await mirror.close()


def counts(mirror: Mirror) -> dict[str, int]:
    return {name: count for name, count in _agreement(mirror).to_document().items() if count}


def _agreement(mirror: Mirror) -> Agreement:
    return mirror.counts.agreements.get(COUNTED, Agreement())


def seen(mirror: Mirror) -> int:
    found = _agreement(mirror)
    return found.calls + found.excused + found.dropped


def no_slot_is_lent(opened: Station) -> bool:
    held = [
        slot.leased for process in opened.runner.processes() for each in process.slots._slots.values() for slot in each
    ]
    return not any(held)


async def test_each_picture_is_compared_and_the_caller_hears_nothing_of_it(layout, make_spec):
    async with shadowed(layout, make_spec(), make_spec(key=SHADOW, acts={"said": "OK"})) as (opened, mirror):
        for number in range(20):
            answer = await opened.call(said="NG" if number % 10 == 0 else "OK")
            assert answer.version == KEY.version
            assert answer.data["result_status"] == ("NG" if number % 10 == 0 else "OK")
            await until(lambda number=number: seen(mirror) == number + 1)
        assert counts(mirror) == {"ok_ok": 18, "ng_ok": 2, "newly_ok": 2}
        assert [(each.before.said, each.after.said, each.pid) for each in mirror.counts.differing[KEY.deployment]] == [
            ("NG", "OK", "A01")
        ] * 2
        assert NEXT.ref not in {ref for _, ref in opened.plane.tallies()}, "a shadow's calls are none of the line"
        assert no_slot_is_lent(opened)


async def test_a_call_on_which_they_disagree_is_told_with_its_picture_and_named_by_its_recording(layout, make_spec):
    async with shadowed(layout, make_spec(), make_spec(key=SHADOW, acts={"said": "OK"})) as (opened, mirror):
        heard = []

        def disagreed(call, after, difference):
            heard.append((np.load(call.image.image.path), after.said, difference.newly_ok))
            return "rec-1"

        mirror.disagreed = disagreed
        part = np.full((4, 5, 3), 9, np.uint8)
        answer = await opened.plane.execute(dataclasses.replace(opened.request(said="NG"), image=part))
        await opened.call(said="OK")
        await until(lambda: seen(mirror) == 2)
        [(picture, said, newly_ok)] = heard
        assert (picture == part).all()
        assert (said, newly_ok) == ("OK", True)
        [found] = mirror.counts.differing[KEY.deployment]
        assert (found.recording, found.request_id) == ("rec-1", answer.request_id)


async def test_a_picture_in_a_slot_is_not_written_over_while_the_shadow_looks_at_it(layout, make_spec, tmp_path):
    gate = tmp_path / "go"
    spec = make_spec(key=SHADOW, acts={"do": "wait", "path": str(gate)})
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        await opened.call(said="OK")
        await until(lambda: opened.process(SHADOW).state == "busy")
        for _ in range(20):
            await opened.call(said="OK")
        gate.touch()
        await until(lambda: seen(mirror) == 21)
        found = counts(mirror)
        assert found["ok_ok"] >= 2, "what waits is shown when there is time"
        assert found["dropped"] == 21 - found["ok_ok"], "what finds no room is dropped and counted"
        assert no_slot_is_lent(opened)


async def test_calls_that_fail_on_the_line_or_are_not_of_a_shadowed_pid_are_not_shown(layout, make_spec):
    async with shadowed(layout, make_spec(), make_spec(key=SHADOW)) as (opened, mirror):
        await opened.failure(do="error", message="no", code="1009")
        await opened.call(status="ERROR")
        await opened.call("A02")
        await until(lambda: seen(mirror) == 2)
        opened.switch("A01", NEXT.ref)
        await opened.failure(timeout=0.2)
        assert counts(mirror) == {"excused": 2}


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ({"do": "error", "message": "no", "code": "1009"}, {"errors": 3}),
        ({"status": "ERROR"}, {"errors": 3}),
        ({"do": "crash"}, {"errors": 3}),
        ({"do": "junk"}, {"errors": 3}),
        ({"do": "hang"}, {"timeouts": 3}),
    ],
)
async def test_what_fails_on_the_shadow_alone_is_its_failure_and_the_line_answers_on(
    layout, make_spec, monkeypatch, acts, expected
):
    late = {"call_timeout": 0.3} if acts.get("do") == "hang" else {}
    spec = make_spec(key=SHADOW, acts=acts, **late)
    # one that gives way may have no processor for as long as it may take, which is no failure: here it always has one
    monkeypatch.setattr("controller.calls.own_time.threads_of", lambda _: {"1": Thread(stands=False, ran=0.0)})
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        opened.restarts[SHADOW] = spec
        for number in range(3):
            await until(lambda: opened.process(SHADOW).state == "ready", "a shadow")
            await opened.call(said="OK")
            await until(lambda number=number: seen(mirror) == number + 1)
        assert counts(mirror) == expected
        assert {each.after.said for each in mirror.counts.differing[KEY.deployment]} == {
            next(iter(expected)).upper()[:-1]
        }
        tally = opened.plane.tallies()["A01", KEY.ref]
        assert (tally.calls, tally.errors, tally.timeouts) == (3, 0, 0)
        assert no_slot_is_lent(opened)


async def test_without_a_shadow_process_pictures_are_dropped_and_held_against_nobody(layout, make_spec):
    async with shadowed(layout, make_spec()) as (opened, mirror):
        await opened.call(said="OK")
        await until(lambda: seen(mirror) == 1)
        assert counts(mirror) == {"dropped": 1}
        assert mirror.counts.dropped == {(KEY.deployment, "no_process"): 1}
        await opened.runner.start(make_spec(key=SHADOW))
        await opened.call(said="OK")
        await until(lambda: seen(mirror) == 2)
        assert counts(mirror) == {"dropped": 1, "ok_ok": 1}


async def test_a_host_applications_picture_that_changes_meanwhile_is_dropped(layout, make_spec, tmp_path):
    gate = tmp_path / "go"
    spec = make_spec(key=SHADOW, acts={"do": "wait", "path": str(gate)})
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        slots.open_folder(layout.images)
        path = layout.images / "cam-1.npy"
        np.save(path, PART)
        request = dataclasses.replace(opened.request(said="OK"), image=ImageRef("cam-1"))
        await opened.plane.execute(request)
        await until(lambda: opened.process(SHADOW).state == "busy")
        os.utime(path, (1, 1))
        gate.touch()
        await until(lambda: seen(mirror) == 1)
        path.unlink()
        assert mirror.counts.dropped == {(KEY.deployment, "changed"): 1}
        assert list(layout.images.glob("*leased*")) == []


async def test_a_legacy_algorithm_is_shown_both_phases_together(layout, make_spec):
    both = [make_spec(generation="0.0"), make_spec(key=SHADOW, generation="0.0", acts={"said": "NG"})]
    async with shadowed(layout, *both) as (opened, mirror):
        request = dataclasses.replace(opened.request(), image=PART)
        for phase in (None, "pre", "execute"):
            arguments = dataclasses.replace(request.arguments, guide_info=None, params={"said": "OK"}, phase=phase)
            await opened.plane.execute(dataclasses.replace(request, arguments=arguments))
        await until(lambda: seen(mirror) == 2)
        assert counts(mirror) == {"ok_ng": 2, "newly_ng": 2}


async def test_the_end_of_the_step_ends_what_waits_and_what_is_shown_counts_no_more(layout, make_spec, tmp_path):
    gate = tmp_path / "go"
    spec = make_spec(key=SHADOW, acts={"do": "wait", "path": str(gate)})
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        await opened.call(said="OK")
        await until(lambda: opened.process(SHADOW).state == "busy")
        await opened.call(said="OK")
        await until(lambda: mirror.waiting() == {KEY.deployment: 1})
        ended = {name: dataclasses.replace(each, state="baking") for name, each in shadowing("A01").items()}
        mirror.judge(ended)
        assert mirror.waiting() == {}
        stopping = asyncio.create_task(opened.runner.stop(SHADOW, drain=20))
        await asyncio.sleep(0)
        gate.touch()
        await stopping
        assert counts(mirror) == {"dropped": 2}
        assert no_slot_is_lent(opened)
        await opened.call(said="OK")
        mirror.judge({})
        assert mirror.counts.agreements == {}


async def test_a_shadow_that_is_not_started_by_this_controller_is_shown_pictures_too(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=SHADOW)) as opened:
        before = opened.os_pid(SHADOW)
        await opened.plane.stop()
        opened.supervisor.stop()
        await opened.runner.close()
        async with shadowed(layout) as (later, mirror):
            assert later.os_pid(SHADOW) == before
            await later.call(said="OK")
            await until(lambda: seen(mirror) == 1)
            assert counts(mirror) == {"ok_ok": 1}


async def test_a_sample_of_the_calls_is_shown(layout, make_spec):
    async with shadowed(layout, make_spec(), make_spec(key=SHADOW), sample=0.5) as (_, mirror):
        wanted = sum(mirror.wants("A01", KEY.ref) for _ in range(2000))
        assert 800 < wanted < 1200
        assert not mirror.wants("A02", KEY.ref)
        assert not mirror.wants("A01", NEXT.ref)


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        ({"1": Thread(stands=True, ran=5.0)}, "starved"),
        ({"1": Thread(stands=False, ran=5.0), "2": Thread(stands=True, ran=7.0)}, "starved"),
        ({"1": Thread(stands=False, ran=5.0)}, None),
        ({}, None),
    ],
    ids=["no processor", "one thread without", "it sleeps", "nothing is known"],
)
async def test_being_late_is_blamed_on_who_had_the_time(layout, make_spec, monkeypatch, threads, expected):
    monkeypatch.setattr("controller.calls.own_time.threads_of", lambda _: threads)
    spec = make_spec(key=SHADOW, acts={"do": "hang"}, call_timeout=0.3)
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        await opened.call(said="OK")
        await until(lambda: seen(mirror) == 1)
        assert counts(mirror) == ({"dropped": 1} if expected else {"timeouts": 1})
        assert mirror.counts.dropped == ({(KEY.deployment, expected): 1} if expected else {})


async def test_a_shadow_that_computes_for_too_long_is_late(layout, make_spec):
    spec = make_spec(key=SHADOW, acts={"do": "spin"}, call_timeout=0.3)
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        await opened.call(said="OK")
        await until(lambda: seen(mirror) == 1)
        assert counts(mirror) in ({"timeouts": 1}, {"dropped": 1}), "the latter on a machine without a moment to spare"


async def test_a_shadow_gives_way_from_its_start_and_a_process_of_the_line_does_not(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=SHADOW)) as opened:
        policies = [os.sched_getscheduler(opened.os_pid(key)) for key in (KEY, SHADOW)]
        assert policies == [os.SCHED_OTHER, os.SCHED_IDLE]


async def test_where_memory_is_short_no_picture_is_kept_from_the_line(layout, make_spec):
    async with shadowed(layout, make_spec(), make_spec(key=SHADOW), is_short=lambda: True) as (opened, mirror):
        for _ in range(3):
            await opened.call(said="OK")
        assert mirror.counts.dropped == {(KEY.deployment, "no_room"): 3}
        assert len(list(layout.images.glob("*.npy"))) == 1, "the line writes over its one slot"


async def test_a_call_that_could_not_be_shown_is_not_kept(layout, make_spec, tmp_path):
    gate = tmp_path / "go"
    spec = make_spec(key=SHADOW, acts={"do": "wait", "path": str(gate)})
    async with shadowed(layout, make_spec(), spec) as (opened, mirror):
        for _ in range(10):
            await opened.call(said="OK")
        waiting = mirror.waiting()[KEY.deployment]
        assert waiting == 4
        assert not mirror.wants("A01", KEY.ref)
        gate.touch()
        await until(lambda: not mirror.waiting()[KEY.deployment])
        assert mirror.wants("A01", KEY.ref)


async def test_a_thousand_switches_under_load_lose_no_call_while_every_call_is_shown(layout, make_spec):
    between = dataclasses.replace(KEY, version="1.0.5")
    async with shadowed(layout, make_spec(), make_spec(key=between), make_spec(key=SHADOW)) as (opened, mirror):
        mirror.judge(shadowing("A01", "A02"))
        over, answered = asyncio.Event(), 0

        async def caller(pid: str) -> None:
            nonlocal answered
            while not over.is_set():
                assert (await opened.call(pid, said="OK")).version in {KEY.version, between.version}
                answered += 1

        callers = [asyncio.create_task(caller(pid)) for pid in ("A01", "A02") * 4]
        for turn in range(1000):
            opened.switch(("A01", "A02")[turn % 2], (between, KEY)[turn // 2 % 2].ref)
            await asyncio.sleep(0)
        over.set()
        await asyncio.gather(*callers)
        tallies = opened.plane.tallies().values()
        assert sum(tally.calls for tally in tallies) == answered > 100
        assert sum(tally.errors + tally.timeouts for tally in tallies) == 0
        await until(lambda: not mirror.waiting()[KEY.deployment])
        found = sum(mirror.counts.agreements.values(), Agreement())
        assert (found.compared > 0, found.errors, found.timeouts) == (True, 0, 0)


async def test_what_another_version_than_the_one_before_answers_is_not_compared(layout, make_spec):
    """A PID that is held on an older version, or is another deployment's by now, has left the rollout."""
    async with shadowed(layout, make_spec(), make_spec(key=SHADOW, acts={"said": "NG"})) as (opened, mirror):
        left = shadowing("A01")[KEY.deployment]
        older = dataclasses.replace(KEY.ref, version="0.9.0")
        mirror.judge({KEY.deployment: dataclasses.replace(left, stable={"A01": older})})
        await opened.call(said="OK")
        mirror.judge(shadowing("A01"))
        await opened.call(said="OK")
        await until(lambda: seen(mirror) == 1)
        assert counts(mirror) == {"ok_ng": 1, "newly_ng": 1}
