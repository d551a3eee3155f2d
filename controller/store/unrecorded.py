"""What took place and is not on record yet, because the disk failed for a moment: it is completed, never denied.

The order is that of a batch: the folder in which something was renamed is synced, then a PID's history gets its entry,
then the audit its outcome. What a kill leaves of it is completed at the next start from the audit's intents
(`reconciler/recover.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import StoreError
from controller.model.observed import HistoryEntry
from controller.store.atomic import sync_folder
from controller.store.audit import AuditRecord

if TYPE_CHECKING:
    from controller.store.store import Store


@dataclass(slots=True)
class Missing:
    """What is missing of one act: folders to sync, an entry of the history of its PID, and the outcome itself."""

    outcome: AuditRecord
    folders: Sequence[Path] = ()
    history: tuple[str, HistoryEntry] | None = None

    def complete(self, store: Store) -> None:
        """Do all but append the outcome. Raises StoreError."""
        for folder in self.folders:
            sync_folder(folder)
        self.folders = ()
        if self.history is not None:
            pid, entry = self.history
            store.history.append(pid, entry)
            self.history = None


class Unrecorded:
    """What one controller still owes to the records of its store. Safe among threads."""

    def __init__(self) -> None:
        self._missing: list[Missing] = []
        self._settling = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._missing)

    def add(self, missing: Iterable[Missing]) -> None:
        with self._settling:
            self._missing.extend(missing)

    def settle(self, store: Store) -> dict[str, str]:
        """Complete what can be; return what is still missing, by object, and why."""
        with self._settling:
            missing, failed = list(self._missing), dict[str, str]()
            complete = [each for each in missing if _completes(each, store, failed)]
            try:
                if complete:
                    store.audit.append(*(each.outcome for each in complete))
            except StoreError as error:
                failed |= {each.outcome.object: str(error) for each in complete}
            else:
                self._missing = [each for each in missing if not any(each is done for done in complete)]
        return failed


def _completes(each: Missing, store: Store, failed: dict[str, str]) -> bool:
    try:
        each.complete(store)
    except StoreError as error:
        failed[each.outcome.object] = str(error)
        return False
    return True
