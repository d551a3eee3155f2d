"""Recover: what a controller does once, at start, about work that an earlier one left unfinished."""

from __future__ import annotations

from collections.abc import Callable

from controller.errors import StoreError
from controller.model.objects import ObjectRef
from controller.model.observed import ActiveMapping, HistoryEntry
from controller.model.package import PackageRef
from controller.model.status_document import AuditRow
from controller.reconciler.ports import Packages
from controller.store.audit import AuditHead, AuditRecord
from controller.store.store import Store

Notify = Callable[[str], None]


def recover(store: Store, packages: Packages, actor: str, notify: Notify) -> None:
    """Remove leftovers and put on record the switches that a killed controller made but did not record.

    Raises StoreError.
    """
    for name in packages.sweep():
        notify(f"removed the leftover {name} of an interrupted installation")
    with store.lock.held():
        for name in store.active.sweep():
            notify(f"removed the leftover active/{name} of an interrupted switch")
    store.rollouts.keep_copies()
    store.unrecorded.settle(store)
    _note_missing_tail(store, actor, notify)
    for pid, intent in _unfinished_switches(store).items():
        try:
            _complete(store, pid, intent, actor, notify)
        except StoreError as error:  # only that PID's record: the next start tries again
            notify(f"{ObjectRef('pid', pid)}: an interrupted {intent['action']} is not on record yet: {error}")


def _note_missing_tail(store: Store, actor: str, notify: Notify) -> None:
    """Put on record that the audit log ends before the head that the last status carries: that head goes away now."""
    noted, head = AuditHead.noted_in(store.status.read()), store.audit.head()
    if head.seq >= noted.seq:
        return
    reason = f"records up to {noted.seq} were noted in the last status, the log ended at {head.seq}"
    act = ("audit.gap", "audit", f"{noted.seq}:{noted.hash}", f"{head.seq}:{head.hash}")
    store.audit.append(AuditRecord(actor, "", *act, reason, "succeeded"))
    notify(f"audit: its tail was removed: {reason}")


def _unfinished_switches(store: Store) -> dict[str, AuditRow]:
    """Return the switches and deactivations whose last audit record says that they were started, by PID."""
    last = {}
    for record in store.audit.read_tail():
        if record["action"] in {"switch", "deactivate"}:
            last[record["object"].removeprefix("pid/")] = record
    return {pid: record for pid, record in last.items() if record["outcome"] == "started"}


def _complete(store: Store, pid: str, intent: AuditRow, actor: str, notify: Notify) -> None:
    """Add what is missing of one switch: its history entry, if it took place, and its outcome."""
    mapping = store.active.read(pid)
    wanted = intent["after"] and PackageRef(intent["after"]["name"], intent["after"]["version"])
    took_place = mapping is None if wanted is None else isinstance(mapping, ActiveMapping) and mapping.ref == wanted
    history = store.history.read(pid)
    if took_place and (not history or history[-1].ref != wanted):
        store.history.append(pid, _missing_entry(intent, mapping, actor))
    outcome = "succeeded" if took_place else "failed: interrupted before the mapping changed"
    act = (intent["action"], intent["object"], intent["before"], intent["after"])
    store.audit.append(AuditRecord(actor, intent["revision"], *act, "found unfinished at start", outcome))
    notify(f"{ObjectRef('pid', pid)}: an interrupted {intent['action']} is now on record: {outcome}")


def _missing_entry(intent: AuditRow, mapping: object, actor: str) -> HistoryEntry:
    after = intent["after"] or {"name": None, "version": None, "deployment": None}
    at = mapping.activated_at if isinstance(mapping, ActiveMapping) else intent["time"]
    reason = f"{intent['reason']} (recorded after an interruption)"
    return HistoryEntry(
        at, after["name"], after["version"], after["deployment"], intent["revision"], actor, reason
    )  # fmt: skip
