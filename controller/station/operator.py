"""Carries out what operators decide about rollouts and PIDs: written down first, acted on by the next pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from controller.errors import Code, CodedError, ControllerError, NotSynced
from controller.model.desired import Deployment, Revision
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.model.rollout import BY_PICTURES, Hold, Instant, RestartRequest, Rollout, RolloutRecord
from controller.model.timestamps import format_timestamp
from controller.processes.census import list_processes
from controller.reconciler.ports import Packages
from controller.rollouts.by_hand import HandRollback, of_deployment, way_back
from controller.rollouts.machine import can_be_passed, promote, replay_again
from controller.station.commands.operator import (
    Abort,
    Message,
    OperatorCommand,
    Pause,
    Promote,
    Restart,
    Resume,
    Retry,
    Rollback,
)
from controller.station.port import Caller
from controller.station.subjects import no_deployment, no_subject, no_way_back, refused
from controller.store.audit import AuditRecord
from controller.store.store import Store
from controller.store.unrecorded import Missing

_NO_REASON = "no reason given"


class Operator:
    """Carries out operators' commands on one store. No pass may be deciding meanwhile. `clock`: the boot-time clock."""

    def __init__(self, store: Store, packages: Packages, clock: Callable[[], Instant]) -> None:
        self._store = store
        self._packages = packages
        self._clock = clock

    def execute(self, command: OperatorCommand, caller: Caller) -> Message:
        """Write down what the operator wants; return a sentence about what will happen.

        Raises:
            CodedError: 1003, the command does not apply: to that subject, or now; 2006, the PID is not supported.
            StoreError: it could not be written down or put on record.
        """
        verb = type(command).__name__.lower()
        revision = self._store.revision.read()
        if revision is None:
            raise refused(f"cannot {verb}: there is no desired state in force", "run `pvctl reconcile --once`")
        decision = _Decision(self._store, self._packages, self._clock, revision, caller, verb)
        self._store.audit.append(_record(command, decision, "started"))
        try:
            message = decision.execute(command)
        except ControllerError as error:
            self._record_outcome(command, decision, f"failed: {error.message}")
            raise
        return Message(message + self._record_outcome(command, decision, "succeeded"))

    def _record_outcome(self, command: OperatorCommand, decision: _Decision, outcome: str) -> str:
        """Put on record what became of a decision; return what to say where that is done later: the decision stands."""
        missing = Missing(_record(command, decision, outcome), decision.unsynced)
        self._store.unrecorded.add([missing])
        failed = self._store.unrecorded.settle(self._store)
        why = failed.get(missing.outcome.object, "")
        return f" (not on record yet: {why})" if why else ""


def _record(command: OperatorCommand, decision: _Decision, outcome: str) -> AuditRecord:
    """Return what the audit has of a command."""
    verb, subject = type(command).__name__.lower(), subject_of(command)
    kind = "deployment" if subject in decision.revision.by_name else "pid"
    arguments = {
        name: value
        for name, value in asdict(command).items()
        if value and name not in {"deployment", "subject", "kind"}
    }
    return AuditRecord(
        decision.caller.name, decision.revision.id, verb, f"{kind}/{subject}", None, arguments,
        command.reason or _NO_REASON, outcome, decision.caller.worker,
    )  # fmt: skip


def subject_of(command: OperatorCommand) -> str:
    """Return the name of the deployment or the PID that a command is about."""
    return command.subject if isinstance(command, Resume | Rollback) else command.deployment


class _Decision:
    """One command against one revision; `verb` is its word."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        clock: Callable[[], Instant],
        revision: Revision,
        caller: Caller,
        verb: str,
    ) -> None:
        self._verb = verb
        self.revision = revision
        self.caller = caller
        self.unsynced: list[Path] = []
        """Folders of what is written, and only not confirmed by the disk."""
        self._store = store
        self._packages = packages
        self._clock = clock

    def execute(self, command: OperatorCommand) -> str:
        acts: Mapping[type[object], Callable[[Any], str]] = {
            Promote: self.promote, Pause: self.pause, Abort: self.abort, Retry: self.retry, Restart: self.restart,
            Resume: self.resume, Rollback: self.rollback,
        }  # fmt: skip
        return acts[type(command)](command)

    def promote(self, command: Promote) -> str:
        rollout, record = self._under_way(command.deployment)
        if rollout.paused_by:
            raise refused(
                f"the rollout of {rollout.target} is paused by {rollout.paused_by}",
                f"`pvctl resume {command.deployment}` first",
            )
        if not (can_be_passed(rollout) or command.full):
            raise refused(
                f"the rollout of {rollout.target} is not in a pause, a replay or a shadow",
                "`--full` skips all of them to come",
            )
        self._save(command.deployment, record.with_rollout(promote(rollout, self._clock(), full=command.full)))
        passed = f"passes {rollout.present_step}" if rollout.state in BY_PICTURES else "goes on"
        return f"{command.deployment}: the rollout of {rollout.target} {passed}"

    def pause(self, command: Pause) -> str:
        rollout, record = self._under_way(command.deployment)
        self._save(command.deployment, record.with_rollout(replace(rollout, paused_by=self.caller.shown)))
        return f"{command.deployment}: paused until `pvctl resume {command.deployment}`"

    def abort(self, command: Abort) -> str:
        rollout, record = self._under_way(command.deployment, also_promoted=True)
        aborted = f"aborted by {self.caller.shown}: {command.reason or _NO_REASON}"
        self._save(command.deployment, record.with_rollout(replace(rollout, aborted=aborted)))
        return f"{command.deployment}: {rollout.target} is rolled back and goes into quarantine"

    def retry(self, command: Retry) -> str:
        package = self._deployment(command.deployment).spec.ref
        record = self._record(command.deployment)
        rollout = record.rollout
        if rollout is not None and (rollout.state, rollout.target, rollout.aborted) == ("replaying", package, ""):
            self._save(command.deployment, record.with_rollout(replay_again(rollout)))
            return f"{command.deployment}: {rollout.present_step} begins anew, with what is recorded by now"
        freed = record.without_quarantine(package)
        if freed == record:
            raise refused(
                f"{package} is neither in quarantine nor in a replay in {command.deployment}", "see `pvctl status`"
            )
        self._save(command.deployment, freed)
        return f"{command.deployment}: {package} is tried once more"

    def restart(self, command: Restart) -> str:
        name = self._deployment(command.deployment).name
        running = [each for each in list_processes(self._store.layout) if each.key.deployment == name and each.os_pid]
        if not running:
            raise refused(f"no process of {name} runs", "see `pvctl status`")
        processes = tuple((str(each.key), each.started_at) for each in running)
        asked = RestartRequest(self.caller.shown, command.reason or _NO_REASON, processes)
        self._save(name, replace(self._record(name), restart=asked))
        return f"{name}: {len(running)} of its processes are restarted, one after the other"

    def resume(self, command: Resume) -> str:
        subject, holds = command.subject, self._store.rollouts.read_holds()
        freed = [pid for pid in self._pids(command, holds) if pid in holds]
        record = self._record(subject) if self._is_deployment(command) else RolloutRecord()
        paused = record.rollout is not None and bool(record.rollout.paused_by)
        if not freed and not paused:
            raise refused(f"nothing of {subject} is paused or held", "see `pvctl status`")
        # where one PID of a deployment that was rolled back follows git again, the others are held each for itself
        left = {holds[pid].deployment for pid in freed} - {subject, ""}
        kept = [hold for pid, hold in holds.items() if pid not in freed]
        changed = [replace(each, deployment="") if each.deployment in left else each for each in kept]
        self._write(lambda: self._store.rollouts.write_holds(changed))
        if record.rollout is not None and paused:
            self._save(subject, record.with_rollout(replace(record.rollout, paused_by="")))
        return f"{subject}: follows the desired state again"

    def rollback(self, command: Rollback) -> str:
        pids = self._pids(command)
        observed = self._observed(pids)
        if not self._is_deployment(command):
            [pid] = pids
            self._hold(command, {pid: self._older(pid, command, observed)})
            return f"held until `pvctl resume {pid}`: {pid} → {self._store.rollouts.read_holds()[pid].package}"
        deployment = self.revision.by_name[command.subject]
        decided = of_deployment(deployment, observed, command.to)
        if not decided.moves and (decided.stuck or not decided.stays):
            raise no_way_back(next(iter(decided.stuck), pids[0]), command.to, observed)
        self._hold(command, decided.moves, decided.stays)
        if command.subject not in observed.lost:
            self._save(command.subject, observed.records.get(command.subject, RolloutRecord()).with_rollout(None))
        return f"held until `pvctl resume {command.subject}`: {_told(deployment, decided, observed)}"

    def _hold(
        self, command: Rollback, moves: Mapping[str, PackageRef], stays: Mapping[str, PackageRef] | None = None
    ) -> None:
        """Hold PIDs where they shall go, and for a whole deployment also where they are."""
        holds, now = self._store.rollouts.read_holds(), format_timestamp(self._clock().epoch)
        whole, reason = "" if stays is None else command.subject, command.reason or _NO_REASON
        for pid, package in {**(stays or {}), **moves}.items():
            emergency = command.emergency and pid in moves
            holds[pid] = Hold(pid, package, self.caller.shown, now, reason, emergency, whole)
        self._write(lambda: self._store.rollouts.write_holds(holds.values()))

    def _observed(self, pids: Iterable[str]) -> Observed:
        """Return what a rollback may know: versions, mappings, histories, and what is on record."""
        memory = self._store.rollouts.memory()
        return Observed(
            installed=self._packages.installations(),
            active=self._store.active.read_all(),
            history={pid: self._store.history.read(pid) for pid in pids},
            records=memory.records,
            holds=memory.holds,
            lost=memory.lost,
        )

    def _older(self, pid: str, command: Rollback, observed: Observed) -> PackageRef:
        """The version that one PID goes back to: the one that was asked for, else its way back."""
        deployment = self.revision.by_pid[pid]
        if pid in deployment.spec.pinned:
            raise refused(
                f"{pid} is pinned to {deployment.spec.pinned[pid]}: a pinned PID moves only by its pin",
                f"change spec.pinned of deployment {deployment.name} in the desired state",
            )
        record = observed.records.get(deployment.name, RolloutRecord())
        chosen = way_back(pid, observed, record, command.to)
        if chosen is not None:
            return chosen
        for entry in observed.history.get(pid, ()):
            if command.to and entry.ref in observed.installed and entry.version == command.to:
                text = f"{entry.ref} does not support {pid}"
                raise CodedError(Code.activation_conflict, text, next_step="choose another")
        raise no_way_back(pid, command.to, observed)

    def _under_way(self, deployment: str, *, also_promoted: bool = False) -> tuple[Rollout, RolloutRecord]:
        self._deployment(deployment)
        record = self._record(deployment)
        rollout = record.rollout
        if rollout is None or not (rollout.under_way or (also_promoted and rollout.state == "promoted")):
            raise refused(f"no rollout of {deployment} is under way", "see `pvctl status`")
        return rollout, record

    def _record(self, deployment: str) -> RolloutRecord:
        return self._store.rollouts.record(deployment)

    def _save(self, deployment: str, record: RolloutRecord) -> None:
        self._write(lambda: self._store.rollouts.write(deployment, record))

    def _write(self, write: Callable[[], object]) -> None:
        try:
            write()
        except NotSynced as error:
            self.unsynced.append(error.folder)

    def _deployment(self, name: str) -> Deployment:
        if name not in self.revision.by_name:
            raise no_deployment(name, self.revision, self._verb)
        return self.revision.by_name[name]

    def _is_deployment(self, command: Resume | Rollback) -> bool:
        return command.kind != "pid" and command.subject in self.revision.by_name

    def _pids(self, command: Resume | Rollback, held: Collection[str] = ()) -> tuple[str, ...]:
        """The PIDs that a subject names: a deployment's, or the one itself, also one of `held` that none has now."""
        if self._is_deployment(command):
            return self.revision.by_name[command.subject].spec.pids
        if command.subject in self.revision.by_pid or command.subject in held:
            return (command.subject,)
        raise no_subject(command.subject, self.revision, command.kind)


def _told(deployment: Deployment, decided: HandRollback, observed: Observed) -> str:
    """Say where every PID of a deployment that is rolled back goes or stays."""
    pinned = [f"{pid} stays: pinned to {version}" for pid, version in deployment.spec.pinned.items()]
    held = [
        f"{pid} stays: held on {hold.package} by {hold.actor}"
        for pid, hold in observed.holds.items()
        if pid in deployment.spec.pids
        and not {pid} & {*decided.moves, *decided.stays, *decided.stuck, *deployment.spec.pinned}
    ]
    stays = [f"{pid} stays on {ref}" for pid, ref in decided.stays.items()]
    stuck = [f"{pid} stays: it has no older version" for pid in decided.stuck]
    return ", ".join([*(f"{pid} → {ref}" for pid, ref in decided.moves.items()), *stays, *held, *pinned, *stuck])
