"""The call lock: one holder, one next, and nothing is lost where a wait ends as the lock comes."""

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


async def test_only_one_is_the_next_and_nobody_else_waits():
    lock = CallLock()
    assert await lock.acquire(0)
    following = await begun(lock.acquire(60))
    assert not await lock.acquire(60)
    assert not lock.try_acquire()
    lock.release()
    assert await following


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
