"""Shows what happens second by second: what the station says of a deployment, and what its callers get."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from examples.demo.load import Load
from examples.demo.station import Station, Unexpected

LOOK = 0.1
"""Seconds between two looks."""
EVERY = 1.0
"""Seconds after which a line is shown although nothing but the counts has changed."""


class Timeline:
    """Prints a line whenever something changes, until what is waited for has come."""

    def __init__(self, station: Station, load: Load, deployment: str, pids: Iterable[str]) -> None:
        self._station = station
        self._load = load
        self._deployment = deployment
        self._pids = tuple(pids)
        self._began = time.monotonic()
        self._since = len(load.calls)
        self._shown: tuple[Any, ...] = ()
        self._at = 0.0

    def until(self, holds: Callable[[], object], what: str, seconds: float = 45.0) -> None:
        """Show what happens until `holds`. Raises Unexpected where that does not come, or the daemon has ended."""
        deadline = time.monotonic() + seconds
        self._show(
            "   second  weight  phase        " + "".join(f"{pid:<8}" for pid in self._pids) + "calls  ERROR  failed"
        )
        while not holds():
            self._look()
            self._station.check_daemon()
            if time.monotonic() > deadline:
                raise Unexpected(f"{what} did not happen within {seconds:.0f} s")
            time.sleep(LOOK)
        self._look(last=True)

    def _look(self, *, last: bool = False) -> None:
        status = self._station.deployment(self._deployment)
        answers = self._load.latest(self._pids)
        seen = (status["desired_weight"], status["phase"], *answers.values())
        if seen == self._shown and not last and time.monotonic() - self._at < EVERY:
            return
        self._shown, self._at = seen, time.monotonic()
        calls = self._load.ended(self._since)
        errors = sum(call.status == "ERROR" for call in calls)
        failed = sum(call.error is not None for call in calls)
        versions = "".join(f"{version:<8}" for version in answers.values())
        self._show(
            f"   {self._at - self._began:6.1f}  {status['desired_weight']:4} %  {status['phase']:<11}  "
            f"{versions}{len(calls):5}  {errors:5}  {failed:6}"
        )

    @staticmethod
    def _show(line: str) -> None:
        print(line, flush=True)
