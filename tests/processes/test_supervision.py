"""Supervision, and that whatever one process does costs its neighbours nothing (faults 18–28)."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest
import uvloop

from controller.errors import CallError, Code, StartFailed
from controller.host.identity import identify
from controller.processes import supervision
from controller.processes.usage import consumption_of, descendants
from tests.calls.stations import NEIGHBOUR, NEXT, neighbour_undisturbed, station
from tests.processes.conftest import KEY, running
from tests.waiting import eventually, until

pytestmark = pytest.mark.real


@pytest.fixture
def neighbour(make_spec):
    return make_spec(key=NEIGHBOUR)


@pytest.mark.parametrize(
    ("given", "code", "why"),
    [
        ({"do": "crash"}, Code.heartbeat_lost, "exit status 3"),
        ({"do": "orphan_and_exit"}, Code.heartbeat_lost, "exit status 5"),
        ({"do": "half"}, Code.heartbeat_lost, "in the middle of a message"),
        ({"do": "junk"}, Code.stdout_contaminated, "Traceback (most recent call last)"),
        ({"do": "huge"}, Code.stdout_contaminated, "50,000,000 bytes"),
        ({"do": "hang"}, Code.timeout, "did not answer within 0.6 s"),
        ({"do": "read_stdin"}, Code.timeout, "did not answer within 0.6 s"),
    ],
)
async def test_what_ends_a_process_is_told_once_and_costs_its_neighbour_nothing(
    layout, make_spec, neighbour, given, code, why
):
    patience = 0.6 if code is Code.timeout else 20
    async with station(layout, make_spec(call_timeout=patience), neighbour) as opened:
        opened.serve("A01", call_timeout=patience)
        opened.restarts[KEY] = make_spec(call_timeout=patience)
        async with neighbour_undisturbed(opened):
            waiting = asyncio.create_task(opened.failure(**given))
            await asyncio.sleep(0)
            follower = opened.calling(n=1)
            assert (await waiting).code is code
            assert (await follower).data["given"]["n"] == 1, "who waited is answered by its successor"
        assert [(key, why in reason) for key, reason in opened.ended] == [(KEY, True)], opened.ended
        await until(lambda: len(running(layout)) == 4)


async def test_the_reason_ends_with_the_algorithms_own_last_words(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        await opened.call(do="stderr", bytes=10)
        await opened.failure(do="crash")
        await until(lambda: opened.ended)
        assert opened.ended[0][1].splitlines() == ["the process ended (exit status 3)", "    " + "e" * 10]


async def test_a_flood_of_stderr_delays_nobody(layout, make_spec, neighbour):
    async with station(layout, make_spec(), neighbour) as opened, neighbour_undisturbed(opened):
        answers = await asyncio.gather(*(opened.call(do="stderr", bytes=3_000_000) for _ in range(4)))
        assert [answer.status for answer in answers] == ["OK"] * 4
        logs = Path(make_spec().log_path).parent.iterdir()
        assert sum(path.stat().st_size for path in logs) < 20_000_000


async def test_one_that_ignores_sigterm_and_has_children_is_retired_beside_its_neighbour(layout, make_spec, neighbour):
    async with station(layout, make_spec("stubborn", stop_grace=0.2), neighbour) as opened:
        data = (await opened.call(do="grandchild")).data
        async with neighbour_undisturbed(opened):
            await opened.runner.stop(KEY, drain=1)
        assert [identify(data[child]) for child in ("os_pid", "child", "escaped")] == [None, None, None]
        assert opened.ended == []


async def test_a_slow_or_failing_start_delays_nobody(layout, make_spec, neighbour):
    async with station(layout, neighbour) as opened, neighbour_undisturbed(opened):
        with pytest.raises(StartFailed, match="answered no ping"):
            await opened.runner.start(make_spec("no_pong", start_timeout=1.0))
        slow = asyncio.create_task(opened.runner.start(make_spec("slow")))
        assert (await opened.call()).status == "OK", "a call waits for the process that starts"
        await slow


async def test_too_much_memory_of_a_child_ends_the_whole_group(layout, make_spec, neighbour):
    limit = 100 * 2**20
    async with station(layout, make_spec(), neighbour) as opened:
        opened.limit(memory_max=limit)
        async with neighbour_undisturbed(opened):
            await opened.call(do="hog", bytes=2 * limit)
            await until(lambda: opened.ended)
        assert "of memory, more than the 100MiB that it may" in opened.ended[0][1]
        tally = opened.plane.tallies()["A01", KEY.ref]
        assert (tally.crashes, tally.memory_excesses, tally.heartbeat_losses) == (0, 1, 0)
        assert (await opened.runner.observe())[KEY].rss_bytes > limit, "it stays to be seen"
        eventually(lambda: len(running(layout)) == 2)


async def test_processor_time_of_children_counts(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        await opened.call(do="burn")
        process = opened.process()
        await until(lambda: process.usage and (process.usage.cpu_percent or 0) > 20)
        seen = (await opened.runner.observe())[KEY]
        assert seen.rss_bytes > 1_000_000
        assert seen.cpu_percent > 20


async def test_usage_is_measured_by_the_supervisor_and_by_nobody_else(layout, make_spec, monkeypatch):
    measured = []
    monkeypatch.setattr(supervision, "consumption_of", lambda shim: (measured.append(shim), consumption_of(shim))[1])
    async with station(layout, make_spec()) as opened:
        await until(lambda: measured)
        seen = [(await opened.runner.observe())[KEY].rss_bytes for _ in range(100)]
        assert set(measured) == {opened.process().record.shim.os_pid}
        assert len(measured) <= 2, "a hundred looks measure nothing; a second's sample may have come meanwhile"
        assert min(seen) > 1_000_000


async def test_a_silent_idle_process_is_ended_and_its_callers_wait_for_the_next(layout, make_spec, neighbour):
    async with station(layout, make_spec(), neighbour) as opened:
        opened.restarts[KEY] = make_spec()
        before, process = opened.os_pid(), opened.process()
        await opened.call()
        os.kill(before, signal.SIGSTOP)
        opened.limit(heartbeat_interval=0.3, heartbeat_grace=0.7, heartbeat_max_missed=2)
        async with neighbour_undisturbed(opened):
            await until(lambda: process.state == "busy")  # the ping holds its lock
            assert (await opened.call()).data["os_pid"] != before
        assert opened.ended[0][1].startswith(f"heartbeat lost: {KEY} did not answer a ping in time")
        tally = opened.plane.tallies()["A01", KEY.ref]
        assert (tally.crashes, tally.memory_excesses, tally.heartbeat_losses) == (0, 0, 1)


async def test_a_shorter_interval_does_not_wait_for_the_end_of_a_longer_one(layout, make_spec):
    async with station(layout, make_spec(heartbeat_interval_ms=3_600_000)) as opened:
        process = opened.process()
        heard = {process.heard}
        for interval in (0.1, 3600.0, 0.05, 0.05):
            opened.limit(heartbeat_interval=interval)
        await until(lambda: heard.add(process.heard) or len(heard) > 3)
        assert opened.ended == []


async def test_no_heartbeat_is_lost_to_a_running_call_and_none_is_asked_of_who_speaks(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        process = opened.process()
        pings = []
        ping = process.ping
        process.ping = lambda timeout: (pings.append(timeout), ping(timeout))[1]
        calling = opened.calling(do="sleep", seconds=0.5)
        await until(lambda: process.state == "busy")
        opened.limit(heartbeat_interval=0.1, heartbeat_grace=5.0, heartbeat_max_missed=1)
        assert (await calling).status == "OK"
        assert pings == [], "a call was under way all the time"
        await until(lambda: len(pings) >= 3)
        assert process.state in {"ready", "busy"}
        assert opened.ended == []


async def test_a_process_that_never_had_a_call_is_told_too(layout, make_spec):
    async with station(layout, make_spec(), make_spec(key=NEXT)) as opened:
        os.kill(opened.os_pid(NEXT), signal.SIGKILL)
        await until(lambda: opened.ended)
        assert opened.ended[0][0] == NEXT
        assert opened.plane.tallies()["A01", NEXT.ref].crashes == 1
        assert (await opened.call()).version == "1.0.0"
        await opened.runner.start(make_spec(key=NEXT))
        os.kill(opened.os_pid(NEXT), signal.SIGKILL)
        await until(lambda: len(opened.ended) == 2)
        assert opened.plane.tallies()["A01", NEXT.ref].crashes == 2


async def test_what_is_stopped_on_purpose_is_not_told(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        await opened.runner.start(make_spec())
        await opened.runner.stop(KEY, drain=1)
        opened.plane.configure(opened.services)
        assert opened.ended == []
        assert (opened.supervisor._watches, opened.plane.tallies()) == ({}, {})


async def test_the_kernels_lists_show_every_descendant(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        data = (await opened.call(do="grandchild")).data
        shim = opened.process().record.shim.os_pid
        assert set(descendants(shim)) == {data["os_pid"], data["child"], data["escaped"]}
        assert consumption_of(shim).rss_bytes > 5_000_000
        assert consumption_of(2**22 + 1).rss_bytes == 0


async def test_an_error_of_one_caller_is_not_anothers(layout, make_spec):
    """Two calls wait for a process that breaks in the call before them: each is answered on its own."""
    async with station(layout, make_spec()) as opened:
        opened.restarts[KEY] = make_spec()
        first = opened.calling(do="crash")
        await asyncio.sleep(0)
        others = [opened.calling(n=n, timeout=15) for n in range(3)]
        error = (await asyncio.gather(first, return_exceptions=True))[0]
        assert isinstance(error, CallError)
        assert [answer.data["given"]["n"] for answer in await asyncio.gather(*others)] == [0, 1, 2]
        assert dataclasses.asdict(opened.plane.tallies()["A01", KEY.ref])["calls"] == 4


def test_a_controller_that_was_held_up_blames_nobody(layout, make_spec):
    """An answer that lies there already is in time, however late it is read: the loop reads before it runs timers."""

    async def scenario() -> None:
        async with station(layout, make_spec(call_timeout=0.2)) as opened:
            process = opened.process()
            ping = asyncio.create_task(process.ping(0.1))
            await asyncio.sleep(0)
            time.sleep(1.0)
            await ping
            call = opened.calling()
            await asyncio.sleep(0)
            time.sleep(1.0)
            assert (await call).status == "OK"
            assert opened.ended == []

    uvloop.run(scenario())
