"""Progress lines: from whatever works to everybody who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from controller.station.port import Report


class Progress:
    """Takes progress lines from any thread and hands them to every listener; always also to `log`."""

    def __init__(self, log: Report) -> None:
        self._log = log
        self._listeners: list[Report] = []

    def __call__(self, line: str) -> None:
        self._log(line)
        for listener in tuple(self._listeners):
            listener(line)

    @contextmanager
    def listener(self, report: Report) -> Iterator[None]:
        """Let `report` be told every line of the block."""
        self._listeners.append(report)
        try:
            yield
        finally:
            self._listeners.remove(report)
