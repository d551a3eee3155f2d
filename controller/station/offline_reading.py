"""Queries where no daemon runs: answered from the store's files and the desired tree.

Everything here blocks (see `port.finish`), and each part of the product is loaded only for the command that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.station import queries
from controller.station.commands.activating import ActivePids, ListActive
from controller.station.commands.events import Feed
from controller.station.commands.operations import FollowOperation, GetOperation, ListOperations
from controller.station.commands.packages import (
    ListPackages,
    PackageRows,
)
from controller.station.commands.present import (
    GetDeployment,
    GetIdentity,
    GetPid,
    GetRevisions,
    Identity,
    ListDeployments,
    ListPids,
    Revisions,
)
from controller.station.commands.reconciling import PlanDocument, PreviewPlan
from controller.station.commands.records import (
    AuditPage,
    AuditVerification,
    GetHistory,
    HistoryRow,
    LogPiece,
    ReadAudit,
    ReadLogs,
    VerifyAudit,
)
from controller.station.port import Caller, Command, Report
from controller.store.layout import StoreLayout

if TYPE_CHECKING:
    from controller.model.desired import Revision
    from controller.model.observed import Observed
    from controller.model.operation import OperationDocument, OperationRow
    from controller.model.rollout import Instant
    from controller.packages.install import Installer
    from controller.reconciler.observe import Observer
    from controller.reconciler.preview import Preview
    from controller.sources.folder import FolderSource
    from controller.station.present import Present
    from controller.store.lock import ControllerLock
    from controller.store.store import Store

_Execute = Callable[[Command[object], Caller, Report], object]


class OfflineReading:
    """Answers queries on one store and one desired tree. `now` is an RFC 3339 clock, `clock` the boot-time one."""

    def __init__(
        self, layout: StoreLayout, desired: Path, now: Callable[[], str], clock: Callable[[], Instant]
    ) -> None:
        self._layout = layout
        self._desired = desired
        self._now = now
        self._clock = clock

    @property
    def _queries(self) -> Mapping[type[Command[Any]], Callable[..., object]]:
        """What answers each query."""
        return {
            PreviewPlan: self._plan, GetHistory: self._history, ReadAudit: self._audit, VerifyAudit: self._verify_audit,
            ReadLogs: self._logs, **self._of_the_present(), GetRevisions: lambda *_: self._revisions(),
            GetIdentity: lambda _, caller, __: self._identity(caller),
            ListOperations: self._operations, **dict.fromkeys((GetOperation, FollowOperation), self._operation),
            ListPackages: self._list_packages, ListActive: self._list_active,
        }  # fmt: skip

    # Parts.

    def _store(self) -> Store:
        from controller.store.store import Store

        return Store.at(self._layout, self._now)

    def _source(self) -> FolderSource:
        from controller.sources.folder import FolderSource

        return FolderSource(self._desired, now=self._now)

    def _packages(self, store: Store) -> Installer:
        from controller.packages.install import Installer

        return Installer.of(store, self._now)

    def _observer(self, store: Store, packages: Installer) -> Observer:
        from controller.processes.census import observe_processes
        from controller.reconciler.observe import Observer

        return Observer(store, packages, lambda: observe_processes(self._layout))

    def _as_controller(self, role: str) -> ControllerLock:
        from controller.store.lock import ControllerLock

        return ControllerLock(self._layout, role, now=self._now())

    def _require_store(self) -> None:
        """Raise StoreError where there is no store: a mistyped --store must neither make one nor seem to succeed."""
        from controller.errors import StoreError

        layout = self._layout
        if not any(folder.is_dir() for folder in (layout.run, layout.deployed, layout.zips)):
            raise StoreError(f"there is no store at {layout.root}", next_step="check --store")

    # Queries.

    def _identity(self, caller: Caller) -> Identity:
        return Identity(caller.name, caller.access.name, caller.sees_recordings)

    def _preview(self, query: PreviewPlan, _caller: Caller, _report: Report) -> Preview:
        from controller.reconciler.preview import preview
        from controller.station.event_loop import run

        store = self._store()
        observer = self._observer(store, self._packages(store))
        return run(
            preview(self._source(), store, observer, self._clock, allow_empty=query.allow_empty, serve=query.serve)
        )

    def _plan(self, query: PreviewPlan, caller: Caller, report: Report) -> PlanDocument:
        from controller.station.plan_document import plan_document

        return plan_document(self._preview(query, caller, report))

    def _of_the_present(self) -> Mapping[type[Command[Any]], Callable[..., object]]:
        """Return what answers how the station stands, part by part."""
        return {
            ListDeployments: lambda *_: self._present().deployments(),
            GetDeployment: lambda query, *_: self._present().deployment(query.name),
            ListPids: lambda *_: self._present().pids(),
            GetPid: lambda query, *_: self._present().pid(query.pid),
        }

    def _present(self) -> Present:
        from controller.processes.record_files import serving
        from controller.station.offline_status import read_offline_status
        from controller.station.present import Present

        store = self._store()
        status = read_offline_status(self._layout, serving(self._layout.run))
        return Present(status, store.rollouts.memory(), store.revision.read(), self._clock())

    def _revisions(self) -> Revisions:
        from controller.station.present import revisions

        self._require_store()
        store = self._store()
        return revisions(store.revision.read(), store.refused.read())

    def _history(self, query: GetHistory, _caller: Caller, _report: Report) -> tuple[HistoryRow, ...]:
        return queries.history(self._store(), query)

    def _audit(self, query: ReadAudit, _caller: Caller, _report: Report) -> AuditPage:
        return queries.audit(self._store(), query)

    def _verify_audit(self, query: VerifyAudit, _caller: Caller, _report: Report) -> AuditVerification:
        return queries.verify_audit(self._store(), query)

    def _logs(self, query: ReadLogs, _caller: Caller, _report: Report) -> Feed[tuple[LogPiece, ...]]:
        from controller.station.log_feeds import BlockingLogFeed
        from controller.station.log_places import LogPlaces

        return BlockingLogFeed(LogPlaces(self._store(), query).look, query)

    def _operations(self, query: ListOperations, _caller: Caller, _report: Report) -> tuple[OperationRow, ...]:
        from controller.station.operations import rows
        from controller.store.operations import OperationFiles

        return rows(OperationFiles(self._layout).read_all(), query)

    def _operation(self, query: GetOperation | FollowOperation, _caller: Caller, report: Report) -> OperationDocument:
        """Return an operation of a daemon that is gone: nothing goes on in it any more."""
        from controller.station.operations import found
        from controller.store.operations import OperationFiles

        document = found(query.id, OperationFiles(self._layout).read(query.id))
        if isinstance(query, FollowOperation):
            for line in document["progress"]:
                report(line["text"])
        return document

    def _list_packages(self, query: ListPackages, _caller: Caller, _report: Report) -> PackageRows:
        from controller.station.listing import packages_of

        return packages_of(self._look()[1], query)

    def _list_active(self, query: ListActive, _caller: Caller, _report: Report) -> ActivePids:
        from controller.station.listing import active_pids_of

        return active_pids_of(*self._look(), query)

    def _look(self) -> tuple[Revision, Observed]:
        """Return what is in force, and what there is at this moment."""
        from controller.station.between import NO_REVISION
        from controller.station.event_loop import run

        store = self._store()
        revision = store.revision.read() or NO_REVISION
        return revision, run(self._observer(store, self._packages(store)).observe(revision, {}))
