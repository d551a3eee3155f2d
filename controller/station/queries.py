"""Queries that only read the store's files: the same with a daemon and without one."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import ControllerError

if TYPE_CHECKING:
    from controller.model.observed import HistoryEntry
    from controller.model.status_document import AuditRow
    from controller.station.commands.records import FindLogs, GetHistory, ReadAudit, VerifyAudit
    from controller.store.audit import Verification
    from controller.store.store import Store


def history(store: Store, query: GetHistory) -> tuple[HistoryEntry, ...]:
    """Return a PID's history; empty where it never had one. Raises StoreError."""
    return store.history.read(query.pid)


def audit(store: Store, query: ReadAudit) -> tuple[AuditRow, ...]:
    """Return the last records of the audit log. Raises StoreError."""
    return tuple(deque(store.audit.read(), maxlen=query.lines))


def verify_audit(store: Store, query: VerifyAudit) -> Verification:
    """Check the chain against a head given as SEQ:HASH, else against the one in the status document.

    Raises:
        ControllerError: the head is none; StoreError.
    """
    from controller.store.audit import AuditHead  # noqa: PLC0415 - only who verifies pays for hashing

    if query.head is None:
        return store.audit.verify(AuditHead.noted_in(store.status.read()))
    seq, _, digest = query.head.partition(":")
    if not seq.isdecimal() or not digest:
        raise ControllerError(f"{query.head!r} is not a head", next_step="give it as SEQ:HASH, as --verify prints it")
    return store.audit.verify(AuditHead(int(seq), digest))


def log_files(store: Store, query: FindLogs) -> tuple[Path, ...]:
    """Return the logs of a deployment's processes, of all versions or of one, in order."""
    folder = store.layout.logs / "algorithms" / query.deployment
    return tuple(sorted(path for path in folder.glob("*.log") if query.version in {None, path.stem.rpartition("-")[0]}))
