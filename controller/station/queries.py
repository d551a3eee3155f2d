"""Queries that only read the store's files: the same with a daemon and without one."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import ControllerError
from controller.model.objects import unmanaged_name
from controller.model.observed import ActiveMapping

if TYPE_CHECKING:
    from controller.model.status_document import AuditRow
    from controller.station.commands.records import FindLogs, GetHistory, PidEntry, ReadAudit, VerifyAudit
    from controller.store.audit import Verification
    from controller.store.store import Store


def history(store: Store, query: GetHistory) -> tuple[PidEntry, ...]:
    """Return a PID's history, else what a deployment made of its PIDs', oldest first; empty where there is none.

    Raises StoreError.
    """
    from controller.station.commands.records import PidEntry  # noqa: PLC0415

    if own := store.history.read(query.subject):
        return tuple(PidEntry(query.subject, entry) for entry in own)
    found = (PidEntry(pid, entry) for pid in store.history.pids() for entry in store.history.read(pid))
    made = (each for each in found if each.entry.deployment == query.subject)
    return tuple(sorted(made, key=lambda each: (each.entry.at, each.pid)))


def audit(store: Store, query: ReadAudit) -> tuple[AuditRow, ...]:
    """Return the last records of the audit log. Raises StoreError."""
    return tuple(deque(store.audit.read(query.lines), maxlen=query.lines))


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
    """Return the logs of a deployment's processes, of all versions or of one, in order.

    A PID stands for its deployment, and for the version that answers it where none is named. Raises StoreError.
    """
    deployment, version = query.subject, query.version
    folder = store.layout.logs / "algorithms"
    if not (folder / deployment).is_dir() and (owner := _owner(store, query.subject)):
        mapping = store.active.read(query.subject)
        active = mapping.version if isinstance(mapping, ActiveMapping) else None
        deployment, version = owner, version or active
    logs = (folder / deployment).glob("*.log")
    return tuple(sorted(path for path in logs if version in {None, path.stem.rpartition("-")[0]}))


def _owner(store: Store, pid: str) -> str:
    """Return the deployment that has a PID, by the desired state in force, or what stands in its place; or nothing."""
    revision = store.revision.read()
    if revision is not None and (owner := revision.by_pid.get(pid)) is not None:
        return owner.name
    mapping = store.active.read(pid)
    return unmanaged_name(mapping.name) if isinstance(mapping, ActiveMapping) else ""
