"""Queries that only read the store's files: the same with a daemon and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.errors import Code, CodedError, NotFound

if TYPE_CHECKING:
    from controller.model.observed import HistoryEntry
    from controller.station.commands.records import (
        AuditPage,
        AuditVerification,
        GetHistory,
        HistoryRow,
        ReadAudit,
        VerifyAudit,
    )
    from controller.store.store import Store


def history(store: Store, query: GetHistory) -> tuple[HistoryRow, ...]:
    """Return a PID's history, or what a deployment made of its PIDs', oldest first.

    Raises:
        NotFound: there is none, by the histories and the desired state in force. StoreError.
    """
    subject, kept = query.subject, store.history.pids()  # a name is looked for among files, and never made one
    if subject in kept and query.kind != "deployment":
        return tuple(_row(subject, entry) for entry in store.history.read(subject))
    found: list[HistoryRow] = []
    if query.kind != "pid":
        entries = ((pid, entry) for pid in kept for entry in store.history.read(pid))
        found = [_row(pid, entry) for pid, entry in entries if entry.deployment == subject]
    if not found and not _is_known(store, query):
        what = {"pid": "no PID", "deployment": "no deployment"}.get(query.kind, "no PID and no deployment")
        raise NotFound(
            Code.invalid_pid,
            f"{what} {subject[:80]} has a history in this store",
            next_step="see `pvctl status`",
        )
    return tuple(sorted(found, key=lambda each: (each.at, each.pid)))


def _row(pid: str, entry: HistoryEntry) -> HistoryRow:
    from controller.station.commands.records import HistoryRow  # noqa: PLC0415

    return HistoryRow(
        pid, entry.at, entry.name, entry.version, entry.deployment, entry.revision, entry.actor, entry.reason,
        entry.digest,
    )  # fmt: skip


def _is_known(store: Store, query: GetHistory) -> bool:
    revision = store.revision.read()
    if revision is None:
        return False
    pid, deployment = query.subject in revision.by_pid, query.subject in revision.by_name
    return {"pid": pid, "deployment": deployment}.get(query.kind, pid or deployment)


def audit(store: Store, query: ReadAudit) -> AuditPage:
    """Return a page of the audit log, newest first. Raises StoreError."""
    from controller.station.commands.records import AuditPage  # noqa: PLC0415
    from controller.store.audit_pages import Wanted  # noqa: PLC0415

    rows, following = store.audit.page(query.limit, query.before, Wanted(query.actor, query.action, query.object))
    return AuditPage(tuple(rows), following)


def verify_audit(store: Store, query: VerifyAudit) -> AuditVerification:
    """Check the chain against a head given as SEQ:HASH, else against the one in the status document.

    Raises:
        CodedError: 1003, the head is none; StoreError.
    """
    from controller.station.commands.records import AuditVerification  # noqa: PLC0415
    from controller.store.audit import AuditHead  # noqa: PLC0415 - only who verifies pays for hashing

    noted = AuditHead.noted_in(store.status.read())
    if query.head is not None:
        seq, _, digest = query.head.partition(":")
        if not (seq.isascii() and seq.isdecimal() and len(seq) <= 15) or not digest:
            wrong = f"{query.head[:80]!r} is not the head of an audit log"
            step = "give it as SEQ:HASH, as `pvctl audit --verify` prints it"
            raise CodedError(Code.invalid_params, wrong, next_step=step)
        noted = AuditHead(int(seq), digest)
    found = store.audit.verify(noted)
    return AuditVerification(
        found.broken_at is None, found.records, found.broken_at, found.reason, str(found.head), found.first
    )
