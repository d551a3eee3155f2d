"""Callers that call without a pause, and a record of how every call of theirs ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from controller.client import Client
from controller.errors import CallError
from tests.waiting import eventually

END = 60.0
"""Seconds after which a call that has not ended counts as lost."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that ended, with when (monotonic) it began and ended: what its answer says, or its `error`.

    `image` is the index of the image that it sent, `debug` what the algorithm said about it.
    """

    pid: str
    began: float
    ended: float
    image: int
    version: str | None = None
    status: str | None = None
    debug: Mapping[str, Any] = field(default_factory=dict)
    error: CallError | None = None

    @property
    def os_pid(self) -> int | None:
        """The process that answered, by its own word."""
        return self.debug.get("os_pid")

    @property
    def failure(self) -> str:
        """What kind of error it ended with; empty where it was answered."""
        return f"{type(self.error).__name__} {int(self.error.code)}" if self.error else ""


class Load:
    """`callers` threads, shared out among `pids`; each has a client of its own and calls again as soon as it may.

    `images` are used in turn; `arguments` go with every call. Leaving the context waits for the last answers.
    """

    def __init__(
        self, store: Path, pids: Sequence[str], images: Sequence[Any], *, callers: int = 4, pace: float = 0.0,
        **arguments: Any,
    ) -> None:  # fmt: skip
        self.calls: list[Call] = []
        self.began = 0
        self._store = store
        self._images = images
        self._pace = pace
        self._arguments = arguments
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._caller, args=(pids[number % len(pids)],), name=f"caller-{number}")
            for number in range(callers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(END)

    @property
    def lost(self) -> int:
        """Calls that began and did not end. To be asked when the context was left."""
        return self.began - len(self.calls)

    def _caller(self, pid: str) -> None:
        with Client(store=self._store, retry_busy=True) as client:
            while not self._over.wait(self._pace):
                with self._lock:
                    image = self.began % len(self._images)
                    self.began += 1
                self.calls.append(self._call(client, pid, image))

    def _call(self, client: Client, pid: str, image: int) -> Call:
        began = time.monotonic()
        try:
            answer = client.execute(pid, self._images[image], **self._arguments)
        except CallError as error:
            return Call(pid, began, time.monotonic(), image, error=error)
        debug = answer.data.get("debug", {})
        return Call(pid, began, time.monotonic(), image, answer.version, answer.status, debug)

    def answered(self, pids: Iterable[str] | None = None, since: float = 0.0) -> list[Call]:
        """Return the calls that were answered, of all PIDs or of some, and begun since a moment."""
        wanted = None if pids is None else set(pids)
        return [
            call for call in tuple(self.calls)
            if call.error is None and call.began >= since and (wanted is None or call.pid in wanted)
        ]  # fmt: skip

    def failures(self) -> Counter[str]:
        """Return how many calls ended with each kind of error."""
        return Counter(call.failure for call in tuple(self.calls) if call.error is not None)

    def until_answered(self, count: int, pids: Iterable[str] | None = None) -> None:
        """Wait until so many calls that began from now on were answered."""
        since = time.monotonic()
        eventually(lambda: len(self.answered(pids, since)) >= count, f"{count} answers")
