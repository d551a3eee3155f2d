"""The station inside a daemon: commands go to its loop, detections to its data plane, queries to the store's files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from controller.calls.data_plane import DataPlane
from controller.calls.feedback import Feedback
from controller.calls.series import CallSeries
from controller.client.answers import Detection
from controller.errors import Code, CodedError, DesiredStateError
from controller.model.desired import Revision
from controller.model.last_part import LastPart
from controller.model.observed import Observed
from controller.model.operation import OperationDocument, OperationRow
from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.timestamps import format_timestamp
from controller.reconciler.exits import Exit
from controller.reconciler.loop import Loop
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Source
from controller.reconciler.revisions import RevisionTaker
from controller.replay.document import ReplayDocument
from controller.station import measuring, parts, recordings, tokens
from controller.station.activation import Activations
from controller.station.between import NO_REVISION
from controller.station.commands.activating import Activate, Activation, ActivePids, GiveVersion, ListActive, Switch
from controller.station.commands.detecting import Detect
from controller.station.commands.feedback import FeedbackCounted, GiveFeedback, counted
from controller.station.commands.measuring import DeploymentSeries, GetMetrics, GetSeries, MetricsText
from controller.station.commands.operations import FollowOperation, GetOperation, ListOperations, StartOperation
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
from controller.station.commands.packages import (
    Install,
    InstallStored,
    ListPackages,
    PackageRows,
    PackageState,
    Uninstall,
)
from controller.station.commands.parts import GetLastParts, GetPicture, PictureFile
from controller.station.commands.reconciling import (
    Down,
    Ended,
    PreviewPlan,
    Reconcile,
    ReconcileReport,
)
from controller.station.commands.replaying import ReplayRecorded
from controller.station.commands.status import GetStatus
from controller.station.commands.validating import PackageReport, Validate, ValidateStored
from controller.station.events import EventLog
from controller.station.listing import active_pids_of, packages_of
from controller.station.log_feeds import Followers
from controller.station.metrics.scrape import Scrapes
from controller.station.operations import Operations
from controller.station.operator import Operator
from controller.station.packages import PackageOperations
from controller.station.planned import require_planned
from controller.station.port import Caller, Command, Report, Result, require_access, silent
from controller.station.progress import Progress
from controller.station.reading import Execute, Reading
from controller.station.replaying import replay_recorded
from controller.station.validating import validate
from controller.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a daemon's station works on. `end_processes` ends every algorithm process of the store.

    `desired` is the folder that `source` reads.
    """

    store: Store
    source: Source
    observer: Observer
    loop: Loop
    taker: RevisionTaker
    plane: DataPlane
    feedback: Feedback
    series: CallSeries
    scrapes: Scrapes
    operator: Operator
    packages: PackageOperations
    activations: Activations
    progress: Progress
    events: EventLog
    followers: Followers
    operations: Operations
    clock: Callable[[], Instant]
    end_processes: Callable[[], Awaitable[tuple[str, ...]]]
    desired: Path


class LocalStation:
    """Carries out commands for one daemon."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reading = Reading(parts)
        self._executors: Mapping[type[Command[object]], Execute] = cast(
            "Mapping[type[Command[object]], Execute]",
            {
                **self._reading.executors, Detect: self._detect,
                Reconcile: self._reconcile, Install: self._install, Uninstall: self._uninstall, Down: self._down,
                **dict.fromkeys((Promote, Pause, Abort, Retry, Restart, Resume, Rollback), self._operate),
                GiveFeedback: self._give_feedback, GetSeries: self._series,
                GetLastParts: self._last_parts, GetPicture: self._picture, StartOperation: self._start,
                ListOperations: self._operations,
                GetOperation: self._operation, FollowOperation: self._follow,
                GetMetrics: self._metrics,
                InstallStored: self._install_stored,
                **dict.fromkeys((Validate, ValidateStored), self._validate),
                **dict.fromkeys((Activate, Switch), self._activate),
                ListPackages: self._list_packages, ListActive: self._list_active,
                **tokens.executors(parts.store),
                ReplayRecorded: self._replay,
                **recordings.executors(parts.store),
            },
        )  # fmt: skip

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Carry out a command; see `Station.execute`."""
        require_access(command, caller)
        if command.operation.long:
            return await self._parts.operations.execute(command, caller, self._work(command, caller), report)
        return cast(Result, await self._executors[type(command)](command, caller, report))

    def _work(self, command: Command[object], caller: Caller) -> Callable[[Report], Awaitable[object]]:
        return lambda report: self._executors[type(command)](command, caller, report)

    async def _start(self, start: StartOperation, caller: Caller, _report: Report) -> OperationDocument:
        require_access(start.command, caller)
        return await self._parts.operations.start(start.command, caller, self._work(start.command, caller))

    async def _operations(self, query: ListOperations, _caller: Caller, _report: Report) -> tuple[OperationRow, ...]:
        return await self._parts.operations.list(query)

    async def _operation(self, query: GetOperation, _caller: Caller, _report: Report) -> OperationDocument:
        return await self._parts.operations.get(query.id)

    async def _follow(self, query: FollowOperation, _caller: Caller, report: Report) -> OperationDocument:
        return await self._parts.operations.follow(query.id, report)

    async def _detect(self, command: Detect, _caller: Caller, _report: Report) -> Detection:
        return await self._parts.plane.execute(command.request)

    async def _give_feedback(self, command: GiveFeedback, caller: Caller, _report: Report) -> FeedbackCounted:
        source = command.source or caller.name
        given = await self._parts.feedback.give(command.request_id, command.truth, source)
        return FeedbackCounted(
            given.request_id, given.pid, given.package.name, given.package.version, given.verdict, command.truth,
            counted(given.verdict, command.truth),
        )  # fmt: skip

    async def _series(self, query: GetSeries, _caller: Caller, _report: Report) -> DeploymentSeries:
        if self._parts.loop.outcome is None:
            raise CodedError(Code.not_initialized, self._reading.starting(), next_step="ask again in a moment")
        epoch = self._parts.clock().epoch
        return measuring.series(query, self._parts.series, self._parts.loop.outcome, epoch)

    async def _last_parts(self, query: GetLastParts, _caller: Caller, _report: Report) -> list[LastPart]:
        return parts.last_parts(self._parts.plane, query)

    async def _picture(self, query: GetPicture, _caller: Caller, _report: Report) -> PictureFile:
        return await parts.picture(self._parts.plane, query)

    async def _metrics(self, query: GetMetrics, _caller: Caller, _report: Report) -> MetricsText:
        return await self._parts.scrapes.scrape(query.accept)

    async def _reconcile(self, command: Reconcile, caller: Caller, report: Report) -> ReconcileReport:
        """Read the desired tree again, and return once nothing is left that can be done now."""
        if command.plan is not None:
            now = await self._reading.preview(PreviewPlan(command.allow_empty, command.serve))
            require_planned(command.plan, now)
        self._parts.taker.read_again(allow_empty=command.allow_empty)
        with self._parts.progress.listener(report):
            try:
                outcome = await self._parts.loop.wait_idle(command.timeout, wait=command.wait)
            except DesiredStateError:
                return ReconcileReport(int(Exit.invalid), await self._reading.status(GetStatus(), caller, report))
        return ReconcileReport(int(outcome.exit), outcome.status.to_document())

    async def _operate(self, command: OperatorCommand, caller: Caller, _report: Report) -> Message:
        decided = await self._parts.loop.between_passes(
            lambda: asyncio.to_thread(self._parts.operator.execute, command, caller)
        )
        log.info("%s says %s: %s", caller.shown, type(command).__name__.lower(), decided.message)
        self._parts.loop.wake()
        return decided

    async def _install(self, command: Install, caller: Caller, report: Report) -> PackageState:
        with self._parts.progress.listener(report):
            installed = await self._parts.packages.install(command.zip_path, caller)
        self._parts.loop.wake()
        return installed

    async def _install_stored(self, command: InstallStored, caller: Caller, report: Report) -> PackageState:
        with self._parts.progress.listener(report):
            installed = await self._parts.packages.install_stored(command.zip, caller)
        self._parts.loop.wake()
        return installed

    async def _uninstall(self, command: Uninstall, caller: Caller, report: Report) -> PackageState:
        package = PackageRef(command.name, command.version)
        with self._parts.progress.listener(report):
            return await self._parts.packages.uninstall(package, caller, force=command.force)

    async def _validate(self, command: Validate | ValidateStored, _caller: Caller, report: Report) -> PackageReport:
        store, clock = self._parts.store, self._parts.clock
        return await asyncio.to_thread(validate, store, lambda: format_timestamp(clock().epoch), command, report)

    async def _replay(self, command: ReplayRecorded, _caller: Caller, report: Report) -> ReplayDocument:
        store, packages = self._parts.store, self._parts.packages.packages
        return await replay_recorded(store, packages, store.layout, command, store.layout.root, report)

    async def _activate(self, command: GiveVersion, caller: Caller, report: Report) -> Activation:
        try:
            with self._parts.progress.listener(report):
                return await self._parts.activations.execute(command, caller)
        finally:
            self._parts.loop.wake()

    async def _list_packages(self, query: ListPackages, _caller: Caller, _report: Report) -> PackageRows:
        _, observed = await self._look()
        return packages_of(observed, query)

    async def _list_active(self, query: ListActive, _caller: Caller, _report: Report) -> ActivePids:
        return active_pids_of(*await self._look(), query)

    async def _look(self) -> tuple[Revision, Observed]:
        """Return what is in force, and what there is at this moment."""
        parts = self._parts
        revision = await asyncio.to_thread(parts.store.revision.read) or NO_REVISION
        return revision, await parts.observer.observe(revision, parts.loop.reconciler.backoff.failures)

    async def _down(self, _command: Down, caller: Caller, _report: Report) -> Ended:
        """End the loop, then every algorithm process."""
        log.info("stopping, and ending every algorithm process: %s says down", caller.shown)
        self._parts.loop.stop()
        await self._parts.loop.finished.wait()
        return Ended(await self._parts.end_processes())
