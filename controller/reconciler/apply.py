"""Apply: perform a plan's actions, each audited with intent and outcome, independent ones side by side.

One table maps an action's type to the method that performs it. A failure is noted and delays only what depends on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.errors import ControllerError, StoreError
from controller.model.actions import (
    Action,
    Deactivate,
    Install,
    Plan,
    Preheat,
    RebuildRegistry,
    RemovePackage,
    RemoveZip,
    Retire,
    SaveRollout,
    Switch,
)
from controller.model.desired import Deployment, Revision, Timeouts
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import ActiveMapping, HistoryEntry
from controller.model.package import Installation
from controller.planning.registry_rows import registry_rows
from controller.processes.spec import ProcessSpec
from controller.reconciler.ports import Packages, Processes
from controller.store.atomic import remove_durably
from controller.store.audit import AuditRecord
from controller.store.store import Store

log = logging.getLogger(__name__)

_INSTALLS_AT_ONCE = 2
_STARTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of an action. `error` None: it succeeded."""

    action: Action
    error: ControllerError | None = None


@dataclass(frozen=True, slots=True)
class _Act:
    """An action, the revision that it is for, and who wants it: what the audit has of it."""

    action: Action
    revision: Revision
    actor: str


Notify = Callable[[str], None]


class Applier:
    """Performs actions on one store. `actor` is who is noted in the audit; `now` an RFC 3339 clock."""

    def __init__(self, store: Store, packages: Packages, processes: Processes, *, actor: str,
                 now: Callable[[], str], notify: Notify) -> None:  # fmt: skip
        self._store = store
        self._packages = packages
        self._processes = processes
        self._actor = actor
        self._now = now
        self._notify = notify
        self._installing = asyncio.Semaphore(_INSTALLS_AT_ONCE)
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._in_flight: dict[ObjectRef, asyncio.Task[ActionResult]] = {}
        self._early: list[ActionResult] = []
        self.on_result: Callable[[], None] = lambda: None
        self._store_acts: Mapping[type[Action], Callable[[Any, Revision], None]] = {
            Switch: self._switch,
            Deactivate: self._deactivate,
            RebuildRegistry: self._rebuild_registry,
            SaveRollout: self._save_rollout,
            RemovePackage: self._remove_package,
            RemoveZip: self._remove_zip,
        }
        self._acts: Mapping[type[Action], Callable[[Any, Revision], Awaitable[None]]] = {
            Install: self._install,
            Preheat: self._preheat,
            Retire: self._retire,
        }

    @property
    def in_flight(self) -> frozenset[ObjectRef]:
        """The objects that are being worked on."""
        return frozenset(self._in_flight)

    def launch(self, plan: Plan, revision: Revision, resting: Collection[ObjectRef] = ()) -> None:
        """Begin every action of a plan whose object is free and which depends on nothing that is still to be done.

        An object that is `resting` is let alone, and what depends on it waits with it: no tight loop of attempts.

        The others' time comes with a later plan: a finished action is a reason to plan again, never to go on blindly.
        """
        pending = {action.object for action in plan.actions} | self._in_flight.keys()
        for action in plan.actions:
            free = action.object not in self._in_flight and action.object not in resting
            if free and not pending.intersection(action.depends_on):
                self.begin(action, revision, self._actor)

    async def perform(self, action: Action, revision: Revision, actor: str) -> ActionResult:
        """Carry out one action that somebody asked for by hand, beside those of the plans; return its result.

        What is in flight on the same object ends first. The result is also among those of `next_results`.
        """
        while self.works_on(action):
            await asyncio.wait((self._in_flight[action.object],))
        return await asyncio.shield(self.begin(action, revision, actor))

    def works_on(self, action: Action) -> bool:
        """Whether an act on the same object has not ended yet."""
        former = self._in_flight.get(action.object)
        return former is not None and not former.done()

    def begin(self, action: Action, revision: Revision, actor: str) -> asyncio.Task[ActionResult]:
        """Begin an action whose object is free, on behalf of `actor`; return the task that ends with its result."""
        if (ended := self._in_flight.pop(action.object, None)) is not None:
            self._early.append(ended.result())
        task = asyncio.create_task(self._perform(_Act(action, revision, actor)))
        task.add_done_callback(lambda _: self.on_result())
        self._in_flight[action.object] = task
        return task

    async def next_results(self, timeout: float | None = None) -> tuple[ActionResult, ...]:
        """Wait for an action in flight to end, for `timeout` seconds at most; return the results of all that did."""
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        done = [object_ for object_, task in self._in_flight.items() if task.done()]
        early, self._early = self._early, []
        return (*early, *(self._in_flight.pop(object_).result() for object_ in done))

    async def finish(self, patience: float) -> None:
        """Wait for what is in flight, `patience` seconds at most; what takes longer is given up, to be done anew."""
        if self._in_flight:
            _, late = await asyncio.wait(self._in_flight.values(), timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._in_flight.clear()

    async def _perform(self, act: _Act) -> ActionResult:
        action, revision = act.action, act.revision
        try:
            if type(action) in self._store_acts:
                await asyncio.to_thread(self._change_store, act)
            else:
                await self._do(act)
        except ControllerError as error:  # tolerated here, once: one bad object never stops the others
            self._announce(action, revision, f"failed: {error}", logging.WARNING)
            await asyncio.to_thread(self._audit_failure, act, error)
            return ActionResult(action, error)
        except Exception as defect:  # a defect in one object's way must not stop the others
            log.exception("%s: a defect of the controller", action.object)
            return ActionResult(action, ControllerError(f"a defect of the controller: {defect!r}; see its log"))
        self._announce(action, revision, f"{_DONE[type(action)]} ({action.reason})")
        return ActionResult(action)

    def _announce(self, action: Action, revision: Revision, what: str, level: int = logging.INFO) -> None:
        line = f"{action.object}: {what}"
        self._notify(line)
        about = {"pid": getattr(action, "pid", None), "package": _package(action), "revision": revision.id}
        log.log(level, "%s", line, extra=about)

    def _change_store(self, act: _Act) -> None:
        """Perform an act on the store's files with its audit, in one go: the disk must not hold up anybody's call."""
        self._audit(act, "started")
        self._store_acts[type(act.action)](act.action, act.revision)
        self._audit(act, "succeeded")

    async def _do(self, act: _Act) -> None:
        await asyncio.to_thread(self._note, act, "started")
        await self._acts[type(act.action)](act.action, act.revision)
        await asyncio.to_thread(self._note, act, "succeeded")

    def _note(self, act: _Act, outcome: str) -> None:
        """Audit an act. A start or an end of a process goes ahead also where the disk is full: calls must go on."""
        try:
            self._audit(act, outcome)
        except StoreError as error:
            if isinstance(act.action, Install):
                raise
            self._notify(f"{act.action.object}: not on record: {error}")

    async def _install(self, action: Install, revision: Revision) -> None:
        zip_path = self._store.layout.zips / action.zip_name
        async with self._installing:
            await asyncio.to_thread(
                self._packages.install,
                zip_path,
                expect=action.package,
                expect_digest=action.digest,
                progress=lambda step: self._notify(f"{action.object}: {step} …"),
            )

    async def _preheat(self, action: Preheat, revision: Revision) -> None:
        deployment = revision.by_name[action.process.deployment]
        installation = self._packages.installations()[action.process.ref]
        self._notify(f"{action.object}: starting …")
        async with self._starting:
            await self._processes.start(process_spec(action.process, deployment, installation, self._store))

    def _switch(self, action: Switch, revision: Revision) -> None:
        mapping = ActiveMapping(action.target.name, action.target.version, self._now())
        with self._store.lock.held():
            self._store.active.write(action.pid, mapping, self._names_an_installed_package)
        self._store.history.append(
            action.pid,
            HistoryEntry(
                mapping.activated_at, mapping.name, mapping.version, action.deployment, revision.id, self._actor,
                action.reason, action.digest or None,
            ),
        )  # fmt: skip

    def _names_an_installed_package(self, mapping: ActiveMapping) -> None:
        if not self._store.layout.receipt(mapping.ref).is_file():
            raise StoreError(f"{mapping.ref} is not installed any more; the mapping stays as it was")

    def _deactivate(self, action: Deactivate, revision: Revision) -> None:
        with self._store.lock.held():
            self._store.active.remove(action.pid)
        self._store.history.append(
            action.pid, HistoryEntry(self._now(), None, None, None, revision.id, self._actor, action.reason)
        )

    async def _retire(self, action: Retire, revision: Revision) -> None:
        deployment = revision.by_name.get(action.process.deployment)
        drain = deployment.spec.timeouts.drain if deployment else Timeouts().drain
        await self._processes.stop(action.process, drain=drain)

    def _rebuild_registry(self, action: RebuildRegistry, revision: Revision) -> None:
        self._store.registry.write(registry_rows((), self._packages.installations(), {}))

    def _remove_package(self, action: RemovePackage, revision: Revision) -> None:
        self._packages.uninstall(action.package)

    def _remove_zip(self, action: RemoveZip, revision: Revision) -> None:
        with self._store.lock.held():
            remove_durably(self._store.layout.zips / action.zip_name)

    def _save_rollout(self, action: SaveRollout, revision: Revision) -> None:
        self._store.rollouts.write(action.deployment, action.record)

    def _audit(self, act: _Act, outcome: str) -> None:
        action = act.action
        before, after = _before_and_after(action)
        record = AuditRecord(
            act.actor, act.revision.id, action.kind, str(action.object), before, after, action.reason, outcome
        )
        self._store.audit.append(record)

    def _audit_failure(self, act: _Act, error: ControllerError) -> None:
        try:
            self._audit(act, f"failed: {error}")
        except StoreError as unrecorded:  # the failure itself is reported; that it is not on record is reported too
            self._notify(f"{act.action.object}: {unrecorded}")


def _package(action: Action) -> str | None:
    match action:
        case Install(package=package) | RemovePackage(package=package) | Switch(target=package):
            return str(package)
        case Preheat(process=process) | Retire(process=process):
            return str(process.ref)
        case _:
            return None


_DONE: Mapping[type[Action], str] = {
    Install: "installed",
    Preheat: "ready",
    Switch: "switched",
    Deactivate: "deactivated",
    Retire: "ended",
    RebuildRegistry: "rebuilt",
    SaveRollout: "decided",
    RemovePackage: "removed",
    RemoveZip: "removed",
}


def _before_and_after(action: Action) -> tuple[Any, Any]:
    match action:
        case Switch(before=before, target=target, deployment=deployment):
            return before and asdict(before), {**asdict(target), "deployment": deployment}
        case Deactivate(before=before):
            return before and asdict(before), None
        case Install(digest=digest):
            return None, digest
        case _:
            return None, None


def process_spec(key: ProcessKey, deployment: Deployment, installation: Installation, store: Store) -> ProcessSpec:
    """Return how a process of a deployment is started: paths from the receipt, limits from the spec."""
    receipt, folder = installation.receipt, Path(installation.folder)
    spec = deployment.spec
    working_directory = folder / receipt.working_directory
    supported = [pid for pid in spec.pids if receipt.supported_pids is None or pid in receipt.supported_pids]
    return ProcessSpec(
        key=key,
        digest=receipt.digest,
        python=str(folder / "venv" / "bin" / "python"),
        working_directory=str(working_directory),
        log_path=str(store.layout.process_log(key.deployment, key.version, key.replica)),
        entry_point=receipt.entry_point,
        python_path=tuple(str(folder / part) for part in receipt.python_path),
        start_timeout=spec.timeouts.start,
        call_timeout=spec.timeouts.call,
        heartbeat_interval_ms=round(spec.health.heartbeat.interval * 1000),
        grace_ms=round(spec.health.heartbeat.grace * 1000),
        smoke=spec.preheat.smoke,
        smoke_image=str(working_directory / spec.preheat.image) if spec.preheat.image else None,
        smoke_pid=supported[0] if supported else spec.pids[0],
    )
