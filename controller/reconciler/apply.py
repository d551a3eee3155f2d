"""Apply: carry out a plan's actions, each audited with intent and outcome, independent ones side by side.

One table maps an action's type to the method that performs it. A failure is noted and delays only what stands on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.errors import ControllerError, StoreError
from controller.model.actions import Action, Deactivate, Install, Plan, Preheat, RebuildRegistry, Retire, Switch
from controller.model.desired import Deployment, Revision, Timeouts
from controller.model.observed import ActiveMapping, HistoryEntry, ProcessKey
from controller.model.package import Installation
from controller.planning.catalogue import catalogue
from controller.reconciler.backoff import Backoff
from controller.reconciler.ports import Packages, Processes
from controller.runner.spec import ProcessSpec
from controller.store.audit import AuditRecord
from controller.store.store import Store

_INSTALLS_AT_ONCE = 2
_STARTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of an action. `error` None and `skipped` false: it succeeded."""

    action: Action
    error: ControllerError | None = None
    skipped: bool = False

    @property
    def succeeded(self) -> bool:
        return self.error is None and not self.skipped


Notify = Callable[[str], None]


class Applier:
    """Performs actions on one store. `actor` is who is noted in the audit; `now` an RFC 3339 clock."""

    def __init__(
        self, store: Store, packages: Packages, processes: Processes, *, actor: str, now: Callable[[], str]
    ) -> None:
        self._store = store
        self._packages = packages
        self._processes = processes
        self._actor = actor
        self._now = now
        self._installing = asyncio.Semaphore(_INSTALLS_AT_ONCE)
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._acts: Mapping[type[Action], Callable[[Any, Revision, Notify], Awaitable[None]]] = {
            Install: self._install,
            Preheat: self._preheat,
            Switch: self._switch,
            Deactivate: self._deactivate,
            Retire: self._retire,
            RebuildRegistry: self._rebuild_registry,
        }

    async def apply(
        self, plan: Plan, revision: Revision, backoff: Backoff, notify: Notify, superseded: Callable[[], bool]
    ) -> tuple[ActionResult, ...]:
        """Carry out every action of a plan, each as soon as what it stands on is done.

        `superseded` is asked before each action: once it is true, the rest is skipped, for a newer plan to decide.
        """
        tasks: dict[str, asyncio.Task[ActionResult]] = {}

        async def carry_out(action: Action) -> ActionResult:
            results = [await tasks[name] for name in action.after if name in tasks]
            if superseded() or not all(result.succeeded for result in results):
                return ActionResult(action, skipped=True)
            return await self._carry_out(action, revision, backoff, notify)

        for action in plan.actions:
            tasks[action.object] = asyncio.create_task(carry_out(action))
        return tuple(await asyncio.gather(*tasks.values()))

    async def _carry_out(self, action: Action, revision: Revision, backoff: Backoff, notify: Notify) -> ActionResult:
        try:
            self._audit(action, revision, "started")
            await self._acts[type(action)](action, revision, notify)
            self._audit(action, revision, "succeeded")
        except ControllerError as error:  # tolerated here, once: one bad object never stops the others
            notify(f"{action.object}: failed: {error}")
            backoff.failed(action.object, error)
            self._audit_failure(action, revision, error, notify)
            return ActionResult(action, error)
        backoff.succeeded(action.object)
        notify(f"{action.object}: {_DONE[type(action)]} ({action.reason})")
        return ActionResult(action)

    async def _install(self, action: Install, revision: Revision, notify: Notify) -> None:
        zip_path = self._store.layout.zips / action.zip_name
        async with self._installing:
            await asyncio.to_thread(
                self._packages.install,
                zip_path,
                expect=action.package,
                expect_digest=action.digest,
                progress=lambda step: notify(f"{action.object}: {step} …"),
            )

    async def _preheat(self, action: Preheat, revision: Revision, notify: Notify) -> None:
        deployment = revision.by_name[action.process.deployment]
        installation = self._packages.installations()[action.process.ref]
        notify(f"{action.object}: starting …")
        async with self._starting:
            await self._processes.start(process_spec(action.process, deployment, installation, self._store))

    async def _switch(self, action: Switch, revision: Revision, notify: Notify) -> None:
        mapping = ActiveMapping(action.target.name, action.target.version, self._now())
        digest = self._packages.installations()[action.target].receipt.digest
        with self._store.lock.held():
            self._store.active.write(action.pid, mapping, self._names_an_installed_package)
        self._store.history.append(
            action.pid,
            HistoryEntry(
                mapping.activated_at, mapping.name, mapping.version, action.deployment, revision.id, self._actor,
                action.reason, digest,
            ),
        )  # fmt: skip

    def _names_an_installed_package(self, mapping: ActiveMapping) -> None:
        if not self._store.layout.receipt(mapping.ref).is_file():
            raise StoreError(f"{mapping.ref} is not installed any more; the mapping stays as it was")

    async def _deactivate(self, action: Deactivate, revision: Revision, notify: Notify) -> None:
        with self._store.lock.held():
            self._store.active.remove(action.pid)
        self._store.history.append(
            action.pid, HistoryEntry(self._now(), None, None, None, revision.id, self._actor, action.reason)
        )

    async def _retire(self, action: Retire, revision: Revision, notify: Notify) -> None:
        deployment = revision.by_name.get(action.process.deployment)
        drain = deployment.spec.timeouts.drain if deployment else Timeouts().drain
        await self._processes.stop(action.process, drain=drain)

    async def _rebuild_registry(self, action: RebuildRegistry, revision: Revision, notify: Notify) -> None:
        self._store.registry.write(catalogue((), self._packages.installations(), {}))

    def _audit(self, action: Action, revision: Revision, outcome: str) -> None:
        before, after = _before_and_after(action)
        kind = type(action).__name__.lower()
        record = AuditRecord(self._actor, revision.id, kind, action.object, before, after, action.reason, outcome)
        self._store.audit.append(record)

    def _audit_failure(self, action: Action, revision: Revision, error: ControllerError, notify: Notify) -> None:
        try:
            self._audit(action, revision, f"failed: {error}")
        except StoreError as unrecorded:  # the failure itself is reported; that it is not on record is said too
            notify(f"{action.object}: {unrecorded}")


_DONE: Mapping[type[Action], str] = {
    Install: "installed",
    Preheat: "ready",
    Switch: "switched",
    Deactivate: "deactivated",
    Retire: "ended",
    RebuildRegistry: "rebuilt",
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
