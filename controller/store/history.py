"""`history/<pid>.jsonl`: which version answered a PID when, why, and by whose act.

Appended to; once it is large, its newer half is kept.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import orjson

from controller.errors import StoreError
from controller.model.observed import HistoryEntry
from controller.store.atomic import append_durably, write_atomic
from controller.store.layout import StoreLayout

LARGEST = 256 * 1024
"""Bytes from which on a history is shortened: some 1,000 entries."""


class PidHistory:
    """The version histories of one store's PIDs."""

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout

    def read(self, pid: str) -> tuple[HistoryEntry, ...]:
        """Return a PID's history, oldest first. A line that a power cut tore is passed over.

        Raises StoreError where the file cannot be read, or holds nothing that can be understood.
        """
        path = self._layout.pid_history(pid)
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        entries = tuple(entry for line in lines if (entry := _parse(line)) is not None)
        if lines and not entries:
            raise StoreError(f"cannot read {path}: no line of it can be understood")
        return entries

    def pids(self) -> tuple[str, ...]:
        """Return the PIDs that have a history, in order."""
        return tuple(sorted(path.stem for path in self._layout.history.glob("*.jsonl")))

    def append(self, pid: str, entry: HistoryEntry) -> None:
        """Add an entry durably: all of it or, where it raises StoreError, nothing."""
        path = self._layout.pid_history(pid)
        self._shorten(path)
        append_durably(path, orjson.dumps(entry) + b"\n")

    @staticmethod
    def _shorten(path: Path) -> None:
        """Keep the newer half of a history that is large. Where the disk does not take that, it stays as it is."""
        with suppress(OSError, StoreError):
            if path.stat().st_size >= LARGEST:
                lines = path.read_bytes().splitlines(keepends=True)
                write_atomic(path, b"".join(lines[len(lines) // 2 :]))


def _parse(line: bytes) -> HistoryEntry | None:
    try:
        entry = HistoryEntry(**orjson.loads(line))
    except (orjson.JSONDecodeError, TypeError):
        return None
    texts = (entry.at, entry.revision, entry.actor, entry.reason)
    names = (entry.name, entry.version, entry.deployment, entry.digest)
    whole = all(isinstance(text, str) for text in texts) and all(
        name is None or isinstance(name, str) for name in names
    )
    return entry if whole else None
