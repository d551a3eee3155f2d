"""The composition root: the one place that builds objects and plugs them together, each imported when asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from controller.cli.app import run
from controller.cli.settings import Settings
from controller.host.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from controller.calls.request import Detection, DetectionRequest
    from controller.client.answers import Detection as ClientDetection
    from controller.client.operator import Operator as DaemonClient
    from controller.model.observed import HistoryEntry, ObservedProcess, ProcessKey
    from controller.model.package import Receipt
    from controller.packages.install import Installer
    from controller.reconciler.observe import Observer
    from controller.reconciler.preview import Preview
    from controller.reconciler.reconciler import Outcome
    from controller.sources.folder import FolderSource
    from controller.station.packages import PackageOperations
    from controller.store.audit import AuditLog, Verification
    from controller.store.layout import StoreLayout
    from controller.store.lock import ControllerLock
    from controller.store.store import Store

Notify = Callable[[str], None]
Report = dict[str, Any]
Result = TypeVar("Result")


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on uvloop."""
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class Station:
    """The parts of the product for one command line's options."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def layout(self) -> StoreLayout:
        from controller.store.layout import StoreLayout

        return StoreLayout.at(self._settings.store)

    def store(self) -> Store:
        from controller.store.store import Store

        return Store.at(self.layout(), utc_now)

    def source(self, path: Path | None = None) -> FolderSource:
        from controller.sources.folder import FolderSource

        return FolderSource(path or self._settings.desired, now=utc_now)

    def installer(self) -> Installer:
        """Return an installer that knows the interpreters of the policy in force at each moment."""
        from controller.packages.install import Installer

        store = self.store()

        def pythons() -> Sequence[str]:
            revision = store.revision.read()
            return revision.policy.pythons if revision else ()

        return Installer(store.layout, store.lock, pythons=pythons, now=utc_now)

    def preview(self, *, allow_empty: bool, serve: bool) -> Preview:
        """Return what a reconcile would do now. Reads only."""
        from controller.reconciler.clock import boot_time
        from controller.reconciler.preview import preview

        store = self.store()
        observer = self._observer(store, self.installer(), self._look_at_processes)
        return run_async(preview(self.source(), store, observer, boot_time, allow_empty=allow_empty, serve=serve))

    def reconcile(self, *, serve: bool, wait: bool, timeout: float, allow_empty: bool, notify: Notify) -> Report:
        """Make the station match the desired state: through the daemon where one runs, else as the store's controller.

        Returns {exit, status}.
        """
        from controller.client import NotReached
        from controller.reconciler.reconciler import load_desired

        store, source = self.store(), self.source()
        if serve:
            with suppress(NotReached):
                return self._daemon().reconcile(allow_empty=allow_empty, wait=wait, timeout=timeout, notify=notify)
        load_desired(source, store, allow_empty=allow_empty)  # what was never valid must not create a store
        store.create_folders()
        with self._as_controller("reconcile --once"):
            outcome = run_async(
                self._reconcile(
                    store,
                    source,
                    notify,
                    allow_empty=allow_empty,
                    options={"serve": serve, "wait": wait, "timeout": timeout},
                )
            )
        return {"exit": int(outcome.exit), "status": outcome.status.to_document()}

    def run(self, socket_group: str | None) -> None:
        """Be the daemon, until told to stop."""
        from controller import daemon
        from controller.host.users import own_name
        from controller.json_log import log_to
        from controller.reconciler.clock import boot_time
        from controller.sources.quiescing import QuiescingTree

        store = self.store()
        store.create_folders()
        with self._as_controller("run"):
            log_to(store.layout.controller_log, self._settings.log_level("info"))
            tree = QuiescingTree(self._settings.desired.absolute(), time.monotonic)
            run_async(
                daemon.run(
                    daemon.Parts(
                        store, self.source(), tree, self.installer(), own_name(), boot_time, utc_now,
                        socket_group,
                    )
                )
            )  # fmt: skip

    def operate(self, verb: str, subject: str, arguments: dict[str, Any]) -> str:
        """Carry out an operator's verb: through the daemon where one runs; return what will happen."""
        from controller.client import NotReached
        from controller.host.users import own_name
        from controller.reconciler.clock import boot_time
        from controller.station.operator import Operator, Wish

        self._require_store()
        store = self.store()
        revision = store.revision.read()
        kind = "pids" if revision is not None and subject in revision.by_pid else "deployments"
        with suppress(NotReached):
            return str(self._daemon().operate(kind, subject, verb, arguments)["message"])
        with self._as_controller(verb):
            operator = Operator(store, self.installer(), boot_time)
            said = operator.carry_out(Wish(verb, subject, arguments, own_name()))
        return f"{said} (at the next `pvctl reconcile --once`; no daemon runs)"

    async def _reconcile(
        self, store: Store, source: FolderSource, notify: Notify, *, allow_empty: bool, options: dict[str, Any]
    ) -> Outcome:
        from controller.host.users import own_name
        from controller.processes.pool import ProcessPool
        from controller.reconciler.apply import Applier
        from controller.reconciler.clock import boot_time
        from controller.reconciler.reconciler import Reconciler, take_revision
        from controller.reconciler.recover import recover

        desired = take_revision(source, store, allow_empty=allow_empty)
        packages, actor = self.installer(), own_name()
        recover(store, packages, actor, notify)
        runner = ProcessPool(store.layout, now=utc_now)
        await runner.open()
        try:
            observer = self._observer(store, packages, runner.observe)
            applier = Applier(store, packages, runner, actor=actor, now=utc_now, notify=notify)
            reconciler = Reconciler(store, observer, applier, boot_time, utc_now)
            return await reconciler.converge(desired, **options)
        finally:
            await runner.close()

    def status(self) -> dict[str, Any]:
        """Return the daemon's status document, else that of the last pass with its processes looked at anew."""
        from controller.processes.record_files import serving
        from controller.station.offline_status import read_offline_status

        layout = self.layout()
        if layout.socket.exists():
            from controller.client import NotReached

            with suppress(NotReached):
                return self._daemon().status()
        return read_offline_status(layout, serving(layout.run))

    def execute(self, request: DetectionRequest) -> Detection | ClientDetection:
        """Run one detection: through the daemon where one runs, else directly through the PID's process."""
        from controller.calls.active_version import active_version
        from controller.calls.once import execute_once
        from controller.client import NotReached
        from controller.client.operator import client_execute

        with suppress(NotReached):
            return client_execute(self.layout(), request)
        ref = active_version(self.store().active, request.pid)
        return run_async(execute_once(self.layout(), ref, None, request))

    def install(self, zip_path: Path, notify: Notify) -> Receipt:
        """Install a zip by hand."""
        store = self.store()
        store.create_folders()
        with self._as_controller("install"):
            return run_async(self._operations(store).install(zip_path, notify))

    def uninstall(self, name: str, version: str) -> None:
        """Uninstall a version by hand."""
        from controller.model.package import PackageRef

        self._require_store()
        with self._as_controller("uninstall"):
            run_async(self._operations(self.store()).uninstall(PackageRef(name, version)))

    def history(self, pid: str) -> tuple[HistoryEntry, ...]:
        return self.store().history.read(pid)

    def audit(self) -> AuditLog:
        return self.store().audit

    def verify_audit(self, head: str | None) -> Verification:
        """Check the audit's chain against a head given as SEQ:HASH, else against the one in the status document."""
        from controller.errors import ControllerError
        from controller.store.audit import AuditHead

        store = self.store()
        if head is None:
            return store.audit.verify(AuditHead.noted_in(store.status.read()))
        seq, _, digest = head.partition(":")
        if not seq.isdecimal() or not digest:
            raise ControllerError(f"{head!r} is not a head", next_step="give it as SEQ:HASH, as --verify prints it")
        return store.audit.verify(AuditHead(int(seq), digest))

    def log_paths(self, deployment: str, version: str | None) -> list[Path]:
        """Return the process logs of a deployment, of all versions or of one."""
        folder = self.layout().logs / "algorithms" / deployment
        return sorted(path for path in folder.glob("*.log") if version in {None, path.stem.rpartition("-")[0]})

    def down(self) -> tuple[str, ...]:
        """End the daemon, if one runs, and every algorithm process of the store; return the processes' names."""
        from controller.client import NotReached
        from controller.processes.census import end_all

        self._require_store()
        with suppress(NotReached):
            return self._daemon().down()
        with self._as_controller("down"):
            return tuple(str(process.key) for process in end_all(self.layout()))

    def _daemon(self) -> DaemonClient:
        from controller.client.operator import Operator as DaemonClient

        return DaemonClient(self.layout())

    def _operations(self, store: Store) -> PackageOperations:
        from controller.host.users import own_name
        from controller.station.packages import PackageOperations

        packages = self.installer()
        observer = self._observer(store, packages, self._look_at_processes)
        return PackageOperations(store, packages, observer, own_name())

    async def _look_at_processes(self) -> Mapping[ProcessKey, ObservedProcess]:
        from controller.processes.census import list_processes

        return {each.key: each for each in list_processes(self.layout())}

    @staticmethod
    def _observer(store: Store, packages: Installer, processes: Callable[[], Any]) -> Observer:
        from controller.reconciler.observe import Observer

        return Observer(store, packages, processes)

    def _require_store(self) -> None:
        """Raise StoreError where there is no store: a mistyped --store must neither make one nor seem to succeed."""
        from controller.errors import StoreError

        layout = self.layout()
        if not any(folder.is_dir() for folder in (layout.run, layout.deployed, layout.zips)):
            raise StoreError(f"there is no store at {layout.root}", next_step="check --store")

    def _as_controller(self, role: str) -> ControllerLock:
        from controller.store.lock import ControllerLock

        return ControllerLock(self.layout(), role, now=utc_now())


def main() -> None:
    """Entry point of `pvctl`."""
    sys.exit(run(sys.argv[1:], Station))


if __name__ == "__main__":
    main()
