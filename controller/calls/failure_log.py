"""Failing calls in the log: the first of a kind at once, then one line a minute that says how many there were."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from controller.model.package import PackageRef

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two lines about one PID's calls that fail alike: a version that fails at every part fills no disk."""
_MOST = 256
"""Kinds of failures that are remembered; beyond, all are new."""


@dataclass(slots=True)
class _Told:
    at: float
    untold: int = 0


class FailureLog:
    """Tells of calls that failed by what a version did."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, PackageRef, str], _Told] = {}

    def tell(self, pid: str, ref: PackageRef, what: str, words: str, traceback: Iterable[str] = ()) -> None:
        """Tell of one failed call; `what` is its kind, such as `1005 timeout`; `traceback`: the algorithm's frames."""
        now, key = time.monotonic(), (pid, ref, what)
        told = self._told.get(key)
        if told is not None and now - told.at < EVERY:
            told.untold += 1
            return
        since = f" ({told.untold} more since the last such line)" if told is not None and told.untold else ""
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told[key] = _Told(now)
        about = {"pid": pid, "package": str(ref), "traceback": "\n".join(traceback)}
        log.warning("%s: a call failed on %s: %s: %s%s", pid, ref, what, words, since, extra=about)
