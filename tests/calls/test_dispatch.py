"""Dispatchers: whatever order calls, answers, leavings and ends come in, nobody is lost, doubled or starved."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.calls.dispatch import Dispatcher
from controller.calls.service import Service
from controller.errors import CallError, Code
from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.processes.call_lock import CallLock

REF = PackageRef("screw-check", "1.0.0")
NEVER = float("inf")


class Worker:
    """What a dispatcher sees of a process."""

    def __init__(self, replica: int = 0) -> None:
        self.key = ProcessKey("line", "screw-check", "1.0.0", replica)
        self.call_lock = CallLock()
        self.exited = asyncio.get_running_loop().create_future()
        self.draining = False

    @property
    def state(self) -> str:
        if self.exited.done():
            return "exited"
        if self.draining:
            return "draining"
        return "busy" if self.call_lock.held else "ready"

    def release(self) -> None:
        self.call_lock.release()


def dispatcher_of(*workers: Worker, **limits) -> Dispatcher:
    dispatcher = Dispatcher(
        REF, Service(**{"deployment": "line", "call_timeout": 60.0, "start_timeout": 60.0, **limits})
    )
    for worker in workers:
        dispatcher.join(worker)
    return dispatcher


async def obtain(dispatcher: Dispatcher, pid: str = "A01", leave: float = NEVER):
    queue = dispatcher.admit(pid)
    try:
        return dispatcher.take() or await dispatcher.wait(queue, time.monotonic(), leave)
    finally:
        dispatcher.leave(queue)


async def wait_idle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from("ABC")),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("done"), st.integers(0, 30)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("stop"), st.integers(0, 5)),
        st.tuples(st.just("route"), st.sampled_from("ABC")),
        st.tuples(st.just("pause"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_processes_are_neither_lost_nor_doubled(steps):
    asyncio.run(_play(steps))


async def _play(steps) -> None:  # noqa: C901  (one branch for each thing that can happen)
    dispatcher, workers, calls, stops = dispatcher_of(queue=5), [], [], []
    working: dict[int, asyncio.Task] = {}

    async def call(pid: str) -> str:
        me = asyncio.current_task()
        worker = await obtain(dispatcher, pid)
        if worker is None:
            return "routed"
        assert worker not in working, "one call at a time"
        working[worker] = me
        try:
            await released[me].wait()
        finally:
            del working[worker]
            worker.release()
        return "done"

    released: dict[asyncio.Task, asyncio.Event] = {}
    for step, argument in steps:
        match step:
            case "call":
                task = asyncio.ensure_future(call(argument))
                released[task] = asyncio.Event()
                calls.append(task)
            case "cancel" if calls:
                calls[argument % len(calls)].cancel()
            case "done" if working:
                released[list(working.values())[argument % len(working)]].set()
            case "end" if workers:
                worker = workers[argument % len(workers)]
                if not worker.exited.done():
                    worker.exited.set_result(None)
            case "stop" if workers:  # as who stops a process: the lock is taken as the next, and not given back
                worker = workers[argument % len(workers)]
                if not worker.draining:
                    worker.draining = True
                    stops.append(asyncio.ensure_future(worker.call_lock.acquire(60.0)))
            case "join":
                workers.append(Worker(len(workers)))
                dispatcher.join(workers[-1])
            case "route":
                dispatcher.send_on(lambda pid, chosen=argument: pid == chosen)
            case "pause":
                await wait_idle()
                idle = [worker for worker in workers if worker.state == "ready"]
                assert not (idle and dispatcher.waiting), "nobody waits while somebody is free"
    dispatcher.join(Worker(99))
    for event in released.values():
        event.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(
        end in {"done", "routed"} or isinstance(end, asyncio.CancelledError) or end.code is Code.busy for end in ends
    )
    assert (dispatcher._accepted, dispatcher.waiting, working) == (0, False, {})
    assert all(worker.state in {"ready", "exited", "draining"} for worker in workers)
    assert all(await asyncio.gather(*stops)), "who stops a process gets its lock"
    assert all(worker.call_lock.held == worker.draining for worker in workers)


async def test_pids_take_turns_whoever_asked_first():
    worker = Worker()
    dispatcher = dispatcher_of(worker)
    worker.call_lock.try_acquire()
    order = []

    async def call(pid: str) -> None:
        given_ = await obtain(dispatcher, pid)
        order.append(pid)
        given_.release()

    calls = [asyncio.create_task(call(pid)) for pid in "AAAABCCB"]
    await wait_idle()
    worker.release()
    await asyncio.gather(*calls)
    assert "".join(order) == "ABCABCAA"


async def test_a_full_queue_says_when_to_come_again():
    worker = Worker()
    dispatcher = dispatcher_of(worker, queue=2)
    worker.call_lock.try_acquire()
    dispatcher.took(0.25)
    waiting = [asyncio.create_task(obtain(dispatcher)) for _ in range(2)]
    await wait_idle()
    with pytest.raises(CallError) as caught:
        await obtain(dispatcher)
    assert (caught.value.code, caught.value.details) == (Code.busy, {"retry_after": 0.5})
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    worker.release()
    assert await obtain(dispatcher) is worker


@pytest.mark.parametrize(
    ("workers", "leave", "code"),
    [(1, NEVER, Code.busy), (0, NEVER, Code.not_initialized), (1, 0.01, Code.timeout), (0, 0.01, Code.timeout)],
)
async def test_every_wait_has_an_end_of_its_own(workers, leave, code):
    dispatcher = dispatcher_of(*(Worker(number) for number in range(workers)), call_timeout=0.05, start_timeout=0.05)
    for worker in dispatcher._processes:
        worker.call_lock.try_acquire()
    with pytest.raises(CallError) as caught:
        await obtain(dispatcher, leave=time.monotonic() + leave)
    assert caught.value.code is code
    assert (dispatcher._accepted, dispatcher.waiting) == (0, False)


async def test_who_waited_behind_a_process_that_ended_waits_on_for_its_successor():
    worker, successor = Worker(), Worker()
    dispatcher = dispatcher_of(worker, call_timeout=0.02)
    worker.call_lock.try_acquire()
    waiting = asyncio.create_task(obtain(dispatcher))
    await wait_idle()
    worker.exited.set_result(None)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    dispatcher.join(successor)
    assert await waiting is successor
