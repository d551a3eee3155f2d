"""What was read from files that have not changed since: an idle pass looks at every file and reads none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_RESTED = 2_000_000_000
"""Nanoseconds after which a file that changes has other timestamps for certain."""


class Unchanged(Generic[Value]):
    """Remembers what a folder's files hold, by name.

    A file that was changed a moment ago may change again within one tick of its timestamps: it is read each time.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[int, ...], Value]] = {}

    def read(self, entry: os.DirEntry[str], read: Callable[[str], Value]) -> Value:
        """Return what a file holds, without reading it where it is the very one read before and had rested by then."""
        try:
            stat = entry.stat()
        except OSError:  # it is gone, or cannot be looked at: reading it says which
            return read(entry.path)
        fingerprint = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = self._seen.get(entry.name)
        if known is not None and known[0] == fingerprint:
            return known[1]
        value = read(entry.path)
        self.forget(entry.name)
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _RESTED:
            self._seen[entry.name] = (fingerprint, value)
        return value

    def forget(self, name: str) -> None:
        """Have a file read again at the next look, whether it has changed or not."""
        self._seen.pop(name, None)
