"""`history/<pid>.jsonl`: which version answered a PID when, why, and by whose act. Appended to, never rewritten."""

from __future__ import annotations

import orjson

from controller.errors import StoreError
from controller.model.observed import HistoryEntry
from controller.store.atomic import append_durably
from controller.store.layout import StoreLayout


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
        append_durably(self._layout.pid_history(pid), orjson.dumps(entry) + b"\n")


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
