"""An act: an action on somebody's behalf, what became of it, and what the audit has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from controller.errors import Code, CodedError, ControllerError
from controller.model.actions import (
    Action,
    Deactivate,
    Install,
    Preheat,
    RemovePackage,
    Replay,
    Retire,
    SaveRollout,
    Switch,
)
from controller.model.desired import Revision
from controller.model.objects import ObjectRef
from controller.model.package import PackageRef
from controller.store.audit import AuditRecord


@dataclass(frozen=True, slots=True)
class Act:
    """An action, the revision that it is for, who wants it, and the worker for whom."""

    action: Action
    revision: Revision
    actor: str
    worker: str = ""

    @property
    def object(self) -> ObjectRef:
        return self.action.object


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of an action. `error` None: it succeeded. Not `begun`: something that it depends on failed."""

    action: Action
    error: ControllerError | None = None
    begun: bool = True


REPORTED = {"reported": True}
"""Marks a record of the log whose words whoever asked has been told already: a command's stderr has them once."""
Weight = Literal["normal", "warning", "error"]
"""How much the result of an act matters to who watches the log."""


def weight_of(result: ActionResult) -> Weight:
    """Return how much a result matters.

    `error`: something that is desired could not be done, or a version has failed; somebody has to look. `warning`: the
    station went another way than the desired state, and goes on.
    """
    action = result.action
    if result.error is not None:
        return "error" if result.begun else "warning"
    if isinstance(action, SaveRollout) and (rollout := action.record.rollout) is not None and rollout.failed:
        return "warning" if rollout.state == "reverted" or rollout.aborted else "error"
    return "warning" if isinstance(action, Switch) and action.diverges else "normal"


def stopping() -> CodedError:
    """Return what somebody is told whose command comes, or is still being worked on, when the controller ends."""
    return CodedError(Code.not_initialized, "the controller is stopping; nothing was done", next_step="ask again")


def audit_record(act: Act, outcome: str) -> AuditRecord:
    """Return what the audit has of an act, as of its intent or its outcome."""
    action = act.action
    before, after = _before_and_after(action)
    return AuditRecord(
        act.actor,
        act.revision.id,
        action.kind,
        str(action.object),
        before,
        after,
        action.reason,
        outcome,
        act.worker,
    )


def package_of(action: Action) -> str | None:
    """Return the package that an action is about, for the log."""
    match action:
        case Install(package=package) | RemovePackage(package=package) | Switch(target=package):
            return str(package)
        case Replay(key=key):
            return str(key.target)
        case Preheat(process=process) | Retire(process=process):
            return str(process.ref)
        case _:
            return None


def _before_and_after(action: Action) -> tuple[Any, Any]:
    match action:
        case Switch(before=before, target=target, deployment=deployment):
            return _plain(before), {"name": target.name, "version": target.version, "deployment": deployment}
        case Deactivate(before=before):
            return _plain(before), None
        case Install(digest=digest):
            return None, digest
        case RemovePackage(digest=digest):
            return digest or None, None
        case _:
            return None, None


def _plain(ref: PackageRef | None) -> Any:
    return ref and {"name": ref.name, "version": ref.version}
