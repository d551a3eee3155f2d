"""What `pvctl activate` and `pvctl switch` do: a version is made ready, then each PID gets it by a switch of its own.

A PID that a deployment has is held, as `pvctl rollback` holds it; one that none has needs no hold. Until a version is
ready nothing is written down, and what is refused leaves its PID as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from controller.calls.request import require_pid
from controller.errors import Code, CodedError, ControllerError, NotSynced, PackageError, StartFailed
from controller.model.actions import Preheat
from controller.model.actions import Switch as SwitchAct
from controller.model.desired import Deployment, Revision
from controller.model.objects import ObjectRef
from controller.model.observed import HELD_BY, Observed
from controller.model.package import PackageRef
from controller.model.rollout import HOLDS, Hold, Instant
from controller.model.timestamps import format_timestamp
from controller.model.unmanaged import stand_in
from controller.planning.reasons import why_preheat
from controller.planning.serving import replicas
from controller.reconciler.acts import ActionResult
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.rollouts.resolution import resolve, unsupported_pids, unsupported_reason
from controller.rollouts.view import StationView
from controller.station.between import NO_REVISION, BetweenPasses
from controller.station.commands.activating import Activation, GiveVersion, PidOutcome, Switch
from controller.station.commands.packages import ErrorRow
from controller.station.port import Caller
from controller.station.subjects import installed_instead
from controller.store.audit_chain import AuditRecord
from controller.store.store import Store
from controller.store.unrecorded import Missing

_ROUNDS = 5
"""How often processes are started before it is said that they do not stay."""
_LOOK_S = 0.1
"""Seconds between two looks at a process that is being adopted."""
_BY_HAND = "activated by hand"


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is in force, and what there is, at one moment between two passes."""

    revision: Revision
    observed: Observed
    now: Instant

    def place(self, pid: str, package: PackageRef) -> Deployment:
        """Return the deployment whose processes answer a PID, or what stands in its place."""
        return self.revision.by_pid.get(pid) or stand_in(self.revision, package.name, (pid,))

    def missing(self, place: Deployment, package: PackageRef) -> dict[ObjectRef, Preheat]:
        """Return the acts that make a version's processes ready, by process."""
        station = StationView(self.revision, self.observed, self.now)
        return {
            action.object: action
            for key in replicas(place, package)
            if (why := why_preheat(station, key))
            for action in [Preheat(key, f"{_BY_HAND}: {why}", smoke=place.spec.preheat.smoke)]
        }

    def adopting(self, object_: ObjectRef) -> bool:
        """Whether a process is there that has not answered this controller yet."""
        return any(key == object_.name and each.state == "adopting" for key, each in self.observed.processes.items())


class _Holding(NamedTuple):
    """What holds a PID now, and what held it before."""

    now: Hold
    before: Hold | None


@dataclass(slots=True)
class _Moves:
    """What became of the PIDs of one command so far."""

    before: dict[str, PackageRef | None] = field(default_factory=dict)
    refused: dict[str, ControllerError] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    begun: dict[str, asyncio.Future[ActionResult]] = field(default_factory=dict)
    holds: dict[str, _Holding] = field(default_factory=dict)
    """The PIDs that are held now."""


@dataclass(frozen=True, slots=True)
class Activations:
    """Activates versions by hand on one store, beside its passes. `clock`: the boot-time clock."""

    store: Store
    observer: Observer
    applier: Applier
    between_passes: BetweenPasses
    clock: Callable[[], Instant]

    async def execute(self, command: GiveVersion, caller: Caller) -> Activation:
        """Have a version answer PIDs; return what became of each.

        Whoever asked may leave: what was begun goes on.

        Raises:
            CodedError: every PID was refused; the first one's error, with all in its details.
            StoreError: the store cannot be read.
        """
        return await asyncio.shield(asyncio.ensure_future(self._execute(command, caller)))

    async def _execute(self, command: GiveVersion, caller: Caller) -> Activation:
        package, moves = PackageRef(command.name, command.version), _Moves()
        scene = await self.between_passes(self._look)
        moves.refused = _refusals(command, scene)
        places = {pid: scene.place(pid, package) for pid in command.pid if pid not in moves.refused}
        distinct = {each.name: each for each in places.values()}
        keys = [key for each in distinct.values() for key in replicas(each, package)]
        with self.observer.keeping(keys):
            failures = await asyncio.gather(
                *(self._make_ready(each, package, caller) for each in distinct.values())
            )  # fmt: skip
            failed = {name: error for name, error in zip(distinct, failures, strict=True) if error is not None}
            moves.refused |= {pid: failed[each.name] for pid, each in places.items() if each.name in failed}
            await self._move(command, caller, moves)
        return _told(command, moves)

    async def _look(self) -> _Scene:
        revision = await asyncio.to_thread(self.store.revision.read) or NO_REVISION
        return _Scene(revision, await self.observer.observe(revision, {}), self.clock())

    # Making a version ready.

    async def _make_ready(self, place: Deployment, package: PackageRef, caller: Caller) -> ControllerError | None:
        """Have every process of a version ready; return why that cannot be."""
        for _ in range(_ROUNDS):
            begun: list[Awaitable[ActionResult | None]] = await self.between_passes(
                lambda: self._begin_missing(place, package, caller)
            )
            if not begun:
                return None
            for result in await asyncio.gather(*begun):
                if result is not None and result.error is not None:
                    return result.error
        return StartFailed(f"the processes of {package} do not stay", next_step=f"see `pvctl logs {place.name}`")

    async def _begin_missing(
        self, place: Deployment, package: PackageRef, caller: Caller
    ) -> list[Awaitable[ActionResult | None]]:
        scene = await self._look()
        begun: list[Awaitable[ActionResult | None]] = []
        for object_, action in scene.missing(place, package).items():
            if self.applier.works_on(object_):
                begun.append(self.applier.settled(object_))
            elif scene.adopting(object_):
                begun.append(asyncio.sleep(_LOOK_S))
            else:
                act = self.applier.begin(action, scene.revision, caller.name, caller.worker)
                begun.append(self.applier.result_of(act))
        return begun

    # Moving PIDs.

    async def _move(self, command: GiveVersion, caller: Caller, moves: _Moves) -> None:
        while busy := await self.between_passes(lambda: self._begin_moves(command, caller, moves)):
            await asyncio.gather(*(self.applier.settled(each) for each in busy))
        for pid, begun in moves.begun.items():
            if (error := (await self.applier.result_of(begun)).error) is not None:
                moves.refused[pid] = error
        if lost := [moves.holds[pid] for pid in moves.refused if pid in moves.holds]:
            await self.between_passes(lambda: asyncio.to_thread(self._withdraw, lost, caller))

    async def _begin_moves(self, command: GiveVersion, caller: Caller, moves: _Moves) -> list[ObjectRef]:
        """Begin the switch of each PID that may move; return what is still being worked on, and then begin none."""
        package, scene = PackageRef(command.name, command.version), await self._look()
        moves.refused = _refusals(command, scene) | moves.refused
        going = [pid for pid in command.pid if pid not in moves.refused]
        if busy := [each for pid in going if self.applier.works_on(each := ObjectRef("pid", pid))]:
            return busy
        for pid in going:
            if scene.missing(scene.place(pid, package), package):
                moves.refused[pid] = StartFailed(f"the process of {package} ended again", next_step="try once more")
        going = [pid for pid in going if pid not in moves.refused]
        moves.before = {pid: scene.observed.mapped_ref(pid) for pid in command.pid}
        managed = [pid for pid in going if pid in scene.revision.by_pid]
        if managed:
            try:
                moves.holds = await asyncio.to_thread(self._hold, managed, package, command.reason, caller, scene)
            except ControllerError as error:
                moves.refused |= dict.fromkeys(managed, error)
        for pid in going:
            if pid in moves.refused:
                continue
            if scene.observed.active_ref(pid) == package:
                moves.unchanged.add(pid)
                continue
            action = _switch(pid, package, command.reason, caller, scene)
            moves.begun[pid] = self.applier.begin(action, scene.revision, caller.name, caller.worker)
        return []

    def _hold(
        self, pids: Iterable[str], package: PackageRef, reason: str, caller: Caller, scene: _Scene
    ) -> dict[str, _Holding]:
        """Hold PIDs on a version, on record; return that, with the holds that they had. Raises StoreError."""
        holds = self.store.rollouts.read_holds()
        at = format_timestamp(scene.now.epoch)
        made = {pid: _Holding(Hold(pid, package, caller.shown, at, reason), holds.get(pid)) for pid in pids}
        holds |= {pid: each.now for pid, each in made.items()}
        revision = scene.revision.id
        self._write(holds, [_record(each.before, each.now, reason, caller, revision) for each in made.values()])
        return made

    def _withdraw(self, made: Iterable[_Holding], caller: Caller) -> None:
        """Have PIDs held as they were before, on record: their switches failed. What was decided since stays.

        Raises StoreError.
        """
        holds, revision = self.store.rollouts.read_holds(), (self.store.revision.read() or NO_REVISION).id
        ours = [each for each in made if holds.get(each.now.pid) == each.now]
        for now, before in ours:
            del holds[now.pid]
            if before is not None:
                holds[now.pid] = before
        if ours:
            why = "withdrawn: the switch failed"
            self._write(holds, [_record(each.now, each.before, why, caller, revision) for each in ours])

    def _write(self, holds: Mapping[str, Hold], records: Sequence[AuditRecord]) -> None:
        """Write holds down with their records. Raises StoreError."""
        self.store.audit.append(*(replace(each, outcome="started") for each in records))
        unsynced = []
        try:
            self.store.rollouts.write_holds(holds.values())
        except NotSynced as error:
            unsynced.append(error.folder)
        self.store.unrecorded.add(Missing(each, unsynced) for each in records)
        self.store.unrecorded.settle(self.store)


def _record(before: Hold | None, after: Hold | None, reason: str, caller: Caller, revision: str) -> AuditRecord:
    """Return the record of a hold that is made, or withdrawn."""
    [pid] = {each.pid for each in (before, after) if each is not None}
    was, becomes = (
        {"name": each.package.name, "version": each.package.version} if each is not None else None
        for each in (before, after)
    )
    return AuditRecord(caller.name, revision, "hold", f"pid/{pid}", was, becomes, reason, "succeeded", caller.worker)


def _switch(pid: str, package: PackageRef, reason: str, caller: Caller, scene: _Scene) -> SwitchAct:
    deployment, observed = scene.revision.by_pid.get(pid), scene.observed
    why = f"{_BY_HAND}: {reason}" if reason else _BY_HAND
    return SwitchAct(
        pid,
        deployment.name if deployment else None,
        observed.active_ref(pid),
        package,
        f"{HELD_BY}{caller.shown}: {reason}" if deployment else why,
        digest=observed.installed[package].receipt.digest,
        diverges=deployment is not None,
    )


def _refusals(command: GiveVersion, scene: _Scene) -> dict[str, ControllerError]:
    """Return why PIDs cannot have the version that a command names."""
    checked = ((pid, _refusal(pid, command, scene)) for pid in command.pid)
    return {pid: error for pid, error in checked if error is not None}


def _refusal(pid: str, command: GiveVersion, scene: _Scene) -> ControllerError | None:
    package, observed, revision = PackageRef(command.name, command.version), scene.observed, scene.revision
    try:
        require_pid(pid)
    except CodedError as error:
        return error
    if package not in observed.installed:
        return _conflict(f"{package} is not installed", installed_instead(package.name, observed))
    resolution = resolve(package, None, observed)
    if unsupported_pids(resolution, [pid], allow_undeclared=revision.policy.allow_undeclared_pids):
        return _conflict(*unsupported_reason(resolution, [pid]))
    if isinstance(command, Switch) and observed.mapped_ref(pid) is None:
        return _conflict(f"no version answers {pid}: there is nothing to switch from", "activate the version instead")
    twins = [each for each in {*observed.active, *revision.by_pid} if each != pid and each.casefold() == pid.casefold()]
    if twins:
        return _conflict(f"{pid} differs only in case from {twins[0]}", "on some disks they are one file; take another")
    deployment = revision.by_pid.get(pid)
    return _held_refusal(pid, command, deployment, observed) if deployment is not None else None


def _held_refusal(pid: str, command: GiveVersion, deployment: Deployment, observed: Observed) -> ControllerError | None:
    """Return why a PID that a deployment has cannot be held on another version."""
    name = deployment.name
    if not command.hold:
        return _conflict(
            f"the desired state manages {pid}: deployment {name} has it",
            f"change deployment {name}, or ask for a hold with a reason: it lasts until `pvctl resume {pid}`",
        )
    if (pinned := deployment.spec.pinned.get(pid)) is not None:
        return _conflict(
            f"{pid} is pinned to {pinned}: a pinned PID moves only by its pin", f"change deployment {name}"
        )
    if deployment.spec.suspend:
        return _conflict(f"deployment {name} is suspended: nothing of it is changed", "set suspend: false first")
    if why := observed.lost.get(HOLDS):
        return _conflict(f"which PIDs are held is not known: {why}", "make the file readable, or move it aside")
    return None


def _conflict(message: str, next_step: str) -> PackageError:
    return PackageError(Code.activation_conflict, message, next_step=next_step)


def _told(command: GiveVersion, moves: _Moves) -> Activation:
    """Return what became of each PID. Raises CodedError where all were refused."""
    package = PackageRef(command.name, command.version)
    outcomes = tuple(_outcome(pid, package, moves) for pid in command.pid)
    if all(each.error is not None for each in outcomes):
        errors = [_coded(moves.refused[pid]) for pid in command.pid]
        first, told = errors[0], dict.fromkeys(str(each) for each in errors)
        raise type(first)(
            first.code, "; ".join(told), details=first.details | {"pids": [asdict(each) for each in outcomes]}
        )
    return Activation(command.name, command.version, outcomes)


def _outcome(pid: str, package: PackageRef, moves: _Moves) -> PidOutcome:
    before = moves.before.get(pid)
    was = str(before) if before is not None else None
    if (error := moves.refused.get(pid)) is not None:
        document = _coded(error).to_document()
        return PidOutcome(pid, "refused", document["message"], was, error=ErrorRow(**document))
    held = pid in moves.holds
    until = f"; held until `pvctl resume {pid}`" if held else ""
    if pid in moves.unchanged:
        return PidOutcome(pid, "unchanged", f"{package} answers it already{until}", was, held)
    return PidOutcome(pid, "switched", f"{was or 'no version'} → {package}{until}", was, held)


def _coded(error: ControllerError) -> CodedError:
    """Return an error with a number: a process that does not become ready is 1004."""
    if isinstance(error, CodedError):
        return error
    code = Code.not_initialized if isinstance(error, StartFailed) else Code.unknown
    return CodedError(code, error.message, next_step=error.next_step)
