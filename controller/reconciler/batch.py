"""A batch: acts on the store's small files done together, so that the disk is waited for once where once is enough.

The order is what makes it safe to be killed between any two writes:

| | what is written | synced | killed behind it, a start finds |
|---|---|---|---|
| 1 | the intents of all, in one append of the audit | once | intents without any effect: nothing took place |
| 2 | the decisions: records of rollouts | each | a decision that the next pass acts on |
| 3 | the mappings, each by a rename of its own | each, their folder once | some moved, without history: it is added |
| 4 | the history of each PID that moved | each | moved and on record, but for the outcome: it is added |
| 5 | the outcomes of all, in one append of the audit | once | all that was acknowledged |

One object's failure is its own. What depends on an object that failed in the batch is not begun; the audit says so.
What was renamed has happened: where the disk then fails, what is missing of the record is completed later
(`store/unrecorded.py`), by the next batch or pass, or from the intents by the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.errors import ControllerError, NotSynced, StoreError
from controller.model.actions import Action, Deactivate, SaveRollout, Switch
from controller.model.objects import ObjectRef
from controller.model.observed import ActiveMapping, HistoryEntry
from controller.reconciler.acts import REPORTED, Act, ActionResult, audit_record
from controller.store.store import Store
from controller.store.unrecorded import Missing

log = logging.getLogger(__name__)

MOST_ACTS = 32
"""Acts of one batch: what recovery reads of the audit holds the intents of one, and no PID waits for many others."""


def is_batched(action: Action) -> bool:
    """Whether an action is one that batches are made of."""
    return isinstance(action, SaveRollout | Switch | Deactivate)


@dataclass(slots=True)
class Batch:
    """Acts that are performed together, once, in a thread that may wait for the disk.

    Each depends on earlier ones of the batch at most. `now` is an RFC 3339 clock, `notify` for people.
    """

    store: Store
    acts: Sequence[Act]
    now: Callable[[], str]
    notify: Callable[[str], None]
    _errors: dict[ObjectRef, ControllerError] = field(default_factory=dict, init=False)
    _not_begun: set[ObjectRef] = field(default_factory=set, init=False)
    _unsynced: dict[ObjectRef, Path] = field(default_factory=dict, init=False)
    _unnoted: dict[ObjectRef, tuple[str, HistoryEntry]] = field(default_factory=dict, init=False)

    def perform(self) -> tuple[ActionResult, ...]:
        """Perform the acts and return their results. Failures are among those: it does not raise.

        What took place succeeded, also where the disk does not take the record of it: that is completed later.
        """
        self.store.unrecorded.settle(self.store)  # first, so that the records keep their order
        try:
            self.store.audit.append(*(audit_record(act, "started") for act in self.acts))
        except StoreError as error:  # what is not on record must not happen
            self._errors = {act.object: error for act in self.acts}
        else:
            self._save_decisions()
            self._leave_out_what_depends_on_failures()
            self._note_history(self._move())
            self._record_outcomes()
        return tuple(
            ActionResult(act.action, self._errors.get(act.object), act.object not in self._not_begun)
            for act in self.acts
        )

    def _record_outcomes(self) -> None:
        """Put what became of all on record at once; but for what is not complete, or does not find room: later."""
        outcomes = {act.object: audit_record(act, self._outcome(act)) for act in self.acts}
        late = {object_: outcomes.pop(object_) for object_ in (*self._unsynced, *self._unnoted) if object_ in outcomes}
        try:
            if outcomes:
                self.store.audit.append(*outcomes.values())
        except StoreError as error:
            self._tell_missing(str(error))
            late = outcomes | late
        self.store.unrecorded.add(
            Missing(
                outcome,
                [self._unsynced[object_]] if object_ in self._unsynced else [],
                self._unnoted.get(object_),
            )
            for object_, outcome in late.items()
        )

    def _outcome(self, act: Act) -> str:
        return f"failed: {self._errors[act.object]}" if act.object in self._errors else "succeeded"

    def _tell_missing(self, why: str) -> None:
        self.notify(f"not on record yet: {why}")
        log.warning("not on record yet: %s", why, extra=REPORTED)

    def _save_decisions(self) -> None:
        for act in self.acts:
            if isinstance(action := act.action, SaveRollout):
                self._try(action.object, self.store.rollouts.write, action.deployment, action.record)

    def _leave_out_what_depends_on_failures(self) -> None:
        for act in self.acts:
            for each in act.action.depends_on:
                if each in self._errors or each in self._unsynced:  # a decision is on the disk before it is acted on
                    why = "failed" if each in self._errors else "is not on the disk yet"
                    self._errors[act.object] = ControllerError(f"not begun: {each} {why}")
                    self._not_begun.add(act.object)
                    break

    def _move(self) -> list[tuple[Act, HistoryEntry]]:
        """Change the mappings; return the acts that did, with what is to be noted of them."""
        moves = [(act, entry) for act in self.acts if (entry := _entry(act, self.now)) and not self._failed(act)]
        if not moves:
            return []
        try:
            with self.store.lock.held():
                self._write_mappings(moves)
        except StoreError as error:
            self._errors = {act.object: error for act, _ in moves} | self._errors
        return [(act, entry) for act, entry in moves if not self._failed(act)]

    def _write_mappings(self, moves: Sequence[tuple[Act, HistoryEntry]]) -> None:
        switches = {
            act.action.pid: ActiveMapping(act.action.target.name, act.action.target.version, entry.at)
            for act, entry in moves
            if isinstance(act.action, Switch)
        }
        if switches:
            failures = self.store.active.write_all(switches, self._names_an_installed_package)
            for pid, error in failures.items():
                self._fail(ObjectRef("pid", pid), error)
        for act, _ in moves:
            if isinstance(act.action, Deactivate):
                self._try(act.object, self.store.active.remove, act.action.pid)

    def _names_an_installed_package(self, mapping: ActiveMapping) -> None:
        if not self.store.layout.receipt(mapping.ref).is_file():
            raise StoreError(f"{mapping.ref} is not installed any more; the mapping stays as it was")

    def _note_history(self, moved: Sequence[tuple[Act, HistoryEntry]]) -> None:
        for act, entry in moved:
            pid = str(act.object.name)
            try:
                self.store.history.append(pid, entry)
            except StoreError as error:
                self._tell_missing(str(error))
                self._unnoted[act.object] = pid, entry
            except Exception as defect:  # noqa: BLE001 - one bad object never stops the others
                self._fail(act.object, defect)

    def _failed(self, act: Act) -> bool:
        return act.object in self._errors

    def _try(self, object_: ObjectRef, step: Callable[..., object], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - one bad object never stops the others
            self._fail(object_, error)

    def _fail(self, object_: ObjectRef, error: Exception) -> None:
        """Note an error; what is in place, and only not confirmed by the disk, has happened."""
        if isinstance(error, NotSynced):
            self._tell_missing(str(error))
            self._unsynced[object_] = error.folder
            return
        if not isinstance(error, ControllerError):
            log.error("%s: a defect of the controller", object_, exc_info=error)
            error = ControllerError(f"a defect of the controller: {error!r}; see its log")
        self._errors[object_] = error


def _entry(act: Act, now: Callable[[], str]) -> HistoryEntry | None:
    """Return what a PID's history shall have of an act; None for one that moves no PID."""
    action, revision = act.action, act.revision.id
    match action:
        case Switch(target=target):
            return HistoryEntry(
                now(), target.name, target.version, action.deployment, revision, act.actor, action.reason,
                action.digest or None,
            )  # fmt: skip
        case Deactivate():
            return HistoryEntry(now(), None, None, None, revision, act.actor, action.reason)
        case _:
            return None
