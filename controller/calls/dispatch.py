"""Calls that wait for one version of one deployment, and whose turn is next. Nothing here knows a call's content.

A process that is free takes the next call itself, so that with several of them the least busy one always answers. PIDs
take turns, each with a line of its own that is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.calls.service import Service
from controller.errors import CallError, Code
from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.processes.process import AlgorithmProcess

_PACE = 0.1
"""Weight of the newest call in the running mean of how long calls take."""
_SHORTEST_RETRY = 0.01


@dataclass(slots=True, eq=False)
class Place:
    """A call in its line, since when (monotonic) it waits and when its caller leaves.

    `turn` gets the process whose turn the caller then has, or None where the call has to be routed again.
    """

    turn: asyncio.Future[AlgorithmProcess | None]
    since: float
    leave: float
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class Line:
    """The calls of one PID. `accepted` counts those that no process has yet, also those whose image is being read."""

    pid: str
    accepted: int = 0
    places: deque[Place] = field(default_factory=deque)


class Dispatcher:
    """Where calls meet the processes of one version of one deployment. `last_pid` is whose call was dispatched last."""

    def __init__(self, ref: PackageRef, service: Service) -> None:
        self.ref = ref
        self.service = service
        self.last_pid = ""
        self._processes: list[AlgorithmProcess] = []
        self._leaving: set[ProcessKey] = set()
        self._lines: dict[str, Line] = {}
        self._order: deque[Line] = deque()
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
        process.turns.on_free = self.serve
        self.serve()

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

    def admit(self, pid: str) -> Line:
        """Accept a call; `leave` has to follow. Raises CallError 1011 where the PID's line is full."""
        line = self._lines.get(pid)
        if line is None:
            line = self._lines[pid] = Line(pid)
        if line.accepted >= self.service.queue:
            raise self._busy(f"{line.accepted} calls for PID {pid} wait already")
        line.accepted += 1
        self._accepted += 1
        return line

    def leave(self, line: Line) -> None:
        """Note that a call was dispatched or given up."""
        line.accepted -= 1
        self._accepted -= 1
        if self._emptied is not None and not self._accepted:
            if not self._emptied.done():
                self._emptied.set_result(None)
            self._emptied = None

    def take(self) -> AlgorithmProcess | None:
        """Return a free process, whose turn is then the caller's; None where it has to wait."""
        return None if self._order else self._free()

    def _free(self) -> AlgorithmProcess | None:
        for index, process in enumerate(self._processes):
            if process.state == "ready":
                process.turns.try_take()
                if index < len(self._processes) - 1:  # to the end: the one that rested longest is the next
                    self._processes.append(self._processes.pop(index))
                return process
        return None

    async def wait(self, line: Line, since: float, leave: float) -> AlgorithmProcess | None:
        """Return the process whose turn is then the caller's; None where the call has to be routed again.

        Raises:
            CallError: 1011, it was busy for too long; 1004, none became ready; 1005, the caller leaves earlier.
        """
        place = Place(asyncio.get_running_loop().create_future(), since, leave)
        line.places.append(place)
        if len(line.places) == 1:
            self._order.append(line)
        self._look_at(place)
        try:
            return await place.turn
        except asyncio.CancelledError:
            if not place.turn.cancelled() and place.turn.exception() is None and (given := place.turn.result()):
                given.give_turn()  # the turn came at the moment of the cancellation
            raise
        finally:
            if place.timer is not None:
                place.timer.cancel()
            self._withdraw(line, place)

    def _withdraw(self, line: Line, place: Place) -> None:
        if place in line.places:
            line.places.remove(place)
            if not line.places:
                self._order.remove(line)

    def _look_at(self, place: Place) -> None:
        """Send a call away whose time is over, else look again when it may be: it depends on what the processes do."""
        if place.turn.done():
            return
        now, bound = time.monotonic(), self.service.call_timeout if self.serving else self.service.start_timeout
        due = min(place.since + bound, place.leave)
        if now < due:
            place.timer = asyncio.get_running_loop().call_later(due - now, self._look_at, place)
        elif due == place.leave:
            place.turn.set_exception(self._left())
        elif self.serving:
            place.turn.set_exception(self._busy(f"no process was free for {bound:g} s"))
        else:
            place.turn.set_exception(self._not_ready())

    def serve(self) -> None:
        """Give free processes to calls that wait, one PID after the other."""
        while self._order and (process := self._free()) is not None:
            place = self._next()
            if place is None:
                process.give_turn()
                return
            place.turn.set_result(process)

    def _next(self) -> Place | None:
        while self._order:
            line = self._order.popleft()
            place = line.places.popleft()
            if line.places:
                self._order.append(line)
            if not place.turn.done():
                return place
        return None

    def send_on(self, elsewhere: Callable[[str], bool]) -> None:
        """Have the waiting calls of those PIDs routed again."""
        for line in [line for line in self._order if elsewhere(line.pid)]:
            self._dismiss(line, lambda place: place.turn.set_result(None))

    def close(self, error: CallError) -> None:
        """Send every waiting call away."""
        for line in list(self._order):
            self._dismiss(line, lambda place: place.turn.set_exception(error))

    def _dismiss(self, line: Line, tell: Callable[[Place], None]) -> None:
        self._order.remove(line)
        while line.places:
            place = line.places.popleft()
            if not place.turn.done():
                tell(place)

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
