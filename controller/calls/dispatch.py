"""Calls that wait for one version of one deployment, and which is next. Nothing here knows a call's content.

The only waiter where callers wait: a process has a lock and no queue. One that is free takes the next call itself, so
that with several of them the least busy one always answers. PIDs take turns, each with a queue of its own that is
bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.calls.service import Service
from controller.errors import CallError, Code
from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.processes.process import AlgorithmProcess

_PACE = 0.1
"""Weight of the newest call in the running mean of how long calls take."""
_SHORTEST_RETRY = 0.01


@dataclass(slots=True, eq=False)
class Waiter:
    """A call in its queue, since when (monotonic) it waits and when its caller leaves.

    `given` gets the process whose call lock the caller then holds, or None where the call has to be routed again.
    """

    given: asyncio.Future[AlgorithmProcess | None]
    since: float
    leave: float
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class PidQueue:
    """The calls of one PID. `accepted` counts those that no process has yet, also those whose image is being read."""

    pid: str
    accepted: int = 0
    waiters: deque[Waiter] = field(default_factory=deque)


class Load(NamedTuple):
    """How many calls wait for a process, how many are with one, and how many processes take calls."""

    waiting: int
    in_flight: int
    serving: int


class Dispatcher:
    """Where calls meet the processes of one version of one deployment. `last_pid` is whose call was dispatched last."""

    def __init__(self, ref: PackageRef, service: Service) -> None:
        self.ref = ref
        self.service = service
        self.last_pid = ""
        self._processes: list[AlgorithmProcess] = []
        self._leaving: set[ProcessKey] = set()
        self._queues: dict[str, PidQueue] = {}
        self._order: deque[PidQueue] = deque()
        self._accepted = 0
        self._emptied: asyncio.Future[None] | None = None
        self._seconds = 0.0

    @property
    def serving(self) -> int:
        """How many processes can take calls, now or after their present one."""
        count = 0
        for process in self._processes:
            count += process.state in {"ready", "busy"}
        return count

    @property
    def load(self) -> Load:
        """How busy it is now."""
        return Load(self._accepted, sum(each.state == "busy" for each in self._processes), self.serving)

    @property
    def waiting(self) -> bool:
        """Whether calls wait for a process."""
        return bool(self._order)

    @property
    def unused(self) -> bool:
        """Whether it has neither calls nor processes."""
        return not self._accepted and not self._processes

    # Its processes.

    def join(self, process: AlgorithmProcess) -> None:
        """Take in a process that is ready; what waits goes to it at once."""
        self.tidy()
        self._leaving.discard(process.key)
        self._processes.append(process)
        process.call_lock.on_free = self.serve
        self.serve()

    def at_hand(self) -> AlgorithmProcess | None:
        """Return a process that can take a call, now if there is one, else after its present one; None: none can."""
        able = [process for process in self._processes if process.state in {"ready", "busy"}]
        return next((process for process in able if process.state == "ready"), able[0] if able else None)

    def tidy(self) -> None:
        """Forget the processes that take no calls any more."""
        self._processes = [process for process in self._processes if process.state not in {"exited", "draining"}]
        self._leaving &= {process.key for process in self._processes}

    async def drain(self, process: AlgorithmProcess, patience: float) -> None:
        """Keep a process that is to be stopped at work while calls wait that no other one will take.

        Returns when they are done, when it has ended, or after `patience` seconds.
        """
        self._leaving.add(process.key)
        others = (other for other in self._processes if other.key not in self._leaving)
        if not self._accepted or any(other.state in {"ready", "busy"} for other in others):
            return
        if self._emptied is None:
            self._emptied = asyncio.get_running_loop().create_future()
        waiting = (self._emptied, process.exited)
        await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    def took(self, seconds: float) -> None:
        """Note how long a call took: it is what a caller who is sent away is told to wait by."""
        self._seconds += _PACE * (seconds - self._seconds) if self._seconds else seconds

    # Its calls.

    def admit(self, pid: str) -> PidQueue:
        """Accept a call; `leave` has to follow. Raises CallError 1011 where the PID's queue is full."""
        queue = self._queues.get(pid)
        if queue is None:
            queue = self._queues[pid] = PidQueue(pid)
        if queue.accepted >= self.service.queue:
            raise self._busy(f"{queue.accepted} calls for PID {pid} wait already")
        queue.accepted += 1
        self._accepted += 1
        return queue

    def leave(self, queue: PidQueue) -> None:
        """Note that a call was dispatched or given up."""
        queue.accepted -= 1
        self._accepted -= 1
        if self._emptied is not None and not self._accepted:
            if not self._emptied.done():
                self._emptied.set_result(None)
            self._emptied = None

    def take(self) -> AlgorithmProcess | None:
        """Return a free process, whose call lock the caller then holds; None where it has to wait."""
        return None if self._order else self._free()

    def _free(self) -> AlgorithmProcess | None:
        for index, process in enumerate(self._processes):
            if process.state == "ready":
                process.call_lock.try_acquire()
                if index < len(self._processes) - 1:  # to the end: the one that rested longest is the next
                    self._processes.append(self._processes.pop(index))
                return process
        return None

    async def wait(self, queue: PidQueue, since: float, leave: float) -> AlgorithmProcess | None:
        """Return the process whose call lock the caller then holds; None where the call has to be routed again.

        Raises:
            CallError: 1011, it was busy for too long; 1004, none became ready; 1005, the caller leaves earlier.
        """
        waiter = Waiter(asyncio.get_running_loop().create_future(), since, leave)
        queue.waiters.append(waiter)
        if len(queue.waiters) == 1:
            self._order.append(queue)
        self._look_at(waiter)
        try:
            return await waiter.given
        except asyncio.CancelledError:
            if not waiter.given.cancelled() and waiter.given.exception() is None and (given := waiter.given.result()):
                given.release()  # it came at the moment of the cancellation
            raise
        finally:
            if waiter.timer is not None:
                waiter.timer.cancel()
            self._withdraw(queue, waiter)

    def _withdraw(self, queue: PidQueue, waiter: Waiter) -> None:
        if waiter in queue.waiters:
            queue.waiters.remove(waiter)
            if not queue.waiters:
                self._order.remove(queue)

    def _look_at(self, waiter: Waiter) -> None:
        """Send a call away whose time is over, else look again when it may be: it depends on what the processes do."""
        if waiter.given.done():
            return
        now, bound = time.monotonic(), self.service.call_timeout if self.serving else self.service.start_timeout
        due = min(waiter.since + bound, waiter.leave)
        if now < due:
            waiter.timer = asyncio.get_running_loop().call_later(due - now, self._look_at, waiter)
        elif due == waiter.leave:
            waiter.given.set_exception(self._left())
        elif self.serving:
            waiter.given.set_exception(self._busy(f"no process was free for {bound:g} s"))
        else:
            waiter.given.set_exception(self._not_ready())

    def serve(self) -> None:
        """Give free processes to calls that wait, one PID after the other."""
        while self._order and (process := self._free()) is not None:
            waiter = self._next()
            if waiter is None:
                process.release()
                return
            waiter.given.set_result(process)

    def _next(self) -> Waiter | None:
        while self._order:
            queue = self._order.popleft()
            waiter = queue.waiters.popleft()
            if queue.waiters:
                self._order.append(queue)
            if not waiter.given.done():
                return waiter
        return None

    def send_on(self, elsewhere: Callable[[str], bool]) -> None:
        """Have the waiting calls of those PIDs routed again."""
        for queue in [queue for queue in self._order if elsewhere(queue.pid)]:
            self._dismiss(queue, lambda waiter: waiter.given.set_result(None))

    def close(self, error: CallError) -> None:
        """Send every waiting call away."""
        for queue in list(self._order):
            self._dismiss(queue, lambda waiter: waiter.given.set_exception(error))

    def _dismiss(self, queue: PidQueue, tell: Callable[[Waiter], None]) -> None:
        self._order.remove(queue)
        while queue.waiters:
            waiter = queue.waiters.popleft()
            if not waiter.given.done():
                tell(waiter)

    # What callers are told.

    def _busy(self, why: str) -> CallError:
        seconds = self._seconds * self._accepted / max(1, self.serving)
        return CallError(
            Code.busy,
            f"{self.ref} is busy: {why}",
            next_step="call again after `retry_after` seconds, or raise spec.replicas",
            details={"retry_after": round(min(max(seconds, _SHORTEST_RETRY), self.service.call_timeout), 3)},
        )

    def _not_ready(self) -> CallError:
        return CallError(
            Code.not_initialized,
            f"no process of {self.ref} became ready within {self.service.start_timeout:g} s",
            next_step="see `pvctl status` and `pvctl logs`",
        )

    def _left(self) -> CallError:
        return CallError(
            Code.timeout,
            f"{self.ref} stayed busy for as long as the caller waits",
            next_step="raise the request's timeout",
            details={"caller_timeout": True},
        )
