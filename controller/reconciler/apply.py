"""Apply: perform a plan's actions, each audited with intent and outcome, independent ones side by side.

One table maps an action's type to the method that performs it, but for acts on the store's small files: those go
together (`batch`). A failure is noted and delays only what depends on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.errors import ControllerError, NotSynced, StoreError
from controller.model.actions import (
    Action,
    Deactivate,
    Install,
    Plan,
    Preheat,
    RebuildRegistry,
    RemovePackage,
    RemoveZip,
    Replay,
    RestoreMemory,
    Retire,
    SaveRollout,
    Switch,
)
from controller.model.desired import Deployment, Revision, Timeouts
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import Installation
from controller.model.unmanaged import serving_deployment
from controller.planning.registry_rows import registry_rows
from controller.processes.spec import ProcessSpec
from controller.reconciler.acts import (
    REPORTED,
    Act,
    ActionResult,
    Weight,
    audit_record,
    package_of,
    stopping,
    weight_of,
)
from controller.reconciler.batch import MOST_ACTS, Batch, is_batched
from controller.reconciler.counts import ActCounts
from controller.reconciler.in_flight import InFlight
from controller.reconciler.ports import Packages, Processes, Replays
from controller.store.atomic import remove_durably
from controller.store.process_logs import prune as prune_logs
from controller.store.store import Store
from controller.store.unrecorded import Missing

log = logging.getLogger(__name__)

_INSTALLS_AT_ONCE = 2
_STARTS_AT_ONCE = 4

Notify = Callable[[str], None]


class Applier:
    """Performs actions on one store. `actor` is who is noted in the audit; `now` an RFC 3339 clock.

    `worker`, where it is set, is for whom the actor says to do it; `replays` None: nothing here shows pictures.
    """

    def __init__(self, store: Store, packages: Packages, processes: Processes, *, actor: str,
                 now: Callable[[], str], notify: Notify) -> None:  # fmt: skip
        self._store = store
        self._packages = packages
        self._processes = processes
        self._actor = actor
        self.worker = ""
        self.replays: Replays | None = None
        self.counts = ActCounts()
        self._now = now
        self._notify = notify
        self._installing = asyncio.Semaphore(_INSTALLS_AT_ONCE)
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._in_turn = asyncio.Lock()
        self._in_flight = InFlight()
        self._finished = False
        self._store_acts: Mapping[type[Action], Callable[[Any, Revision], None]] = {
            RebuildRegistry: self._rebuild_registry,
            RestoreMemory: self._restore_memory,
            RemovePackage: self._remove_package,
            RemoveZip: self._remove_zip,
        }
        self._acts: Mapping[type[Action], Callable[[Any, Revision], Awaitable[None]]] = {
            Install: self._install,
            Preheat: self._preheat,
            Retire: self._retire,
            Replay: self._replay,
        }

    @property
    def in_flight(self) -> frozenset[ObjectRef]:
        """The objects that are being worked on."""
        return self._in_flight.objects

    @property
    def only_replays(self) -> bool:
        """Whether nothing but replays is worked on: they take minutes, and plans are made meanwhile."""
        return all(object_.kind == "replay" for object_ in self.in_flight)

    def tell_results(self, hear: Callable[[], None]) -> None:
        """Have `hear` called whenever acts have ended."""
        self._in_flight.on_result = hear

    def launch(self, plan: Plan, revision: Revision, rests: Callable[[Action], bool] = lambda action: False) -> None:
        """Begin every action of a plan whose object is free and which depends on nothing that is still to be done.

        An action of a batch may also depend on earlier ones of its batch, so that a decision and the switches that
        follow from it go together. An action that `rests` is let alone, and what depends on it waits with it: no
        tight loop of attempts.

        A replay that the plan does not have is ended.

        The others' time comes with a later plan: a finished action is a reason to plan again, never to go on blindly.
        """
        if self.replays is not None:
            wanted = [action.key for action in plan.actions if isinstance(action, Replay)]
            self.replays.keep(wanted, revision.by_name.keys())
        busy = self._in_flight.objects
        pending = {action.object for action in plan.actions} | busy
        batches: dict[str, dict[ObjectRef, Act]] = {}
        for action in plan.actions:
            if action.object in busy or rests(action):
                continue
            waits_for = pending.intersection(action.depends_on)
            if is_batched(action):
                batch = batches.setdefault(getattr(action, "deployment", None) or "", {})
                if len(batch) < MOST_ACTS and batch.keys() >= waits_for:
                    batch[action.object] = Act(action, revision, self._actor, self.worker)
            elif not waits_for:
                self.begin(action, revision, self._actor, self.worker)
        for batch in batches.values():
            if batch:
                self._in_flight.begin(batch, self._perform_together(tuple(batch.values())))

    async def perform(self, action: Action, revision: Revision, actor: str, worker: str = "") -> ActionResult:
        """Carry out one action that somebody asked for by hand, beside those of the plans; return its result.

        What is in flight on the same object ends first. The result is also among those of `next_results`. Whoever asked
        may leave: the act goes on.

        Raises:
            CodedError: 1004, the controller is stopping.
        """
        await self.settled(action.object)
        return await self.result_of(self.begin(action, revision, actor, worker))

    async def result_of(self, begun: asyncio.Future[ActionResult]) -> ActionResult:
        """Wait for what was begun; whoever waits may leave. Raises CodedError 1004 where the controller stops first."""
        await asyncio.wait((begun,))  # it never cancels what it waits for
        if begun.cancelled():
            raise stopping()
        return begun.result()

    def works_on(self, object_: ObjectRef) -> bool:
        """Whether an act on an object has not ended yet."""
        return self._in_flight.ending(object_) is not None

    async def settled(self, object_: ObjectRef) -> None:
        """Wait until nothing works on an object."""
        while (former := self._in_flight.ending(object_)) is not None:
            await asyncio.wait((former,))

    def begin(self, action: Action, revision: Revision, actor: str, worker: str = "") -> asyncio.Future[ActionResult]:
        """Begin an action whose object is free, on behalf of `actor` and a worker; return what gets its result.

        Raises:
            CodedError: 1004, the controller is stopping.
        """
        if self._finished:
            raise stopping()
        act = Act(action, revision, actor, worker)
        perform = self._perform_together if is_batched(action) else self._perform_alone
        (result,) = self._in_flight.begin((act.object,), perform((act,)))
        return result

    async def next_results(self, timeout: float | None = None) -> tuple[ActionResult, ...]:
        """Wait for an action in flight to end, for `timeout` seconds at most; return the results of all that did.

        What was not begun, because something that it depends on failed, has none: that failure is the one to tell.
        """
        return tuple(result for result in await self._in_flight.next_results(timeout) if result.begun)

    async def let_switches_go_first(self, seconds: float) -> None:
        """Wait for decisions and switches in flight, so long at most: what is done beside them holds them up."""
        await self._in_flight.wait(("rollout", "pid"), seconds)

    async def finish(self, patience: float) -> None:
        """Wait for what is in flight, `patience` seconds at most; what takes longer is given up, to be done anew."""
        self._finished = True
        if self.replays is not None:  # they go on where they were left, by whoever comes next
            self.replays.keep((), self.replays.reports().keys())
        await self._in_flight.finish(patience)

    async def _perform_together(self, acts: Sequence[Act]) -> tuple[ActionResult, ...]:
        async with self._in_turn:  # a start finds one batch unfinished at most
            try:
                results = await asyncio.to_thread(Batch(self._store, acts, self._now, self._notify).perform)
            except Exception as defect:  # noqa: BLE001 - a defect in one batch's way must not stop the others
                results = tuple(_defective(act, defect) for act in acts)
        for act, result in zip(acts, results, strict=True):
            self._announce(act, result)
        return results

    async def _perform_alone(self, acts: Sequence[Act]) -> tuple[ActionResult, ...]:
        (act,) = acts
        try:
            on_record = await asyncio.to_thread(self._record_intent, act)
        except StoreError as error:  # what is not on record must not happen
            result = ActionResult(act.action, error)
        else:
            result, unsynced = await self._carry_out(act)
            if on_record:
                await asyncio.to_thread(self._record_outcome, act, result, unsynced)
        self._announce(act, result)
        return (result,)

    async def _carry_out(self, act: Act) -> tuple[ActionResult, Sequence[Path]]:
        """Return what became of an act, and the folders whose sync failed though it took place."""
        unsynced: Sequence[Path] = ()
        try:
            if (change := self._store_acts.get(type(act.action))) is not None:
                await asyncio.to_thread(change, act.action, act.revision)
            else:
                await self._acts[type(act.action)](act.action, act.revision)
            result = ActionResult(act.action)
        except NotSynced as error:  # it took place; only the disk has not confirmed it
            self._warn(f"{act.object}: {error}")
            unsynced, result = (error.folder,), ActionResult(act.action)
        except ControllerError as error:  # tolerated here, once: one bad object never stops the others
            result = ActionResult(act.action, error)
        except Exception as defect:  # noqa: BLE001 - a defect in one object's way must not stop the others
            result = _defective(act, defect)
        return result, unsynced

    def _announce(self, act: Act, result: ActionResult) -> None:
        action, error = act.action, result.error
        self.counts.take(act, result)
        what = f"{_DONE[type(action)]} ({action.reason})" if error is None else f"failed: {error}"
        line = f"{action.object}: {what}"
        self._notify(line)
        about = {"pid": getattr(action, "pid", None), "package": package_of(action), "revision": act.revision.id}
        log.log(_LEVELS[weight_of(result)], "%s", line, extra=about | REPORTED)

    def _record_intent(self, act: Act) -> bool:
        """Put on record that an act begins; return whether it is.

        A start or an end of a process goes ahead also where the disk is full: calls must go on. Raises StoreError for
        all others.
        """
        try:
            self._store.audit.append(audit_record(act, "started"))
        except StoreError as error:
            if not isinstance(act.action, Preheat | Retire):
                raise
            self._warn(f"{act.object}: not on record: {error}")
            return False
        return True

    def _record_outcome(self, act: Act, result: ActionResult, unsynced: Sequence[Path]) -> None:
        """Put on record what became of an act; where the disk does not take that now, it is done later."""
        outcome = audit_record(act, "succeeded" if result.error is None else f"failed: {result.error}")
        try:
            if not unsynced:
                self._store.audit.append(outcome)
                return
        except StoreError as error:
            self._warn(f"{act.object}: not on record yet: {error}")
        self._store.unrecorded.add([Missing(outcome, unsynced)])

    async def _install(self, action: Install, revision: Revision) -> None:
        zip_path = self._store.layout.zips / action.zip_name
        async with self._installing:
            with self.counts.installs.timing():
                await asyncio.to_thread(
                    self._packages.install,
                    zip_path,
                    expect=action.package,
                    expect_digest=action.digest,
                    progress=lambda step: self._notify(f"{action.object}: {step} …"),
                )

    async def _preheat(self, action: Preheat, revision: Revision) -> None:
        deployment = serving_deployment(revision, action.process.deployment)
        if deployment is None:
            raise ControllerError(f"no deployment is called {action.process.deployment} any more")
        installation = self._packages.installations()[action.process.ref]
        self._notify(f"{action.object}: starting …")
        async with self._starting:
            spec = process_spec(action.process, deployment, installation, self._store)
            with self.counts.starts.timing():
                started = await self._processes.start(replace(spec, smoke=action.smoke))
        if started.doubt:
            self._notify(f"{action.object}: warning: {started.doubt}")
            log.warning("%s: %s", action.object, started.doubt, extra=REPORTED)

    async def _retire(self, action: Retire, revision: Revision) -> None:
        deployment = serving_deployment(revision, action.process.deployment)
        drain = deployment.spec.timeouts.drain if deployment else Timeouts().drain
        await self._processes.stop(action.process, drain=drain)

    async def _replay(self, action: Replay, revision: Revision) -> None:
        deployment, target = revision.by_name.get(action.deployment), action.key.target
        if deployment is None or self.replays is None:
            raise ControllerError(f"no pictures can be shown for {action.deployment} here")
        key, memory = ProcessKey(deployment.name, target.name, target.version), deployment.spec.health.memory
        spec = process_spec(key, deployment, self._packages.installations()[target], self._store)
        await self.replays.run(action, spec, memory.max if memory else None)

    def _rebuild_registry(self, action: RebuildRegistry, revision: Revision) -> None:
        self._store.registry.write(registry_rows((), self._packages.installations(), {}))

    def _restore_memory(self, action: RestoreMemory, revision: Revision) -> None:
        self._store.rollouts.restore(action.name)

    def _remove_package(self, action: RemovePackage, revision: Revision) -> None:
        try:
            self._packages.uninstall(action.package)
        finally:
            prune_logs(self._store.layout, {ref.version for ref in self._packages.installations()})

    def _remove_zip(self, action: RemoveZip, revision: Revision) -> None:
        with self._store.lock.held():
            remove_durably(self._store.layout.zips / action.zip_name)

    def _warn(self, line: str) -> None:
        self._notify(line)
        log.warning("%s", line, extra=REPORTED)


def _defective(act: Act, defect: Exception) -> ActionResult:
    log.error("%s: a defect of the controller", act.object, exc_info=defect)
    return ActionResult(act.action, ControllerError(f"a defect of the controller: {defect!r}; see its log"))


_LEVELS: Mapping[Weight, int] = {"normal": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_DONE: Mapping[type[Action], str] = {
    Install: "installed",
    Preheat: "ready",
    Switch: "switched",
    Deactivate: "deactivated",
    Retire: "ended",
    Replay: "shown",
    RebuildRegistry: "rebuilt",
    RestoreMemory: "restored",
    SaveRollout: "decided",
    RemovePackage: "removed",
    RemoveZip: "removed",
}


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
        log_path=str(store.layout.process_log(key.deployment, key.version, key.replica, shadow=key.shadow)),
        entry_point=receipt.entry_point,
        python_path=tuple(str(folder / part) for part in receipt.python_path),
        start_timeout=spec.timeouts.start,
        call_timeout=spec.timeouts.call,
        heartbeat_interval_ms=round(spec.health.heartbeat.interval * 1000),
        grace_ms=round(spec.health.heartbeat.grace * 1000),
        smoke=spec.preheat.smoke,
        smoke_image=str(working_directory / spec.preheat.image) if spec.preheat.image else None,
        smoke_pid=next(iter(supported or spec.pids or receipt.supported_pids or ()), ""),
        input=spec.pictures,
        steps=receipt.steps,
    )
