"""The data plane: routing, queues, switches, restarts, and that every call ends exactly once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from controller.calls.data_plane import DataPlane
from controller.calls.feedback import Feedback
from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code
from controller.http.failures import error_response
from controller.model.input import PictureInput
from controller.model.observed import ActiveMapping, ProcessKey
from controller.model.package import PackageRef
from controller.model.tally import Tally
from controller.store.active import ActiveMappings
from controller.store.verdicts import VerdictJournal
from tests.calls.stations import NEIGHBOUR, NEXT, TWIN, Station, station
from tests.processes.conftest import KEY
from tests.processes.test_process import PART
from tests.waiting import until

pytestmark = pytest.mark.real


def counts(tally: Tally) -> dict[str, int]:
    return {name: value for name, value in dataclasses.asdict(tally).items() if name != "latency" and value}


async def test_every_call_is_answered_by_the_version_that_was_active_when_it_came(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        for turn in range(60):
            ref = (KEY, NEXT)[turn % 2].ref
            opened.switch("A01", ref)
            answers = await asyncio.gather(*(opened.call() for _ in range(turn % 4)))
            assert {answer.version for answer in answers} <= {ref.version}


async def test_a_shadow_is_never_given_a_call_of_the_line_and_does_not_count(layout, make_spec):
    shadow = dataclasses.replace(KEY, shadow=True)
    async with station(layout, make_spec(), make_spec(key=shadow)) as opened:
        answers = [await opened.call() for _ in range(10)]
        assert {answer.data["os_pid"] for answer in answers} == {opened.os_pid()}
        os.kill(opened.os_pid(shadow), signal.SIGKILL)
        await until(lambda: opened.ended)
        assert opened.ended[0][0] == shadow
        assert opened.plane.tallies()["A01", KEY.ref].crashes == 0
        await opened.runner.stop(KEY, drain=20)
        error = await opened.failure(timeout=0.3)
        assert error.details["caller_timeout"]


async def test_a_thousand_switches_under_load_lose_and_fail_no_call(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT), make_spec(key=TWIN)) as opened:
        current, over, answered = {"A01": KEY.ref, "A02": KEY.ref}, asyncio.Event(), 0

        async def caller(pid: str) -> None:
            nonlocal answered
            while not over.is_set():
                expected = current[pid]
                assert (await opened.call(pid)).version == expected.version
                answered += 1

        callers = [asyncio.create_task(caller(pid)) for pid in ("A01", "A02") * 4]
        for turn in range(1000):
            pid = ("A01", "A02")[turn % 2]
            opened.switch(pid, (NEXT, KEY)[turn // 2 % 2].ref)
            current[pid] = (NEXT, KEY)[turn // 2 % 2].ref
            await asyncio.sleep(0)
        over.set()
        await asyncio.gather(*callers)
        tallies = opened.plane.tallies()
        assert sum(tally.calls for tally in tallies.values()) == answered > 100
        assert sum(tally.errors + tally.timeouts for tally in tallies.values()) == 0
        assert min(tallies[pid, ref].calls for pid in current for ref in (KEY.ref, NEXT.ref)) > 0


async def test_what_was_accepted_before_a_switch_is_finished_by_the_old_version(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        before = [opened.calling(do="sleep", seconds=0.1, n=n) for n in range(4)]
        await asyncio.sleep(0)
        opened.switch("A01", NEXT.ref)
        retiring = asyncio.create_task(opened.runner.stop(KEY, drain=20))
        assert (await opened.call()).version == "1.1.0"
        assert not before[-1].done()
        answers = await asyncio.gather(*before)
        assert [(answer.version, answer.data["given"]["n"]) for answer in answers] == [("1.0.0", n) for n in range(4)]
        await retiring
        assert [process.key for process in opened.runner.processes()] == [NEXT]
        assert opened.ended == []


async def test_all_replicas_may_retire_at_once_and_no_call_is_lost(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=TWIN), make_spec(key=NEXT)) as opened:
        before = [opened.calling(do="sleep", seconds=0.05) for _ in range(8)]
        await asyncio.sleep(0)
        opened.switch("A01", NEXT.ref)
        await asyncio.gather(*(opened.runner.stop(key, drain=20) for key in (KEY, TWIN)))
        assert {answer.version for answer in await asyncio.gather(*before)} == {"1.0.0"}


async def test_what_a_drain_is_too_short_for_goes_to_the_new_version(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        first = opened.calling(do="sleep", seconds=60)
        second = opened.calling()
        await until(lambda: opened.process().state == "busy")
        opened.switch("A01", NEXT.ref)
        await opened.runner.stop(KEY, drain=0.1)
        error = (await asyncio.gather(first, return_exceptions=True))[0]
        assert isinstance(error, CallError)
        assert error.code is Code.heartbeat_lost
        assert (await second).version == "1.1.0"
        assert opened.plane.tallies()["A01", NEXT.ref].errors == 0


async def test_a_full_queue_is_busy_at_once_and_only_that_queue(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        opened.serve("A01", "A02", queue=2)
        await opened.call()
        running = opened.calling(do="sleep", seconds=0.3)
        await until(lambda: opened.process().state == "busy")
        waiting = [opened.calling() for _ in range(2)]
        await asyncio.sleep(0)
        error = await opened.failure()
        assert (error.code, not running.done()) == (Code.busy, True)
        assert 0 < error.details["retry_after"] <= 20
        assert (await opened.call("A02")).pid == "A02"
        await asyncio.gather(running, *waiting)
        assert (await opened.call()).status == "OK"


async def test_calls_of_a_pid_are_answered_in_their_order(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        order: list[int] = []

        async def call(n: int) -> None:
            assert (await opened.call(n=n)).data["given"]["n"] == n
            order.append(n)

        await asyncio.gather(*(call(n) for n in range(20)))
        assert order == list(range(20))


async def test_pids_take_turns(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        order: list[str] = []

        async def call(pid: str) -> None:
            await opened.call(pid, "sleep", seconds=0.02)
            order.append(pid)

        await asyncio.gather(*(call(pid) for pid in ["A01"] * 5 + ["A02"] * 2))
        assert order == ["A01", "A01", "A02", "A01", "A02", "A01", "A01"]


async def test_the_least_busy_replica_answers(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=TWIN)) as opened:
        long = opened.calling(do="sleep", seconds=0.5)
        await asyncio.sleep(0)
        others = {(await opened.call()).data["os_pid"] for _ in range(10)}
        assert not long.done()
        assert others == {opened.os_pid(), opened.os_pid(TWIN)} - {(await long).data["os_pid"]}
        idle = [(await opened.call()).data["os_pid"] for _ in range(4)]
        assert len(set(idle)) == 2, "idle ones take turns"


async def test_a_caller_that_goes_away_frees_its_place(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        opened.serve("A01", queue=2)
        running = opened.calling(do="sleep", seconds=0.3)
        await until(lambda: opened.process().state == "busy")
        waiting = [opened.calling(n=n) for n in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        third = opened.calling(n=2)
        running.cancel()
        assert [(await call).data["given"]["n"] for call in (waiting[1], third)] == [1, 2]
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {"calls": 2}


async def test_a_process_that_is_given_as_its_caller_leaves_is_not_lost(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        dispatcher = opened.plane._dispatcher("A01", KEY.ref)
        process = dispatcher.take()
        given = opened.calling()
        await asyncio.sleep(0)
        process.release()
        assert process.state == "busy", "its lock is given to the call that waits"
        given.cancel()
        assert (await opened.call()).status == "OK"


async def test_a_callers_shorter_timeout_ends_its_waiting_only(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        before = opened.os_pid()
        running = opened.calling(do="sleep", seconds=0.3, timeout=0.1)
        await asyncio.sleep(0)
        queued = await opened.failure(timeout=0.05)
        assert (queued.code, queued.details) == (Code.timeout, {"caller_timeout": True})
        error = (await asyncio.gather(running, return_exceptions=True))[0]
        assert error.details == {"caller_timeout": True}
        assert (await opened.call()).data["os_pid"] == before
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {"calls": 1}


async def test_waiting_has_a_bound_of_its_own(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        process = opened.process()
        opened.serve("A01", call_timeout=1.5)
        await until(lambda: process.spec.call_timeout == 1.5)
        running = opened.calling(do="sleep", seconds=1.0)
        await asyncio.sleep(0)
        second, third = opened.calling(do="sleep", seconds=1.0), opened.calling()
        await running
        error = (await asyncio.gather(third, return_exceptions=True))[0]
        assert (error.code, "no process was free for 1.5 s" in error.message) == (Code.busy, True)
        assert (await second).status == "OK", "its deadline runs from its dispatch"


async def test_calls_wait_while_the_only_process_restarts(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        opened.restarts[KEY] = make_spec()
        os.kill(opened.os_pid(), signal.SIGKILL)
        await until(lambda: opened.ended)
        answers = await asyncio.gather(*(opened.call(pid) for pid in ("A01", "A02", "A01")))
        assert [answer.status for answer in answers] == ["OK"] * 3
        assert [(key, "killed by signal 9" in why) for key, why in opened.ended] == [(KEY, True)]
        assert opened.plane.tallies()["A01", KEY.ref].crashes == 1


async def test_without_a_process_in_time_it_is_unavailable(layout, make_spec):
    async with station(layout) as opened:
        opened.serve("A01", start_timeout=0.1)
        error = await opened.failure()
        assert (error.code, error_response(error).status_code) == (Code.not_initialized, 503)
        assert opened.plane.tallies() == {}


async def test_a_call_that_waits_for_a_dead_version_is_saved_by_a_rollback(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        opened.switch("A01", NEXT.ref)
        os.kill(opened.os_pid(NEXT), signal.SIGKILL)
        await until(lambda: opened.ended)
        saved = [opened.calling() for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not saved[0].done()
        opened.switch("A01", KEY.ref)
        opened.plane.configure(opened.services)
        assert {answer.version for answer in await asyncio.gather(*saved)} == {"1.0.0"}


def through(opened: Station, key: ProcessKey, pid: str = "", **given) -> asyncio.Task:
    """A call for a package, for a PID if one is named."""
    asked = DetectionRequest(pid, PART, arguments=CallArguments(guide_info=[given]), package=key.ref)
    return asyncio.create_task(opened.plane.execute(asked))


async def refused(call: asyncio.Task) -> CallError:
    with pytest.raises(CallError) as caught:
        await call
    return caught.value


async def test_a_package_answers_for_the_first_pid_that_has_it_active_and_the_call_is_that_pid_s(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        opened.serve("A01", "A02", "A03")
        opened.switch("A01", NEXT.ref)
        opened.switch("A00", NEXT.ref)  # of no deployment, so found in its file alone
        answers = [await through(opened, KEY), await through(opened, KEY, "A03"), await through(opened, NEXT)]
        assert [(each.pid, each.version) for each in answers] == [("A02", "1.0.0"), ("A03", "1.0.0"), ("A00", "1.1.0")]
        counted = {counted: tally.calls for counted, tally in opened.plane.tallies().items()}
        assert counted == {("A02", KEY.ref): 1, ("A03", KEY.ref): 1, ("A00", NEXT.ref): 1}
        error = await refused(through(opened, KEY, "A01"))
        assert error.code is Code.no_active_version
        assert "screw-check@1.0.0 is not active for PID A01" in error.message
        assert "1.0.0 on A02, A03, 1.1.0 on A00, A01" in error.message
        error = await refused(through(opened, dataclasses.replace(KEY, version="2.0.0")))
        assert (error.code, error_response(error).status_code) == (Code.no_active_version, 404)
        assert error.details["active"] == {"1.0.0": ["A02", "A03"], "1.1.0": ["A00", "A01"]}
        unknown = dataclasses.replace(KEY, name="screw")
        assert "of screw there is active: no version" in (await refused(through(opened, unknown))).message


async def test_a_switch_never_lets_another_version_answer_a_package_s_call(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        accepted = [through(opened, KEY, do="sleep", seconds=0.05, n=n) for n in range(4)]
        await asyncio.sleep(0)
        opened.switch("A01", NEXT.ref)
        assert {(each.pid, each.version) for each in await asyncio.gather(*accepted)} == {("A01", "1.0.0")}
        assert (await through(opened, KEY)).pid == "A02"

        os.kill(opened.os_pid(NEXT), signal.SIGKILL)  # now calls for it wait, accepted by nobody
        await until(lambda: opened.ended)
        opened.switch("A02", NEXT.ref)
        waiting = through(opened, NEXT)
        await until(lambda: any(each.waiting for each in opened.plane._dispatchers.values()))
        opened.switch("A01", KEY.ref)
        opened.plane.configure(opened.services)
        await asyncio.sleep(0)
        assert not waiting.done(), "it is a call of A02 now"
        opened.switch("A02", KEY.ref)
        opened.plane.configure(opened.services)
        error = await refused(waiting)
        assert (error.code, error.details["active"]) == (Code.no_active_version, {"1.0.0": ["A01", "A02"]})


async def test_a_package_s_calls_under_switches_are_answered_by_it_or_refused(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        over, outcomes = asyncio.Event(), collections.Counter()

        async def caller(key: ProcessKey) -> None:
            while not over.is_set():
                try:
                    outcomes[key.version, (await through(opened, key)).version] += 1
                except CallError as error:
                    outcomes[key.version, error.code] += 1
                await asyncio.sleep(0)

        callers = [asyncio.create_task(caller(key)) for key in (KEY, NEXT) * 3]
        for turn in range(300):
            opened.switch(("A01", "A02")[turn % 2], (NEXT, KEY)[turn // 2 % 2].ref)
            await asyncio.sleep(0)
        over.set()
        await asyncio.gather(*callers)
        told = Code.no_active_version
        assert outcomes.keys() <= {("1.0.0", "1.0.0"), ("1.1.0", "1.1.0"), ("1.0.0", told), ("1.1.0", told)}
        assert min(outcomes["1.0.0", "1.0.0"], outcomes["1.1.0", "1.1.0"]) > 0


async def test_another_deployments_process_of_the_same_version_stands_in(layout, make_spec):
    other = dataclasses.replace(KEY, deployment="line-b")
    async with station(layout, make_spec(key=other)) as opened:
        assert (await opened.call()).status == "OK"


async def test_mappings_damaged_missing_and_impossible(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        assert (await opened.call()).status == "OK"
        layout.mapping("A01").write_text('{"name": "screw')
        assert (await opened.call()).status == "OK", "what was good is gone on with until it is repaired"
        layout.mapping("A01").unlink()
        assert (await opened.call()).status == "OK", "a deployment serves it, so it is restored"
        opened.plane.configure({})
        assert (await opened.failure()).code is Code.no_active_version
        layout.mapping("A09").write_text("{")
        assert (await opened.failure("A09")).code is Code.no_active_version
        assert (await opened.failure("../A01")).code is Code.invalid_pid


async def test_calls_are_taken_as_soon_as_processes_are_adopted(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        before = opened.os_pid()
        await opened.plane.stop()
        await opened.runner.close()
        await opened.runner.open()
        plane = DataPlane(opened.runner, opened.active)
        assert (await plane.execute(opened.request())).data["os_pid"] == before


LOADED = """
import asyncio, json, sys
from controller.calls.detection import smoke
from controller.calls.request import DetectionRequest
from controller.calls.data_plane import DataPlane
from controller.client.arguments import CallArguments
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.store.active import ActiveMappings
from controller.store.layout import StoreLayout

async def main(store, *specs):
    layout = StoreLayout.at(store)
    runner = ProcessPool(layout, smoke=smoke, now=lambda: "2026-01-02T03:04:05Z")
    await runner.open()
    plane = DataPlane(runner, ActiveMappings(layout))
    await plane.start()
    for spec in specs:
        await runner.start(ProcessSpec.from_document(json.loads(spec)))
    part, answered = memoryview(bytes(60)).cast("B", (4, 5, 3)), 0
    work = {"do": "sleep", "seconds": 0.01}

    async def caller():
        nonlocal answered
        while True:
            await plane.execute(DetectionRequest("A01", part, arguments=CallArguments(guide_info=[work])))
            answered += 1

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    while answered < 40:
        await asyncio.sleep(0.01)
    print(*(process.os_pid for process in runner.processes()), flush=True)
    await asyncio.gather(*callers)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_plane_of_the_next_controller_answers_from_the_processes_of_one_killed_under_load(layout, make_spec):
    specs = [make_spec(), make_spec(key=TWIN)]
    layout.active.mkdir()
    ActiveMappings(layout).write_all(
        {"A01": ActiveMapping(KEY.name, KEY.version, "2026-01-02T03:04:05Z")}, lambda _: None
    )
    arguments = [sys.executable, "-c", LOADED, str(layout.root), *(json.dumps(spec.to_document()) for spec in specs)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as controller:
        os_pids = set(map(int, controller.stdout.readline().split()))
        controller.kill()
    async with station(layout) as opened:
        assert {opened.os_pid(), opened.os_pid(TWIN)} == os_pids
        answers = await asyncio.gather(*(opened.call(n=n) for n in range(8)))
        assert [answer.data["given"]["n"] for answer in answers] == list(range(8))
        assert {answer.data["os_pid"] for answer in answers} == os_pids


async def test_a_busy_process_delays_the_adoption_of_no_other(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        running = opened.calling(do="sleep", seconds=4.0)
        await until(lambda: opened.process().state == "busy")
        await opened.plane.stop()
        await opened.runner.close()
        await asyncio.gather(running, return_exceptions=True)
        opened.switch("A01", NEXT.ref)
        opened.plane = DataPlane(opened.runner, opened.active)
        opening = asyncio.create_task(opened.runner.open())
        assert (await opened.call()).version == "1.1.0"
        assert not opening.done()
        await opening
        assert len(opened.runner.processes()) == 2


async def test_what_counts_and_what_does_not(layout, make_spec):
    async with station(layout, make_spec(call_timeout=2)) as opened:
        opened.serve("A01", "A02", "A03", call_timeout=2)
        opened.restarts[KEY] = make_spec(call_timeout=2)
        for given in ({}, {"status": "ERROR"}, {"do": "error", "code": "1003", "message": "x"}):
            await asyncio.gather(opened.call(**given), return_exceptions=True)
        with pytest.raises(CallError):
            await opened.plane.execute(DetectionRequest("A01", b"no image"))
        with pytest.raises(CallError):
            await opened.plane.execute(DetectionRequest("A01", PART, arguments=CallArguments(step_index=0)))
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {"calls": 3, "errors": 2, "failures": 1}
        assert opened.plane.turned_away == {("A01", "image_load_failed"): 1}
        nested = '{"a": ' + "[" * 300 + "]" * 300 + "}"
        assert (await opened.failure("A03", "deep", text=nested)).code is Code.execute_exception
        assert (await opened.failure("A03", "error", code="1007", message="x")).code is Code.execute_exception
        assert counts(opened.plane.tallies()["A03", KEY.ref]) == {"calls": 2, "errors": 2, "failures": 2}
        assert (await opened.failure(do="hang")).code is Code.timeout
        assert (await opened.failure("A02", "crash")).code is Code.heartbeat_lost
        await until(lambda: len(opened.ended) == 2)
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {
            "calls": 4, "errors": 2, "failures": 1, "timeouts": 1, "crashes": 1,
        }  # fmt: skip
        assert counts(opened.plane.tallies()["A02", KEY.ref]) == {"calls": 1, "errors": 1, "failures": 1, "crashes": 1}
        assert opened.plane.tallies()["A01", KEY.ref].latency.quantile(1) == pytest.approx(2, rel=0.03)


async def test_a_deployment_that_compares_gets_its_guide_or_the_call_is_refused(layout, make_spec):
    async with station(layout, make_spec(input=PictureInput("required")), make_spec(key=NEIGHBOUR)) as opened:
        opened.serve("A01", "A02", input=PictureInput("required", swap=True))
        error = await opened.failure()
        assert (error.code, "needs a guide image" in error.message) == (Code.invalid_params, True)
        assert error_response(error).status_code == 400
        request = dataclasses.replace(opened.request(), guide_image=PART)
        data = (await opened.plane.execute(request)).data
        assert [data["cur_image_shm_id"], data["guide_image_shm_id"]] == [
            f"{opened.process().record.token}.{role}" for role in ("guide", "image")
        ]
        await until(lambda: opened.process().spec.input.swap, "the record of the process says what holds now")
        assert (await opened.call("B01")).data["guide_image_meta"]["width"] == 5  # another deployment: as by default
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {"calls": 1}
        successor = DataPlane(opened.runner, opened.active)  # before its first pass: the process's own record counts
        with pytest.raises(CallError, match="needs a guide image"):
            await successor.execute(opened.request())
        await successor.stop()


async def test_asking_an_algorithm_of_itself_is_no_sample_of_its_work(layout, make_spec):
    async with station(layout, make_spec(generation="0.0")) as opened:
        opened.serve("A01", input=PictureInput("required"))
        request = DetectionRequest("A01", None, arguments=CallArguments(phase="info"))
        answer = await opened.plane.execute(request)
        assert (answer.data["phase"], answer.data["image_meta"]["width"]) == ("info", 0)
        assert opened.plane.tallies() == {}


async def test_counts_go_on_from_an_earlier_life(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        await opened.call()
        other = ("A02", PackageRef("screw-check", "0.9.0"))
        opened.plane.restore({("A01", KEY.ref): Tally(calls=5, errors=1), other: Tally(calls=2)})
        await opened.call()
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {"calls": 7, "errors": 1}
        opened.plane.forget([other])
        assert other not in opened.plane.tallies()


async def test_a_new_deadline_applies_in_place(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        before = opened.os_pid()
        opened.serve("A01", call_timeout=1.5)
        await until(lambda: opened.process().spec.call_timeout == 1.5)
        assert (await opened.call()).data["os_pid"] == before
        assert "within 1.5 s" in (await opened.failure(do="hang")).message


async def test_stopping_sends_away_who_waits_and_tells_who_is_served_that_the_outcome_is_unknown(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        running = opened.calling(do="sleep", seconds=0.3)
        await asyncio.sleep(0)
        waiting = opened.calling()
        await asyncio.sleep(0)
        await opened.plane.stop()
        errors = await asyncio.gather(waiting, opened.failure(), return_exceptions=True)
        assert [error.code for error in errors] == [Code.not_initialized] * 2
        await opened.runner.close()
        error = (await asyncio.gather(running, return_exceptions=True))[0]
        assert (error.code, "stopped while" in error.message) == (Code.unknown, True)
        await opened.runner.open()
        assert [process.key for process in opened.runner.processes()] == [KEY]


async def test_a_storm_of_kills_switches_and_leaving_callers_loses_no_call(layout, make_spec):
    chance = random.Random(7)  # noqa: S311 - a storm that can be repeated
    async with station(layout, make_spec(), make_spec(key=TWIN), make_spec(key=NEXT)) as opened:
        opened.restarts = {key: make_spec(key=key) for key in (KEY, TWIN, NEXT)}
        calls: list[asyncio.Task] = []

        async def caller(pid: str) -> None:
            for n in range(60):
                call = opened.calling(pid, n=n)
                calls.append(call)
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.random() * 0.002)
                    call.cancel()
                await asyncio.wait([call])

        async def trouble() -> None:
            for turn in range(6):
                await asyncio.sleep(0.05)
                victim = chance.choice(opened.runner.processes())
                with contextlib.suppress(ProcessLookupError):  # the same one as before
                    os.kill(victim.os_pid, signal.SIGKILL)
                for pid in ("A01", "A02"):
                    opened.switch(pid, (NEXT, KEY)[turn % 2].ref)

        await asyncio.gather(trouble(), *(caller(pid) for pid in ("A01", "A02") * 4))
        ends = [call.exception() for call in calls if not call.cancelled()]
        assert {error.code for error in ends if isinstance(error, CallError)} <= {Code.heartbeat_lost}
        assert all(error is None or isinstance(error, CallError) for error in ends)
        assert sum(error is not None for error in ends) <= len(opened.ended)
        await until(lambda: all(not dispatcher._accepted for dispatcher in opened.plane._dispatchers.values()))
        assert all(
            not queue.waiters
            for dispatcher in opened.plane._dispatchers.values()
            for queue in dispatcher._queues.values()
        )


async def test_a_result_status_that_is_no_text_is_answered_and_is_no_verdict(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        Feedback(VerdictJournal(layout), opened.plane)
        for strange in (["NG"], {"is": "NG"}, None, 7):
            answer = await opened.call(do="deep", text=json.dumps({"result_status": strange}))
            assert (answer.status, answer.data) == ("OK", {"result_status": strange})
        assert counts(opened.plane.tallies()["A01", KEY.ref]) == {"calls": 4}
