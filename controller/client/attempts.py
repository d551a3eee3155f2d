"""When a call is tried again: what never was accepted, for a time; what may have been, only where the caller says."""

from __future__ import annotations

import time
from typing import NamedTuple

from controller.client.answers import NotReached, UnknownOutcome
from controller.client.exchange import Broken, NeverAccepted
from controller.errors import CallError, Code

_FIRST, _LONGEST = 0.01, 0.5
"""Seconds of the first and the longest delay between attempts; each is jittered."""


class Patience(NamedTuple):
    """How long a caller tries. `connect_timeout`: seconds for which the daemon may be away.

    `retry_unknown`: also try again what may have been carried out; `retry_busy`: also what was refused with 1011.
    """

    connect_timeout: float = 30.0
    retry_unknown: bool = False
    retry_busy: bool = False


class Attempts:
    """The attempts of one call. `timeout`: seconds that its caller waits in all, None as long as the station takes."""

    def __init__(self, where: str, patience: Patience, timeout: float | None) -> None:
        self._where = where
        self._patience = patience
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._away_since: float | None = None
        self._last: CallError | None = None
        self._delay = _FIRST

    def left(self) -> float | None:
        """Return the seconds that the caller still waits.

        Raises:
            CallError: they are over; it is what the last attempt ended as, 1005 where there was none.
        """
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._last or too_late()
        return left

    def after(self, failure: NeverAccepted | Broken | CallError) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            NotReached, UnknownOutcome, CallError: there is none.
        """
        match failure:
            case NeverAccepted(stale=True):
                return 0.0
            case NeverAccepted():
                return self._wait(NotReached(self._where, str(failure)))
            case Broken():
                return self.after(UnknownOutcome(str(failure)))
            case UnknownOutcome() if self._patience.retry_unknown:
                return self._wait(failure)
            case CallError(code=Code.busy) if self._patience.retry_busy:
                return self._wait(failure)
            case CallError():
                raise failure
        raise TypeError(failure)

    def _wait(self, last: CallError) -> float:
        now = time.monotonic()
        self._last = last
        self._away_since = now if self._away_since is None else self._away_since
        until = self._away_since + self._patience.connect_timeout
        if self._deadline is not None:
            until = min(until, self._deadline)
        if now >= until:
            raise last
        import random  # noqa: PLC0415  - few calls wait, and every `pvctl status` imports this

        delay = min(self._delay * random.uniform(0.5, 1.0), until - now)  # noqa: S311  (jitter, no secret)
        self._delay = min(self._delay * 2, _LONGEST)
        return delay


def too_late() -> CallError:
    """Return the error of a caller whose time is over."""
    return CallError(
        Code.timeout,
        "no answer within the time that the caller waits",
        next_step="raise timeout, or see `pvctl status` for what keeps the station",
        details={"caller_timeout": True},
    )
