"""One process: how it starts or fails to, what misbehaviour does to a call, and that it ends whole (faults 18–30)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvloop

from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code, HostError, StartFailed
from controller.host.identity import identify
from controller.http.resource import json_response
from controller.images.formats import ImageRef
from controller.model.health import Timeouts
from controller.processes import records
from controller.processes.shim import written
from controller.processes.supervision import UsageMeter
from tests.processes.conftest import KEY, call, process_of, runner_of, running, until_busy
from tests.waiting import eventually, until

pytestmark = pytest.mark.real

PART = np.full((4, 5, 3), 7, np.uint8)


def ask(do: str = "", *, timeout: float | None = None, **given) -> DetectionRequest:
    return DetectionRequest("A01", PART, arguments=CallArguments(guide_info=[{"do": do, **given}], timeout=timeout))


@contextlib.asynccontextmanager
async def opened(layout, *specs):
    runner = runner_of(layout)
    await runner.open()
    try:
        for spec in specs:
            await runner.start(spec)
        yield runner
    finally:
        for key in list(await runner.observe()):
            await runner.stop(key, drain=0)
        await runner.close()


async def failure(runner, request) -> CallError:
    with pytest.raises(CallError) as caught:
        await call(runner, request)
    return caught.value


def gone(os_pid: int) -> bool:
    return identify(os_pid) is None


async def exited(runner, key=KEY):
    """Return the observation of a process once it has ended."""
    for _ in range(1000):
        seen = (await runner.observe())[key]
        if seen.state == "exited":
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError(f"{seen} has not ended")


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("no_hello", "never said hello"),
        ("no_pong", "answered no ping"),
        ("exit_before_hello", "licence file missing"),
        ("exit_after_hello", "sys.exit at import"),
        ("error_after_hello", "No module named 'cv2'"),
        ("junk", "Loading model... done"),
        ("absurd_length", "stdout was contaminated"),
        ("flood_stdout", "stdout was contaminated"),
        ("half_hello", "in the middle of a message"),
    ],
)
async def test_a_process_that_does_not_become_ready_is_refused_with_its_own_words(layout, make_spec, start, why):
    patient = start not in {"no_hello", "no_pong"}
    async with opened(layout) as runner:
        with pytest.raises(StartFailed) as caught:
            await runner.start(make_spec(start, start_timeout=20 if patient else 0.7))
        assert why in str(caught.value)
        if not patient:
            assert "not ready within its timeouts.start of 700ms" in caught.value.message
            assert caught.value.next_step.startswith("raise spec.timeouts.start if it takes longer to load; see ")
        assert await runner.observe() == {}
        assert running(layout) == []


async def test_an_interpreter_that_is_not_there(layout, make_spec):
    async with opened(layout) as runner:
        with pytest.raises(HostError, match=r"No such file or directory: /nowhere/python") as caught:
            await runner.start(make_spec(python="/nowhere/python"))
        assert caught.value.condition == "FileMissing"


async def test_a_cancelled_start_leaves_nothing(layout, make_spec):
    async with opened(layout) as runner:
        starting = asyncio.create_task(runner.start(make_spec("no_pong")))
        await asyncio.to_thread(eventually, lambda: len(running(layout)) >= 2)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert running(layout) == []


@pytest.mark.parametrize("start", ["", "flood_stderr", "slow"])
async def test_it_starts_answers_and_ends(layout, make_spec, start):
    async with opened(layout, make_spec(start)) as runner:
        seen = (await runner.observe())[KEY]
        assert (seen.state, seen.sdk_version) == ("ready", "0.3.2")
        assert seen.rss_bytes is None, "nobody has measured it"
        answer = await call(runner, ask())
        assert (answer.status, answer.data["os_pid"]) == ("OK", seen.os_pid)
        assert answer.to_document().keys() >= {"request_id", "pid", "name", "version", "latency_ms"}


async def test_without_a_supervisor_usage_is_measured_when_it_is_asked_for(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        meter = UsageMeter(runner)
        first = (await meter.observe())[KEY]
        await call(runner, ask("burn"))
        await asyncio.sleep(0.2)
        again = (await meter.observe())[KEY]
        assert first.rss_bytes > 1_000_000
        assert (first.cpu_percent, again.cpu_percent > 0) == (None, True)
        assert (await runner.observe())[KEY] == again, "the pool says what was measured last, and measures nothing"
        os.kill(again.os_pid, signal.SIGKILL)
        await exited(runner)
        assert (await meter.observe())[KEY].rss_bytes == again.rss_bytes


async def test_the_adapter_gets_its_environment_and_its_folder(layout, make_spec, monkeypatch):
    monkeypatch.setenv("PYTHONHOME_NOT", "x")
    monkeypatch.setenv("PROC_STRICT_STDIO", "1")
    spec = make_spec()
    async with opened(layout, spec) as runner:
        seen = (await call(runner, ask("environment"))).data["environment"]
        assert seen["PROC_ENV"] == "prod"
        assert seen["PROC_ALGO_ROOT"] == spec.working_directory
        assert seen["PROC_SHM_DIR"] == str(layout.images)
        assert seen["PYTHONPATH"] == spec.python_path[0]
        assert "PROC_STRICT_STDIO" not in seen
        assert "PYTHONHOME_NOT" not in seen


async def test_ps_shows_what_a_shim_holds(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        adapter = psutil.Process((await runner.observe())[KEY].os_pid)
        assert str(KEY) in adapter.parent().cmdline()
        assert adapter.parent().ppid() != os.getpid()


async def test_the_image_is_where_the_call_says(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        answer = await call(runner, ask("image"))
        assert bytes(answer.data["npy"])[-60:] == b"\x07" * 60
        assert answer.data["cur_image_shm_id"] == answer.data["guide_image_shm_id"]
        np.save(layout.images / "cam-1.npy", PART)
        both = DetectionRequest("A01", ImageRef("cam-1"), guide_image=PART[:2])
        answer = await call(runner, both)
        (layout.images / "cam-1.npy").unlink()
        assert answer.data["cur_image_shm_id"] == "cam-1"
        assert answer.data["guide_image_meta"]["height"] == 2


async def test_a_legacy_detection_is_pre_and_then_execute(layout, make_spec):
    async with opened(layout, make_spec(generation="0.0")) as runner:
        given = CallArguments(params={"x": 1}, session={"id": "s", "context": {"lot": 7}})
        request = DetectionRequest("A01", PART, arguments=given)
        data = (await call(runner, request)).data
        assert (data["phase"], data["pid"], data["user_params"]) == ("execute", "A01", {"x": 1})
        assert data["session"] == {"id": "s", "context": {"lot": 7}}
        pre = DetectionRequest("A01", PART, arguments=dataclasses.replace(given, phase="pre"))
        assert (await call(runner, pre)).data["phase"] == "pre"
        wrong = dataclasses.replace(given, params={"status": "ERROR", "message": "lamp off"})
        answer = await call(runner, DetectionRequest("A01", PART, arguments=wrong))
        assert (answer.status, answer.message, answer.data["phase"]) == ("ERROR", "lamp off", "pre")


@pytest.mark.parametrize("change", [{"phase": "pre"}, {"guide_info": [object()]}])
async def test_arguments_that_this_algorithm_cannot_be_told_never_reach_it(layout, make_spec, change):
    async with opened(layout, make_spec()) as runner:
        error = await failure(runner, DetectionRequest("A01", PART, arguments=CallArguments(**change)))
        assert error.code is Code.invalid_params
        assert (await call(runner, ask())).status == "OK"


async def test_a_bad_image_is_refused_and_the_process_goes_on(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        error = await failure(runner, DetectionRequest("A01", b"\x89PNG garbage"))
        assert error.code is Code.image_load_failed
        error = await failure(runner, DetectionRequest("A01", ImageRef("nobody")))
        assert error.code is Code.shared_memory_not_found
        assert (await runner.observe())[KEY].state == "ready"


async def test_an_answer_about_an_image_that_was_taken_away_meanwhile_is_dropped(layout, make_spec, tmp_path):
    """The adapter may have opened nothing, and then the algorithm saw black: no caller is to hear what it said."""
    async with opened(layout, make_spec()) as runner:
        assert (await call(runner, ask())).status == "OK"
        calling = asyncio.create_task(call(runner, ask("wait", path=str(tmp_path / "go"))))
        await until_busy(runner)
        for path in layout.images.iterdir():  # what systemd does when the station's user logs out
            path.unlink()
        (tmp_path / "go").touch()
        with pytest.raises(CallError, match="its answer is dropped") as caught:
            await calling
        assert caught.value.code is Code.shared_memory_not_found
        assert (await call(runner, ask())).status == "OK"
        assert (await runner.observe())[KEY].state == "ready"


@pytest.mark.parametrize(
    ("given", "code", "why"),
    [
        ({"do": "crash"}, Code.heartbeat_lost, "exit status 3"),
        ({"do": "kill"}, Code.heartbeat_lost, "killed by signal 9"),
        ({"do": "half"}, Code.heartbeat_lost, "in the middle of a message"),
        ({"do": "orphan_and_exit"}, Code.heartbeat_lost, "exit status 5"),
        ({"do": "junk"}, Code.stdout_contaminated, "Traceback"),
        ({"do": "huge"}, Code.stdout_contaminated, "50,000,000"),
        ({"do": "hang"}, Code.timeout, "did not answer within 0.6 s"),
    ],
)
async def test_a_call_that_ends_the_process_fails_and_leaves_nothing(layout, make_spec, given, code, why):
    spec = make_spec(call_timeout=0.6 if given["do"] == "hang" else 20)
    neighbour = dataclasses.replace(KEY, deployment="other")
    async with opened(layout, spec, make_spec(key=neighbour)) as runner:
        error = await failure(runner, ask(**given))
        assert (error.code, why in error.message) == (code, True), error.message
        seen = await exited(runner)
        assert why in seen.detail
        assert (await call(runner, ask(), neighbour)).status == "OK"
        eventually(lambda: len(running(layout)) == 2)  # the neighbour and its shim
        assert (await failure(runner, ask())).message.startswith(f"{KEY} is of no use: ")


@pytest.mark.parametrize(
    ("given", "code"),
    [("1009", Code.execute_exception), ("1000", Code.unknown), ("1010", Code.stdout_contaminated),
     ("1004", Code.not_initialized), ("2005", Code.unknown), ("nonsense", Code.unknown)],
)  # fmt: skip
async def test_error_frames_keep_their_code_and_message(layout, make_spec, given, code):
    async with opened(layout, make_spec()) as runner:
        error = await failure(runner, ask("error", code=given, message="no focus"))
        assert (error.code, error.message) == (code, "no focus")
        assert (await runner.observe())[KEY].state == "ready"


@pytest.mark.parametrize("code", ["1001", "1002", "1003", "1005", "1006", "1007", "1011", "1012"])
async def test_no_code_of_an_algorithm_blames_anybody_else(layout, make_spec, code):
    async with opened(layout, make_spec()) as runner:
        error = await failure(runner, ask("error", code=code, message="your picture is bad"))
        assert (error.code, error.message) == (Code.execute_exception, "your picture is bad")
        assert error.details == {"algorithm_code": code}


@pytest.mark.parametrize(
    "text", ['{"a": ' + "[" * 300 + "]" * 300 + "}", '{"a": ' + "[" * 253 + "]" * 253 + "}", '{"a": "\\ud800"}']
)
async def test_a_result_that_cannot_be_handed_on_is_the_algorithms_failure(layout, make_spec, text):
    async with opened(layout, make_spec()) as runner:
        error = await failure(runner, ask("deep", text=text))
        assert (error.code, "cannot be passed on" in error.message) == (Code.execute_exception, True)
        assert (await runner.observe())[KEY].state == "ready"
        shallow = await call(runner, ask("deep", text='{"a": ' + "[" * 200 + "]" * 200 + "}"))
        assert json.loads(json_response(shallow.to_document()).body)["status"] == "OK"


async def test_results_of_every_kind_pass_through(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        assert (await call(runner, ask("nan"))).data["score"] is None
        answer = await call(runner, ask(status="ERROR", message="lamp off"))
        assert (answer.status, answer.message) == ("ERROR", "lamp off")
        answer = await call(runner, ask(status="MAYBE"))
        assert (answer.status, "MAYBE" in answer.message) == ("ERROR", True)
        assert "wrong" not in (await call(runner, ask("wrong_id"))).data
        assert len((await call(runner, ask("large", bytes=5_000_000))).data["filler"]) == 5_000_000


async def test_large_arguments_do_not_block_the_loop(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        busy = asyncio.create_task(call(runner, ask("sleep", seconds=0.3)))
        filler = "q" * 3_000_000
        assert (await call(runner, ask(filler=filler))).data["given"]["filler"] == filler
        assert (await busy).status == "OK"
        ticking.cancel()
        assert ticks > 100


async def test_a_caller_that_waits_less_long_harms_nobody(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        before = (await runner.observe())[KEY].os_pid
        impatient = await failure(runner, ask("sleep", seconds=0.4, timeout=0.1))
        assert (impatient.code, impatient.details) == (Code.timeout, {"caller_timeout": True})
        answer = await call(runner, ask(n=1))
        assert (answer.data["os_pid"], answer.data["given"]["n"]) == (before, 1)


async def test_a_cancelled_caller_frees_its_place_when_the_answer_is_there(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        leaver = asyncio.create_task(call(runner, ask("sleep", seconds=1.5)))
        await until_busy(runner)
        leaver.cancel()
        following = [asyncio.create_task(call(runner, ask(n=n))) for n in (1, 2)]
        await asyncio.sleep(0)
        assert (await runner.observe())[KEY].state == "busy"
        assert [(await each).data["given"]["n"] for each in following] == [1, 2]
        assert (await runner.observe())[KEY].state == "ready"


async def test_smoke_fails_for_a_crash_and_not_for_a_verdict(layout, make_spec, tmp_path):
    async with opened(layout) as runner:
        assert (await runner.start(make_spec(smoke=True))).state == "ready"
        with pytest.raises(StartFailed, match="No such file"):
            await runner.start(make_spec(smoke=True, smoke_image=str(tmp_path / "golden.png")))
        assert (await runner.observe())[KEY].state == "ready", "the former goes on"


async def test_stop_lets_the_call_finish(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        running_call = asyncio.create_task(call(runner, ask("sleep", seconds=0.4)))
        await until_busy(runner)
        await runner.stop(KEY, drain=10)
        assert (await running_call).status == "OK"
        assert await runner.observe() == {}


async def test_stop_does_not_wait_for_ever(layout, make_spec):
    async with opened(layout, make_spec(stop_grace=0.1)) as runner:
        hanging = asyncio.create_task(failure(runner, ask("hang")))
        await until_busy(runner)
        await runner.stop(KEY, drain=0.1)
        assert (await hanging).code is Code.heartbeat_lost
        assert running(layout) == []


async def test_who_ignores_shutdown_and_sigterm_is_killed_with_its_children(layout, make_spec):
    async with opened(layout, make_spec("stubborn", stop_grace=0.2)) as runner:
        data = (await call(runner, ask("grandchild"))).data
        await runner.stop(KEY, drain=1)
        eventually(lambda: gone(data["child"]) and gone(data["escaped"]))
        assert running(layout) == []


async def test_a_clean_exit_takes_the_children_along(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        data = (await call(runner, ask("grandchild"))).data
        assert len(running(layout)) == 4
        await runner.stop(KEY, drain=1)
        eventually(lambda: gone(data["child"]) and gone(data["escaped"]))


async def test_a_stderr_flood_is_drained_into_a_log_of_bounded_size(layout, make_spec):
    spec = make_spec()
    async with opened(layout, spec) as runner:
        for _ in range(3):
            assert (await call(runner, ask("stderr", bytes=8_000_000))).status == "OK"
        logs = list(Path(spec.log_path).parent.iterdir())
        assert len(logs) == written.LOG_KEPT + 1
        assert sum(log.stat().st_size for log in logs) <= (written.LOG_KEPT + 1) * (written.LOG_BYTES + 65536)


async def test_a_killed_shim_takes_its_adapter_along(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        data = (await call(runner, ask("grandchild"))).data
        seen = (await runner.observe())[KEY]
        psutil.Process(seen.os_pid).parent().kill()
        assert "killed with its shim" in (await exited(runner)).detail
        assert gone(seen.os_pid)
        again = await runner.start(make_spec())
        assert (again.restarts, again.os_pid != seen.os_pid) == (1, True)
        assert gone(data["child"]), "what the dead adapter left is found by its token"
        data = (await call(runner, ask("grandchild"))).data
        psutil.Process(again.os_pid).parent().kill()
        await exited(runner)
        assert not gone(data["child"])
        await runner.close()
        await runner.open()
        assert running(layout) == [], "the sweep finds it too"


async def test_a_stopped_process_does_not_answer_a_ping_and_is_ended(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        process = process_of(runner)
        await process.ping(5)
        os.kill(process.os_pid, signal.SIGSTOP)
        with pytest.raises(CallError) as caught:
            await process.ping(0.2)
        assert caught.value.code is Code.heartbeat_lost
        await exited(runner)


def test_it_all_works_on_uvloop(layout, make_spec):
    async def scenario():
        async with opened(layout, make_spec(call_timeout=2)) as runner:
            answers = await asyncio.gather(*(call(runner, ask(n=n)) for n in range(2)))
            assert [answer.data["given"]["n"] for answer in answers] == [0, 1]
            filler = "q" * 300_000
            assert (await call(runner, ask(filler=filler))).data["given"]["filler"] == filler
            await runner.close()
            await runner.open()
            assert (await failure(runner, ask("hang"))).code is Code.timeout
            await exited(runner)
            with pytest.raises(StartFailed, match="cv2"):
                await runner.start(make_spec("error_after_hello"))
            assert (await runner.start(make_spec())).state == "ready"
            assert (await failure(runner, ask("crash"))).code is Code.heartbeat_lost

    uvloop.run(scenario())


async def test_who_is_replaced_has_the_drain_time_of_its_deployment(layout, make_spec):
    async with opened(layout, make_spec(stop_grace=0.1)) as runner:
        runner.configure({KEY.deployment: Timeouts(drain="100ms", call="60s")})
        hanging = asyncio.create_task(failure(runner, ask("hang")))
        await asyncio.to_thread(eventually, lambda: process_of(runner).state == "busy")
        async with asyncio.timeout(50):  # less than a call may take
            await runner.start(make_spec())
        assert (await hanging).code is Code.heartbeat_lost


async def test_new_timeouts_are_on_record_when_the_pool_is_closed(layout, make_spec):
    """As for `reconcile --once`, which has nothing else to do: the next command goes by the record."""
    async with opened(layout, make_spec()) as runner:
        runner.configure({KEY.deployment: Timeouts(call="300ms", start="7s")})
        await runner.close()
        (record,) = records.scan(layout.run)
        assert (record.spec.call_timeout, record.spec.start_timeout) == (0.3, 7)
        await runner.open()


async def test_new_timeouts_apply_in_place(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        before = (await runner.observe())[KEY].os_pid
        runner.configure({KEY.deployment: Timeouts(call="300ms", start="7s")})
        await until(lambda: process_of(runner).spec.call_timeout == 0.3, "the new timeout")
        (record,) = records.scan(layout.run)
        assert (record.spec.call_timeout, record.spec.start_timeout, record.adapter.os_pid) == (0.3, 7, before)
        assert (await failure(runner, ask("hang"))).code is Code.timeout
