"""What the gateway refused, counted by reason in a page of memory that it shares with the daemon.

The gateway counts, the daemon reads at a scrape: a flood costs it nothing. It made the page, so counts outlive the
gateway's process and begin with the daemon, as all of its metrics.
"""

from __future__ import annotations

import mmap
import os
from typing import Literal, Self, get_args

Reason = Literal[
    "malformed", "unauthorized", "forbidden", "too_slow", "too_large", "too_often", "no_place", "daemon_away",
    "connections", "displaced", "handshake", "unread",
]  # fmt: skip
"""Why something was refused (docs/metrics.md says what each means).

Only ever added to at the end: a gateway that is started again may be of a newer release than its daemon.
"""
_REASONS: tuple[Reason, ...] = get_args(Reason)
_PLACES = {reason: place for place, reason in enumerate(_REASONS)}
_SIZE = mmap.PAGESIZE
_OF_STATUS: dict[int, Reason] = {
    400: "malformed", 401: "unauthorized", 403: "forbidden", 405: "malformed", 408: "too_slow", 413: "too_large",
    414: "too_large", 415: "malformed", 429: "too_often", 431: "too_large", 503: "no_place",
}  # fmt: skip


class Refusals:
    """The counts of one daemon's gateway, in the memory behind a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._counts = memoryview(mmap.mmap(descriptor, _SIZE)).cast("Q")

    @classmethod
    def begin(cls) -> Self:
        """Return counts at nothing, in memory of their own. Raises OSError."""
        descriptor = os.memfd_create("gateway-refusals")
        os.truncate(descriptor, _SIZE)
        return cls(descriptor)

    def count(self, reason: Reason) -> None:
        """Count one."""
        self._counts[_PLACES[reason]] += 1

    def note(self, status: int) -> None:
        """Count what a status of an answer stands for, where that is a refusal."""
        reason = _OF_STATUS.get(status)
        if reason is not None:
            self.count(reason)

    def counted(self) -> dict[str, int]:
        """Return how often there was each reason."""
        return dict(zip(_REASONS, self._counts, strict=False))

    def close(self) -> None:
        """Share them with nobody any more; they can still be read."""
        os.close(self.descriptor)
