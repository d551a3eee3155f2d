"""Whose doing a failure was, on real processes: what fails on the stable version too is not the new one's fault."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from controller.errors import CallError, Code
from tests.builders import deployment, revision, rollout
from tests.calls.stations import NEXT, Station, station
from tests.calls.test_data_plane import counts
from tests.processes.conftest import KEY
from tests.waiting import HANGS, until

pytestmark = pytest.mark.real

TWIN_OF_NEXT = replace(NEXT, replica=1)
[WANTED] = revision(deployment(KEY.deployment, NEXT.version, "A01", "A02", package=KEY.name)).deployments


def judge(opened: Station) -> None:
    """Let the next version answer A01 and be judged against the first one, whose process is kept warm."""
    opened.switch("A01", NEXT.ref)
    opened.plane.judge({KEY.deployment: rollout(WANTED, {"A01": KEY.ref, "A02": KEY.ref})})


def counted(opened: Station) -> dict[str, int]:
    return counts(opened.plane.tallies()["A01", NEXT.ref])


async def test_what_fails_on_the_stable_version_too_is_excused_and_told_to_its_caller(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        judge(opened)
        heard: list[None] = []
        opened.plane.report_failing(lambda: heard.append(None))

        errors = [await opened.failure(do="error", code="1009", message="no such edge") for _ in range(3)]
        assert (await opened.call()).version == "1.1.0"

        assert {error.code for error in errors} == {Code.execute_exception}
        assert counted(opened) == {"calls": 1, "excused": 3}
        assert heard == [], "no verdict is due"
        assert ("A01", KEY.ref) not in opened.plane.tallies(), "a trial is no call of the stable version"


async def test_what_only_the_new_version_fails_counts(layout, make_spec):
    async with station(layout, make_spec(), make_spec("broken", key=NEXT)) as opened:
        judge(opened)

        for _ in range(2):
            assert (await opened.failure()).code is Code.execute_exception

        assert counted(opened) == {"calls": 2, "errors": 2, "failures": 2}


async def test_without_a_stable_version_at_hand_it_counts(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        opened.switch("A01", NEXT.ref)
        await opened.failure(do="error", code="1009", message="no such edge")  # nothing is judged
        judge(opened)
        os.kill(opened.os_pid(KEY), signal.SIGKILL)
        await until(lambda: opened.ended)
        await opened.failure(do="error", code="1009", message="no such edge")

        assert counted(opened) == {"calls": 2, "errors": 2, "failures": 2}


async def test_what_ends_a_process_is_not_tried_on_another(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        judge(opened)
        stable = opened.os_pid(KEY)

        assert (await opened.failure(do="crash")).code is Code.heartbeat_lost

        assert counted(opened)["errors"] == 1
        assert (opened.os_pid(KEY), opened.process(KEY).state) == (stable, "ready")


async def test_trials_of_one_deployment_take_turns_and_a_caller_waits_for_none_longer_than_it_would(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT), make_spec(key=TWIN_OF_NEXT)) as opened:
        judge(opened)
        await asyncio.gather(*(opened.failure(do="error", code="1009", message="no such edge") for _ in range(12)))
        assert counted(opened) == {"excused": 12}

        impatient = opened.request(do="error", code="1009", message="no such edge")
        impatient = replace(impatient, arguments=replace(impatient.arguments, timeout=2.0))
        async with opened.process(KEY).exclusively(1):  # the stable version is at work
            with pytest.raises(CallError) as caught:
                await asyncio.wait_for(opened.plane.execute(impatient), HANGS)  # it waits no longer than it said
        assert caught.value.code is Code.execute_exception, "its own failure is what it hears of"

        assert counted(opened) == {"calls": 1, "errors": 1, "failures": 1, "excused": 12}


async def test_a_trial_that_waits_does_not_have_the_stable_process_ended_in_the_middle_of_its_call(
    layout, make_spec, tmp_path
):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        judge(opened)
        done = tmp_path / "done"
        at_work = opened.calling("A02", do="wait", path=str(done))
        await until(lambda: opened.process(KEY).state == "busy")
        failing = asyncio.create_task(opened.failure(do="error", code="1009", message="no such edge"))
        await until(lambda: opened.process(KEY).call_lock._next)  # the trial waits for it

        retiring = asyncio.create_task(opened.runner.stop(KEY, drain=20))
        await until(lambda: opened.process(KEY).draining)
        done.touch()

        assert (await at_work).version == KEY.version
        assert (await failing).code is Code.execute_exception
        await retiring
