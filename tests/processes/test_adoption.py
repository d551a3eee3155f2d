"""Adoption: each process has a deadline of its own, and one that stands still holds up only itself."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from controller.images.formats import ImageRef
from controller.processes import attach, process
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.store.layout import StoreLayout
from tests.processes.conftest import KEY, call, process_of, runner_of, running
from tests.processes.test_process import ask, opened
from tests.waiting import until

pytestmark = pytest.mark.real

TWIN = dataclasses.replace(KEY, replica=1)
THIRD = dataclasses.replace(KEY, replica=2)
WELL = dataclasses.replace(KEY, deployment="neighbour")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have shims and adapters lose our patience after a moment."""
    monkeypatch.setattr(attach, "_ANSWER", 0.5)
    monkeypatch.setattr(process, "_HEEDED", 0.5)


@contextlib.contextmanager
def mute_socket(layout: StoreLayout, token: str) -> Iterator[None]:
    """Put a socket in a shim's place that takes connections and says nothing."""
    path = layout.run / f"{token}.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
        os.chdir(layout.run)
        mute.bind(path.name)
        os.chdir("/")
        mute.listen()
        yield


async def several(layout: StoreLayout, make_spec: Callable, *keys) -> ProcessPool:
    runner = runner_of(layout)
    await runner.open()
    await asyncio.gather(*(runner.start(make_spec(key=key, call_timeout=0.5, grace_ms=100)) for key in keys))
    return runner


async def test_what_stands_still_is_given_up_and_holds_up_only_itself(layout, make_spec, soon):
    runner = await several(layout, make_spec, KEY, TWIN, THIRD, WELL)
    records = {each.key: each.record for each in runner.processes()}
    await runner.close()
    os.kill(records[KEY].shim.os_pid, signal.SIGSTOP)
    os.kill(records[TWIN].adapter.os_pid, signal.SIGSTOP)
    with mute_socket(layout, records[THIRD].token):
        ended = []
        runner.on_adoption = lambda: ended.append(1)
        await runner.open(patience=0)
        assert {each.state for each in (await runner.observe()).values()} == {"adopting"}
        await until(lambda: ended, "the adoption of the one that is well")
        seen = await runner.observe()
        assert {key: each.state for key, each in seen.items()} == {
            WELL: "ready", KEY: "adopting", TWIN: "adopting", THIRD: "adopting",
        }  # fmt: skip
        assert (await call(runner, ask(), WELL)).data["os_pid"] == records[WELL].adapter.os_pid
        await until(lambda: len(ended) == 4, "the end of every adoption")
    assert list(await runner.observe()) == [WELL]
    assert len(running(layout)) == 2, "nothing is left of the others"
    await asyncio.gather(*(runner.start(make_spec(key=key)) for key in (KEY, TWIN, THIRD)))
    assert (await call(runner, ask(n=7))).data["given"]["n"] == 7
    await runner.close()
    end_all(layout)


async def test_a_start_waits_for_the_adoption_of_its_own_key_only(layout, make_spec, soon):
    runner = await several(layout, make_spec, KEY, WELL)
    shim = process_of(runner).record.shim
    await runner.close()
    os.kill(shim.os_pid, signal.SIGSTOP)
    await runner.open(patience=0)
    own, other = (asyncio.create_task(runner.start(make_spec(key=key))) for key in (KEY, TWIN))
    await other
    assert not own.done()
    assert (await own).state == "ready"
    await runner.close()
    end_all(layout)


async def test_a_pool_that_closes_gives_up_adopting(layout, make_spec):
    runner = await several(layout, make_spec, KEY)
    record = process_of(runner).record
    await runner.close()
    os.kill(record.shim.os_pid, signal.SIGSTOP)
    await runner.open(patience=0)
    await runner.close()
    os.kill(record.shim.os_pid, signal.SIGCONT)
    async with opened(layout) as again:
        assert process_of(again).os_pid == record.adapter.os_pid


async def test_a_shim_that_stands_still_while_it_is_attached_is_replaced_with_all_that_its_adapter_started(
    layout, make_spec, soon
):
    async with opened(layout, make_spec()) as runner:
        data = (await call(runner, ask("grandchild"))).data
        os.kill(process_of(runner).record.shim.os_pid, signal.SIGSTOP)
        again = await runner.start(make_spec())
        assert (await call(runner, ask())).data["os_pid"] == again.os_pid
        assert {data["child"], data["escaped"]}.isdisjoint(running(layout))
        assert len(running(layout)) == 2


async def test_down_ends_what_stands_still(layout, make_spec):
    runner = await several(layout, make_spec, KEY, TWIN)
    records = [each.record for each in runner.processes()]
    await runner.close()
    os.kill(records[0].shim.os_pid, signal.SIGSTOP)
    os.kill(records[1].adapter.os_pid, signal.SIGSTOP)
    assert len(end_all(layout)) == 2
    assert running(layout) == []


async def test_what_the_controller_before_lent_is_not_kept_for_its_process_s_life(layout, make_spec):
    runner = await several(layout, make_spec, KEY)
    np.save(layout.images / "cam.npy", np.zeros((4, 5, 3), np.uint8))
    process = process_of(runner)
    assert process.slots.lease(process.slots.find(ImageRef("cam"))) is not None
    await runner.close()  # killed: nobody releases it
    runner = runner_of(layout)
    await runner.open()
    assert [each.record.token for each in runner.processes()] == [process.record.token]
    await until(lambda: (layout.images / "cam.npy").stat().st_nlink == 1, "the end of the second name")
    await runner.close()
    (layout.images / "cam.npy").unlink()
    end_all(layout)
