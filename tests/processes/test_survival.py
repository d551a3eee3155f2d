"""Processes outlive their controllers: adoption, what is swept and what is never touched (faults 29–33)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from controller.calls.offline import execute_once
from controller.calls.request import DetectionRequest
from controller.errors import CallError, Code
from controller.host import clock
from controller.host.identity import identify, is_same, send_signal
from controller.processes import record_files, records
from controller.processes.attach import ShimBusy, Shims
from controller.processes.census import end_all, list_processes
from controller.store.layout import StoreLayout
from tests.processes.conftest import KEY, Listener, call, process_of, runner_of, running, until_busy
from tests.processes.test_process import PART, ask, failure, opened
from tests.waiting import eventually, until

pytestmark = pytest.mark.real

CONTROLLER = """
import asyncio, json, sys
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.calls.detection import detect, smoke
from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.store.layout import StoreLayout

async def main(store, spec, call):
    runner = ProcessPool(StoreLayout.at(store), smoke=smoke, now=lambda: "2026-01-02T03:04:05Z")
    await runner.open()
    process = await runner.start(ProcessSpec.from_document(json.loads(spec)))
    part = memoryview(bytes(60)).cast("B", (4, 5, 3))
    request = DetectionRequest("A01", part, arguments=CallArguments(guide_info=[json.loads(call)]))
    calling = asyncio.create_task(detect(runner.processes()[0], request))
    while runner.processes()[0].state != "busy" and not calling.done():
        await asyncio.sleep(0.01)
    print(process.os_pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


def controller_killed_during(layout: StoreLayout, spec, given: dict) -> int:
    """Start a process with a controller of its own, kill that with a call under way, and return the process."""
    arguments = [sys.executable, "-c", CONTROLLER, str(layout.root), json.dumps(spec.to_document()), json.dumps(given)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as controller:
        os_pid = int(controller.stdout.readline())
        controller.kill()
    return os_pid


@pytest.mark.parametrize(
    "given",
    [
        {"do": ""},
        {"do": "sleep", "seconds": 0.6},
        {"do": "large", "bytes": 3_000_000},
        {"do": "sleep", "seconds": 0.6, "filler": "q" * 20_000},
    ],
)
async def test_the_next_controller_adopts_what_a_killed_one_left(layout, make_spec, given):
    os_pid = controller_killed_during(layout, make_spec(), given)
    assert [process.os_pid for process in list_processes(layout)] == [os_pid]
    async with opened(layout) as runner:
        seen = (await runner.observe())[KEY]
        assert (seen.os_pid, seen.state, seen.sdk_version) == (os_pid, "ready", "0.3.2")
        answer = await call(runner, ask(n=2))
        assert (answer.data["os_pid"], answer.data["given"]["n"]) == (os_pid, 2)


async def test_half_a_frame_that_a_killed_controller_left_in_the_pipe_costs_the_process(layout, make_spec):
    async with opened(layout, make_spec(call_timeout=0.3, grace_ms=100)) as runner:
        process = process_of(runner)
        process._conversation._pipes.write((1000).to_bytes(4, "big") + b'{"type": "call"')
        await runner.close()
        await runner.open()
        assert await runner.observe() == {}
        assert running(layout) == []


async def test_a_process_that_was_never_proven_is_not_adopted(layout, make_spec):
    async with opened(layout) as runner:
        starting = asyncio.create_task(runner.start(make_spec("no_pong", start_timeout=60)))
        await asyncio.to_thread(eventually, lambda: [p.state for p in list_processes(layout)] == ["starting"])
        second = runner_of(layout)
        await second.open()
        assert await second.observe() == {}
        with pytest.raises(Exception, match="did not become ready"):
            await starting
        assert running(layout) == []


async def test_pipes_are_lent_to_one_connection_at_a_time(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        token = process_of(runner).record.token
        shims = Shims(layout.run)
        with pytest.raises(ShimBusy):
            await shims.attach(token)
        link = shims.connect(token)
        document, _ = await link.request("info")
        assert (document["protocol"], document["borrowed"]) == (1, True)
        link.close()
        await runner.close()
        attachment = await shims.attach(token)
        assert attachment.record.spec.key == KEY
        for descriptor in (attachment.stdin, attachment.stdout, attachment.pidfd):
            os.close(descriptor)
        attachment.link.close()
        await runner.open()


async def test_a_shim_answers_nonsense_with_an_error_and_goes_on(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        path = layout.run / f"{process_of(runner).record.token}.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            os.chdir(layout.run)
            peer.connect(path.name)
            for nonsense in (b"{", b"dance", b"mark {}", b"terminate soon", b"\xff"):
                peer.send(nonsense)
                assert peer.recv(4096).startswith(b"error ")
        os.chdir("/")
        assert (await call(runner, ask())).status == "OK"
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_store_whose_path_is_longer_than_a_sockets_name_may_be(tmp_path, layout, make_spec):
    deep = StoreLayout.at(tmp_path / ("d" * 80) / ("e" * 80) / "store")
    spec = make_spec(log_path=str(deep.process_log("a", "1", 0)))
    async with opened(deep, spec) as runner:
        os_pid = (await runner.observe())[KEY].os_pid
        await runner.close()
        await runner.open()
        assert (await call(runner, ask())).data["os_pid"] == os_pid
    assert end_all(deep) == ()
    assert running(deep) == []


async def test_a_detection_without_a_controller(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        os_pid = (await runner.observe())[KEY].os_pid
        with pytest.raises(CallError) as caught:
            await execute_once(layout, lambda: (ask(), KEY.ref), patience=0.1)
        assert caught.value.code is Code.busy
        await runner.close()
        calls = (execute_once(layout, lambda n=n: (ask(n=n), KEY.ref)) for n in range(3))
        answers = await asyncio.gather(*calls)
        assert [answer.data["given"]["n"] for answer in answers] == [0, 1, 2]
        assert {answer.data["os_pid"] for answer in answers} == {os_pid}
        with pytest.raises(CallError) as caught:
            await execute_once(layout, lambda: (ask("crash"), KEY.ref))
        assert caught.value.code is Code.heartbeat_lost
        with pytest.raises(CallError, match="pvctl reconcile --once") as caught:
            await execute_once(layout, lambda: (ask(), KEY.ref))
        assert caught.value.code is Code.not_initialized
        await runner.open()
        assert await runner.observe() == {}


@pytest.mark.parametrize("start", ["", "stubborn"])
async def test_end_all_needs_no_controller_and_leaves_nothing(layout, make_spec, start):
    runner = runner_of(layout)
    await runner.open()
    others = dataclasses.replace(KEY, replica=1)
    await runner.start(make_spec(start))
    await runner.start(make_spec(key=others))
    data = (await call(runner, ask("grandchild"))).data
    await runner.close()
    (layout.run / "status.json").write_text("{}")
    ended = end_all(layout)
    assert sorted(process.key for process in ended) == [KEY, others]
    assert running(layout) == []
    assert [path.name for path in layout.run.iterdir()] == ["status.json"]
    assert identify(data["child"]) is None
    assert identify(data["escaped"]) is None
    assert end_all(layout) == ()


def test_end_all_on_a_store_that_never_ran(tmp_path):
    assert end_all(StoreLayout.at(tmp_path / "nowhere")) == ()
    assert list_processes(StoreLayout.at(tmp_path / "nowhere")) == ()


async def test_graceful_end_without_a_controller_lets_the_adapter_say_goodbye(layout, make_spec):
    spec = make_spec()
    runner = runner_of(layout)
    await runner.open()
    await runner.start(spec)
    await runner.close()
    end_all(layout)
    assert "ended: exit 0" in Path(spec.log_path).read_text()


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"token": 1}', b"\xff"])
async def test_torn_records_are_swept(layout, make_spec, garbage):
    name = records.new_token(layout.run)
    (layout.run / f"{name}.json").write_bytes(garbage)
    (layout.run / f"{name}.sock").touch()
    assert list_processes(layout) == ()
    async with opened(layout) as runner:
        assert await runner.observe() == {}
        assert list(record_files.files(layout.run)) == []


async def test_a_copied_store_claims_nobodys_processes(layout, make_spec, tmp_path):
    async with opened(layout, make_spec()) as runner:
        copy = StoreLayout.at(tmp_path / "copy")
        copy.run.mkdir(parents=True)
        for path, _ in record_files.files(layout.run):
            if path.suffix == ".json":
                shutil.copy(path, copy.run)
        assert list_processes(copy) == ()
        async with opened(copy) as other:
            assert await other.observe() == {}
        assert list(record_files.files(copy.run)) == []
        assert end_all(copy) == ()
        assert (await call(runner, ask())).status == "OK"


async def test_a_stranger_under_a_recorded_number_is_untouched(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        token = process_of(runner).record.token
        content = (layout.run / f"{token}.json").read_text()
    with subprocess.Popen(["sleep", "612"]) as stranger:
        document = json.loads(content)
        document["exit"] = None
        document["adapter"]["os_pid"] = document["holder"]["os_pid"] = stranger.pid
        (layout.run / f"{token}.json").write_text(json.dumps(document))
        assert [process.state for process in list_processes(layout)] == ["exited"]
        assert end_all(layout) == ()
        assert stranger.poll() is None
        stranger.terminate()


async def test_after_a_reboot_nothing_matches(layout, make_spec, monkeypatch, tmp_path):
    async with opened(layout, make_spec()):
        me = identify(os.getpid())
        (tmp_path / "boot_id").write_text("another-boot\n")
        monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
        assert not is_same(me)
        assert not send_signal(me, signal.SIGKILL)
        assert [process.state for process in list_processes(layout)] == ["exited"]
        monkeypatch.undo()


async def test_descriptors_do_not_accumulate(layout, make_spec):
    me = psutil.Process()
    async with opened(layout) as runner:
        await runner.start(make_spec())
        before = me.num_fds()
        for _ in range(3):
            await runner.start(make_spec())
            await call(runner, ask())
            with pytest.raises(Exception, match="cv2"):
                await runner.start(make_spec("error_after_hello"))
        assert (await call(runner, DetectionRequest("A01", PART))).status == "OK"
        assert me.num_fds() <= before + 1, "the image file of the last process"
        assert (await failure(runner, ask("crash"))).code is Code.heartbeat_lost


async def test_every_observer_is_told_of_what_becomes_of_a_process(layout, make_spec):
    async with opened(layout, make_spec()) as runner:
        first, second, gone = Listener(runner), Listener(runner), Listener(runner)
        runner.unsubscribe(gone)
        os.kill((await runner.observe())[KEY].os_pid, signal.SIGKILL)
        await until(lambda: len(second.heard) >= 2, "the exit")
        await runner.start(make_spec())
        await runner.stop(KEY, drain=1)
        assert first.heard == second.heard == [(what, KEY) for what in ("ready", "exited", "ready", "stopping")]
        assert gone.heard == [("ready", KEY)]


async def test_what_observers_take_of_the_drain_is_no_longer_there_for_the_call(layout, make_spec):
    async with opened(layout, make_spec(stop_grace=0.1)) as runner:
        listener = Listener(runner, drain=60)
        hanging = asyncio.create_task(failure(runner, ask("hang")))
        await until_busy(runner)
        await runner.stop(KEY, drain=0.2)
        assert (await hanging).code is Code.heartbeat_lost
        assert listener.heard == [("ready", KEY), ("stopping", KEY)]
