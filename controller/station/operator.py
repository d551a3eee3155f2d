"""What an operator decides about rollouts and PIDs by hand: written down first, acted on by the next pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.errors import Code, CodedError, ControllerError
from controller.model.desired import Deployment, Revision
from controller.model.observed import ActiveMapping
from controller.model.package import Installation, PackageRef
from controller.model.rollout import Hold, Instant, Rollout, RolloutRecord
from controller.model.timestamps import format_timestamp
from controller.reconciler.ports import Packages
from controller.rollouts.machine import promote
from controller.store.audit import AuditRecord
from controller.store.store import Store

VERBS = ("promote", "pause", "abort", "retry", "resume", "rollback")


@dataclass(frozen=True, slots=True)
class Wish:
    """One verb: on which deployment or PID, with which arguments, by whom."""

    verb: str
    subject: str
    arguments: Mapping[str, Any]
    actor: str

    @property
    def reason(self) -> str:
        return str(self.arguments.get("reason") or "no reason given")


class Operator:
    """Carries out verbs on one store. No pass may be deciding at the same time. `clock` gives the boot-time clock."""

    def __init__(self, store: Store, packages: Packages, clock: Callable[[], Instant]) -> None:
        self._store = store
        self._packages = packages
        self._clock = clock
        self._verbs: Mapping[str, Callable[[Wish, Revision], str]] = {
            "promote": self._promote,
            "pause": self._pause,
            "abort": self._abort,
            "retry": self._retry,
            "resume": self._resume,
            "rollback": self._rollback,
        }

    def carry_out(self, wish: Wish) -> str:
        """Write down what the operator wants; return a sentence about what will happen.

        Raises:
            CodedError: 1003, the verb does not apply: to that subject, or now.
            StoreError: it could not be written down or put on record.
        """
        revision = self._store.revision.read()
        if wish.verb not in self._verbs or revision is None:
            raise _refused(f"cannot {wish.verb}: there is no desired state in force", "run `pvctl reconcile --once`")
        self._audit(wish, revision, "started")
        try:
            said = self._verbs[wish.verb](wish, revision)
        except ControllerError as error:
            self._audit(wish, revision, f"failed: {error.message}")
            raise
        self._audit(wish, revision, "succeeded")
        return said

    def _promote(self, wish: Wish, revision: Revision) -> str:
        rollout, record = self._under_way(wish, revision)
        full = bool(wish.arguments.get("full"))
        if rollout.paused_by:
            raise _refused(
                f"the rollout of {rollout.target} is paused by {rollout.paused_by}",
                f"`pvctl resume {wish.subject}` first",
            )
        if rollout.state not in {"paused", "waiting", "sampling"} and not full:
            raise _refused(f"the rollout of {rollout.target} is not in a pause", "`--full` skips all pauses to come")
        self._store.rollouts.write(wish.subject, record.with_rollout(promote(rollout, self._clock(), full=full)))
        return f"{wish.subject}: the rollout of {rollout.target} goes on"

    def _pause(self, wish: Wish, revision: Revision) -> str:
        rollout, record = self._under_way(wish, revision)
        self._store.rollouts.write(wish.subject, record.with_rollout(replace(rollout, paused_by=wish.actor)))
        return f"{wish.subject}: paused until `pvctl resume {wish.subject}`"

    def _abort(self, wish: Wish, revision: Revision) -> str:
        rollout, record = self._under_way(wish, revision, also_promoted=True)
        aborted = f"aborted by {wish.actor}: {wish.reason}"
        self._store.rollouts.write(wish.subject, record.with_rollout(replace(rollout, aborted=aborted)))
        return f"{wish.subject}: {rollout.target} is rolled back and goes into quarantine"

    def _retry(self, wish: Wish, revision: Revision) -> str:
        deployment = _deployment(wish, revision)
        record = self._record(wish.subject)
        freed = record.without_quarantine(deployment.spec.ref)
        if freed == record:
            raise _refused(f"{deployment.spec.ref} is not in quarantine in {wish.subject}", "see `pvctl status`")
        self._store.rollouts.write(wish.subject, freed)
        return f"{wish.subject}: {deployment.spec.ref} is tried once more"

    def _resume(self, wish: Wish, revision: Revision) -> str:
        holds = self._store.rollouts.read_holds()
        pids = self._pids(wish, revision)
        freed = [pid for pid in pids if pid in holds]
        rollout = self._record(wish.subject).rollout
        paused = wish.subject in revision.by_name and rollout is not None and bool(rollout.paused_by)
        if not freed and not paused:
            raise _refused(f"nothing of {wish.subject} is paused or held", "see `pvctl status`")
        self._store.rollouts.write_holds(hold for pid, hold in holds.items() if pid not in freed)
        if rollout is not None and paused:
            record = self._record(wish.subject)
            self._store.rollouts.write(wish.subject, record.with_rollout(replace(rollout, paused_by="")))
        return f"{wish.subject}: follows the desired state again"

    def _rollback(self, wish: Wish, revision: Revision) -> str:
        installed = self._packages.installations()
        chosen = {pid: self._older(pid, wish, installed) for pid in self._pids(wish, revision)}
        now = format_timestamp(self._clock().epoch)
        emergency = bool(wish.arguments.get("emergency"))
        holds = self._store.rollouts.read_holds()
        for pid, package in chosen.items():
            holds[pid] = Hold(pid, package, wish.actor, now, wish.reason, emergency)
        self._store.rollouts.write_holds(holds.values())
        if wish.subject in revision.by_name:
            self._store.rollouts.write(wish.subject, self._record(wish.subject).with_rollout(None))
        moves = ", ".join(f"{pid} → {package}" for pid, package in chosen.items())
        return f"held until `pvctl resume {wish.subject}`: {moves}"

    def _older(self, pid: str, wish: Wish, installed: Mapping[PackageRef, Installation]) -> PackageRef:
        """The version to go back to: the one that was asked for, else the last other one in the PID's history."""
        mapping = self._store.active.read(pid)
        present = mapping.ref if isinstance(mapping, ActiveMapping) else None
        history = [entry.ref for entry in reversed(self._store.history.read(pid)) if entry.ref is not None]
        wanted = wish.arguments.get("to")
        for ref in history:
            if ref in installed and (ref.version == wanted if wanted else ref != present):
                pids = installed[ref].receipt.supported_pids
                if pids is not None and pid not in pids:
                    raise CodedError(
                        Code.activation_conflict, f"{ref} does not support {pid}", next_step="choose another"
                    )
                return ref
        why = (
            f"version {wanted} was never active there, or is not installed"
            if wanted
            else "no older version is installed"
        )
        raise _refused(f"cannot roll {pid} back: {why}", f"see `pvctl history {pid}`")

    def _under_way(
        self, wish: Wish, revision: Revision, *, also_promoted: bool = False
    ) -> tuple[Rollout, RolloutRecord]:
        _deployment(wish, revision)
        record = self._record(wish.subject)
        rollout = record.rollout
        if rollout is None or not (rollout.under_way or (also_promoted and rollout.state == "promoted")):
            raise _refused(f"no rollout of {wish.subject} is under way", "see `pvctl status`")
        return rollout, record

    def _record(self, deployment: str) -> RolloutRecord:
        return self._store.rollouts.read_all().get(deployment, RolloutRecord())

    @staticmethod
    def _pids(wish: Wish, revision: Revision) -> tuple[str, ...]:
        """The PIDs that a subject names: a deployment's, or the one itself."""
        if wish.subject in revision.by_name:
            return revision.by_name[wish.subject].spec.pids
        if wish.subject in revision.by_pid:
            return (wish.subject,)
        raise _refused(f"{wish.subject} is neither a deployment nor a PID", "see `pvctl status`")

    def _audit(self, wish: Wish, revision: Revision, outcome: str) -> None:
        kind = "deployment" if wish.subject in revision.by_name else "pid"
        self._store.audit.append(
            AuditRecord(
                wish.actor, revision.id, wish.verb, f"{kind}/{wish.subject}", None, dict(wish.arguments), wish.reason,
                outcome,
            )
        )  # fmt: skip


def _deployment(wish: Wish, revision: Revision) -> Deployment:
    if wish.subject not in revision.by_name:
        raise _refused(f"there is no deployment {wish.subject}", "see `pvctl status`")
    return revision.by_name[wish.subject]


def _refused(message: str, next_step: str) -> CodedError:
    return CodedError(Code.invalid_params, message, next_step=next_step)
