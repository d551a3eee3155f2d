"""When a changed tree may be read: an editor's or git's half-written files are not a revision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from controller.sources.tree import Listing, list_tree

QUIET = 0.25
"""Seconds without any change after which a tree counts as settled."""
PATIENCE = 10.0
"""Seconds that a file which stays open for writing may hold a revision up."""

Verdict = Literal["unchanged", "changing", "quiet"]


@dataclass(slots=True)
class QuiescingTree:
    """Watches one tree by its listing (names, sizes, times). `clock` returns seconds.

    Call `look` at every wake; `settled` is told once for each change, and then the tree is to be read.
    """

    folder: Path
    clock: Callable[[], float]
    quiet: float = QUIET
    _read: Listing | Literal["never"] | None = field(default="never", init=False)
    _seen: Listing | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _first_change: float | None = field(default=None, init=False)

    def look(self, *, being_written: bool = False) -> Verdict:
        """Return whether the tree is as it was read, is still changing, or has changed and may be read now."""
        listing, now = self._list(), self.clock()
        if self._read == "never":
            return self._settle(listing)
        if listing == self._read:
            self._first_change = None
            return "unchanged"
        if listing != self._seen or self._first_change is None:
            self._seen, self._since = listing, now
            self._first_change = now if self._first_change is None else self._first_change
        patient = being_written and now - self._first_change < PATIENCE
        if patient or now - self._since < self.quiet:
            return "changing"
        return self._settle(listing)

    def read_again(self) -> None:
        """Let the next look say `settled`, whatever has changed or not."""
        self._read = "never"

    def _settle(self, listing: Listing | None) -> Verdict:
        self._read = self._seen = listing
        self._first_change = None
        return "quiet"

    def _list(self) -> Listing | None:
        try:
            return list_tree(self.folder)
        except OSError:  # not there, or not readable: reading it says why
            return None
