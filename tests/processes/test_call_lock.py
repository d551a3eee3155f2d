"""The call lock: one holder, who follows in turn, and nothing is lost where a wait ends as the lock comes."""

from __future__ import annotations

import asyncio

import pytest

from controller.processes.call_lock import CallLock


async def begun(work) -> asyncio.Task[bool]:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    return task


async def test_who_acquires_is_served_before_who_is_told_that_it_is_free():
    lock, order = CallLock(), []
    lock.on_free = lambda: order.append("queued")
    assert lock.try_acquire()
    following = await begun(lock.acquire(60))
    lock.release()
    assert (order, lock.held) == ([], True)
    assert await following
    lock.release()
    assert (order, lock.held) == (["queued"], False)


async def test_who_waits_gets_it_in_the_order_of_asking():
    lock, order = CallLock(), []
    lock.on_free = lambda: order.append("queued")

    async def hold(name: str) -> bool:
        got = await lock.acquire(60)
        order.append(name)
        return got

    assert await lock.acquire(0)
    waiting = [await begun(hold(name)) for name in ("trial", "end")]
    assert not await lock.acquire(0)
    assert not lock.try_acquire()
    for task in waiting:
        lock.release()
        assert await task
    lock.release()
    assert order == ["trial", "end", "queued"]


async def test_a_wait_that_is_over_leaves_nothing_behind():
    lock = CallLock()
    lock.try_acquire()
    assert not await lock.acquire(0)
    assert not await lock.acquire(0.01)
    leaver = await begun(lock.acquire(60))
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    lock.release()
    assert not lock.held


async def test_a_lock_that_comes_at_the_moment_of_the_cancellation_is_given_back():
    lock, freed = CallLock(), []
    lock.on_free = lambda: freed.append(True)
    lock.try_acquire()
    leaver = await begun(lock.acquire(60))
    lock.release()
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert (lock.held, freed) == (False, [True])
