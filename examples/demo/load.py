"""A host application: callers that go on asking for detections, and an account of how every call of theirs ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from controller.client import Client
from controller.errors import CallError

LONGEST = 30.0
"""Seconds after which a call that has not ended counts as lost."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that ended, with when (seconds since 1970) it began and ended. `error`: what it failed with, if it did."""

    pid: str
    began: float
    ended: float
    version: str = ""
    status: str = ""
    error: CallError | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How many callers each PID has, and how many seconds each of them rests between two calls."""

    callers: int = 2
    rest: float = 0.05
    """Two cores are enough for everything then."""


class Load:
    """Callers on each of some PIDs, from `start` to `end`. Each uses `images` in turn, and begins at another one."""

    def __init__(
        self, store: Path, pids: Sequence[str], images: Sequence[np.ndarray[Any, Any]], pace: Pace = Pace()
    ) -> None:
        self.calls: list[Call] = []
        self._store = store
        self._images = images
        self._rest = pace.rest
        self._began = [0] * (len(pids) * pace.callers)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._caller, args=(number, pids[number % len(pids)]), daemon=True)
            for number in range(len(self._began))
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let every caller finish the call that it waits for."""
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(LONGEST)

    @property
    def began(self) -> int:
        """How many calls were made."""
        return sum(self._began)

    def ended(self, since: int = 0) -> list[Call]:
        """Return the calls that have ended, but for the first `since`."""
        return self.calls[since:]

    def latest(self, pids: Iterable[str]) -> dict[str, str]:
        """Return the version that answered the latest call of each PID; empty where none was answered yet."""
        found = dict.fromkeys(pids, "")
        newest = dict.fromkeys(found, 0.0)
        for call in self.calls[-400:]:
            if call.version and call.began > newest[call.pid]:
                newest[call.pid], found[call.pid] = call.began, call.version
        return found

    def _caller(self, number: int, pid: str) -> None:
        with Client(store=self._store) as client:
            while not self._over.wait(self._rest):
                self._began[number] += 1
                image = self._images[(self._began[number] + number) % len(self._images)]
                self.calls.append(self._call(client, pid, image))

    @staticmethod
    def _call(client: Client, pid: str, image: np.ndarray[Any, Any]) -> Call:
        began = time.time()
        try:
            answer = client.execute(pid, image, timeout=LONGEST)
        except CallError as error:
            return Call(pid, began, time.time(), error=error)
        return Call(pid, began, time.time(), answer.version, answer.status)
