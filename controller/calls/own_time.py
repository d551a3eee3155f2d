"""The deadline of a call beside the line, by the time that its process had: giving way is no fault of the version."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from controller.errors import CallError, Code
from controller.host.priority import Thread, threads_of
from controller.processes.process import AlgorithmProcess

PATIENCE = 4
"""How many times its deadline a call beside the line may take in all: see `OwnTime`."""
_STEP = 0.1
"""Share of the deadline between two looks; most calls are answered before the first."""
_LATE = "own_seconds"


def was_starved(error: CallError) -> bool:
    """Whether a call beside the line got no answer because its process had no time, not because it took too long."""
    return error.code is Code.timeout and _LATE not in error.details


class OwnTime:
    """Ends a process whose call takes longer than its deadline.

    While one of its threads wants a processor and has none, its own time does not run: it gives way to the line, and
    must not be blamed for that. In all it has a few times as long.
    """

    def __init__(self, process: AlgorithmProcess) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._allowed = process.spec.call_timeout
        self._looked = self._loop.time()
        self._own = 0.0
        self._threads: dict[str, Thread] = {}
        self._timer = self._loop.call_later(_STEP * self._allowed, self._look)

    def cancel(self) -> None:
        """The call has ended."""
        self._timer.cancel()

    def _look(self) -> None:
        now, threads = self._loop.time(), threads_of(self._process.os_pid)
        passed, self._looked = now - self._looked, now
        if any(thread.stands for thread in threads.values()):
            passed = min(passed, self._most_run(threads))
        self._threads = threads
        self._own += passed
        left = self._allowed - self._own
        if left > 0:
            self._timer = self._loop.call_later(min(left, _STEP * self._allowed), self._look)
            return
        late = f"{self._process.key} did not answer within {self._allowed:g} s"
        self._process.condemn(CallError(Code.timeout, late, details={_LATE: round(self._own, 3)}))

    def _most_run(self, threads: Mapping[str, Thread]) -> float:
        """Return the processor time (s) of the thread that had most of it since the last look."""
        before = self._threads
        return max((each.ran - before[number].ran for number, each in threads.items() if number in before), default=0.0)
