"""Commands where no daemon runs: read the store's files, or become its controller for as long as a command takes.

Everything here blocks (see `port.finish`), and each part of the product is loaded only for the command that needs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from controller.station.commands.activating import Activate, Activation, GiveVersion, Switch
from controller.station.commands.detecting import Detect
from controller.station.commands.feedback import FeedbackCounted, GiveFeedback
from controller.station.commands.measuring import GetMetrics, MetricsText
from controller.station.commands.operations import StartOperation
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
    PackageState,
    Uninstall,
)
from controller.station.commands.parts import GetLastParts, GetPicture
from controller.station.commands.reconciling import Down, Ended, PreviewPlan, Reconcile, ReconcileReport
from controller.station.commands.recordings import (
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportRecordings,
    ListRecordings,
    ShowRecording,
)
from controller.station.commands.replaying import ReplayExported, ReplayRecorded
from controller.station.commands.tokens import (
    CreatedToken,
    CreateToken,
    ListTokens,
    RevokedToken,
    RevokeToken,
    TokenList,
)
from controller.station.commands.validating import PackageReport, Validate, ValidateStored
from controller.station.offline_reading import OfflineReading
from controller.station.port import Caller, Command, Report, Result
from controller.store.layout import StoreLayout

if TYPE_CHECKING:
    from controller.client.answers import Detection
    from controller.model.operation import OperationDocument
    from controller.model.rollout import Instant
    from controller.model.status import DaemonStatus
    from controller.packages.install import Installer
    from controller.reconciler.apply import Applier
    from controller.reconciler.observe import Observer
    from controller.reconciler.reconciler import Outcome
    from controller.replay.document import ReplayDocument
    from controller.sources.folder import FolderSource
    from controller.station.by_hand import ByHand
    from controller.station.recordings import RecordingCommand
    from controller.store.store import Store

_Execute = Callable[[Command[object], Caller, Report], object]


class OfflineCommands(OfflineReading):
    """Carries out commands on one store and one desired tree. `now` is an RFC 3339 clock, `clock` the boot-time one."""

    def __init__(
        self, layout: StoreLayout, desired: Path, now: Callable[[], str], clock: Callable[[], Instant]
    ) -> None:
        super().__init__(layout, desired, now, clock)
        self._executors: Mapping[type[Command[object]], _Execute] = cast(
            "Mapping[type[Command[object]], _Execute]",
            {
                Detect: self._detect, Reconcile: self._reconcile, Install: self._install,
                Uninstall: self._uninstall, Down: self._down, **self._queries,
                **dict.fromkeys((Promote, Pause, Abort, Retry, Restart, Resume, Rollback), self._operate),
                **dict.fromkeys((GetLastParts, GetPicture), self._last_parts),
                StartOperation: self._start,
                GiveFeedback: self._give_feedback, GetMetrics: self._metrics,
                InstallStored: self._install_stored,
                **dict.fromkeys((Validate, ValidateStored), self._validate),
                **dict.fromkeys((Activate, Switch), self._activate),
                **dict.fromkeys((CreateToken, ListTokens, RevokeToken), self._tokens),
                **dict.fromkeys(
                    (ListRecordings, GetRecording, ShowRecording, ExportRecordings, ImportRecordings, DeleteRecordings),
                    self._recordings,
                ),
                **dict.fromkeys((ReplayRecorded, ReplayExported), self._replay),
            },
        )  # fmt: skip

    def execute(self, command: Command[Result], caller: Caller, report: Report) -> Result:
        """Carry out a command. Raises StoreBusy: it changes something, and another controller holds the store."""
        return cast(Result, self._executors[type(command)](command, caller, report))

    def _give_feedback(self, _command: GiveFeedback, _caller: Caller, _report: Report) -> FeedbackCounted:
        from controller.errors import Code, CodedError

        raise CodedError(
            Code.not_initialized,
            "no daemon runs, and only that counts calls",
            next_step="start `pvctl run`, then tell it again",
        )

    def _last_parts(self, _query: GetLastParts | GetPicture, _caller: Caller, _report: Report) -> NoReturn:
        from controller.errors import Code, CodedError

        raise CodedError(
            Code.not_initialized, "no daemon runs, and only that sees parts", next_step="start `pvctl run`"
        )

    def _metrics(self, _query: GetMetrics, _caller: Caller, _report: Report) -> MetricsText:
        from controller.errors import Code, CodedError

        raise CodedError(Code.not_initialized, "no daemon runs, and only that measures", next_step="start `pvctl run`")

    def _tokens(
        self, command: CreateToken | ListTokens | RevokeToken, caller: Caller, _report: Report
    ) -> CreatedToken | TokenList | RevokedToken:
        """Nobody need be the store's controller for them: the file has a lock of its own."""
        from controller.station.tokens import execute

        store = self._store()
        if isinstance(command, CreateToken):
            store.create_folders()  # tokens come before the first `pvctl run --listen`
        return execute(store, command, caller)

    def _recordings(self, command: RecordingCommand, caller: Caller, _report: Report) -> object:
        """Nobody need be the store's controller for them: the recordings have a lock of their own."""
        from controller.station.recordings import execute

        if isinstance(command, ImportRecordings):
            self._store().create_folders()  # the algorithm team's laptop has no store yet
        else:
            self._require_store()
        return execute(self._store(), command, caller)

    def _replay(self, command: ReplayRecorded | ReplayExported, _caller: Caller, report: Report) -> ReplayDocument:
        """Nobody need be the store's controller for it: its processes stand in a store of their own."""
        from controller.replay.workshop import workshop
        from controller.station.event_loop import run
        from controller.station.replaying import replay_recorded

        self._require_store()
        store = self._store()
        if isinstance(command, ReplayExported):
            asked, recordings = command.replay, command.recordings
        else:
            asked, recordings = command, self._layout.root
        with workshop() as folder:
            place = StoreLayout.at(folder / "0")
            return run(replay_recorded(store, self._packages(store), place, asked, recordings, report))

    # Commands.

    def _start(self, start: StartOperation, caller: Caller, report: Report) -> OperationDocument:
        from controller.errors import ControllerError

        raise ControllerError(
            f"no daemon runs that could go on with {type(start.command).__name__.lower()}",
            next_step="start `pvctl run`",
        )

    def _detect(self, command: Detect, _caller: Caller, _report: Report) -> Detection:
        """Run one detection directly through a process of the version that answers it."""
        from controller.calls.offline import execute_once
        from controller.calls.routing import Routes
        from controller.station.event_loop import run

        routes = Routes(self._store().active)
        return run(execute_once(self._layout, lambda: routes.route(command.request)))

    def _operate(self, command: OperatorCommand, caller: Caller, report: Report) -> Message:
        from controller.station.event_loop import run
        from controller.station.operator import Operator

        self._require_store()
        store = self._store()
        packages = self._packages(store)
        with self._as_controller(type(command).__name__.lower()):
            decided = Operator(store, packages, self._clock).execute(command, caller)
            applier = self._idle_applier(store, packages, caller, report)
            run(self._restate(store, self._observer(store, packages), applier, report))
        return Message(f"{decided.message} (at the next `pvctl reconcile --once`; no daemon runs)")

    def _reconcile(self, command: Reconcile, caller: Caller, report: Report) -> ReconcileReport:
        """Make the station match the desired state, as the store's controller."""
        from controller.reconciler.revisions import load_desired
        from controller.station.event_loop import run
        from controller.station.planned import require_planned

        store, source = self._store(), self._source()
        load_desired(source, store, allow_empty=command.allow_empty)  # what was never valid must not create a store
        store.create_folders()
        with self._as_controller("reconcile --once"):
            if command.plan is not None:
                now = self._preview(PreviewPlan(command.allow_empty, command.serve), caller, report)
                require_planned(command.plan, now)
            outcome = run(self._converge(store, source, command, caller, report))
        return ReconcileReport(int(outcome.exit), outcome.status.to_document())

    async def _converge(
        self, store: Store, source: FolderSource, command: Reconcile, caller: Caller, report: Report
    ) -> Outcome:
        from controller.calls.detection import smoke
        from controller.processes.pool import ProcessPool
        from controller.processes.supervision import UsageMeter
        from controller.reconciler.apply import Applier
        from controller.reconciler.loop import PATIENCE
        from controller.reconciler.observe import Observer
        from controller.reconciler.reconciler import Reconciler
        from controller.reconciler.recover import recover
        from controller.reconciler.revisions import take_revision
        from controller.replay.replays import RolloutReplays

        desired = take_revision(source, store, allow_empty=command.allow_empty, where=str(self._desired.absolute()))
        packages = self._packages(store)
        recover(store, packages, caller.name, report)
        pool = ProcessPool(store.layout, smoke=smoke, now=self._now)
        await pool.open()
        pool.configure(
            {each.name: each.spec.timeouts for each in desired.revision.deployments},
            {each.name: each.spec.pictures for each in desired.revision.deployments},
        )
        applier = Applier(store, packages, pool, actor=caller.name, now=self._now, notify=report)
        applier.worker = caller.worker
        applier.replays = replays = RolloutReplays(store.layout)
        try:
            observer = Observer(store, packages, UsageMeter(pool).observe, replays=replays.reports)
            reconciler = Reconciler(store, observer, applier, self._clock, daemon=self._about())
            return await reconciler.converge(
                desired, serve=command.serve, wait=command.wait, timeout=command.timeout
            )  # fmt: skip
        finally:
            await applier.finish(PATIENCE)
            await pool.close()

    def _install(self, command: Install, caller: Caller, report: Report) -> PackageState:
        self._store().create_folders()
        return self._by_hand("install", caller, report, lambda hand: hand.packages.install(command.zip_path, caller))

    def _install_stored(self, command: InstallStored, caller: Caller, report: Report) -> PackageState:
        self._require_store()
        return self._by_hand("install", caller, report, lambda hand: hand.packages.install_stored(command.zip, caller))

    def _validate(self, command: Validate | ValidateStored, _caller: Caller, report: Report) -> PackageReport:
        from controller.station.validating import validate

        self._require_store()
        return validate(self._store(), self._now, command, report)

    def _uninstall(self, command: Uninstall, caller: Caller, report: Report) -> PackageState:
        from controller.model.package import PackageRef

        self._require_store()
        package, force = PackageRef(command.name, command.version), command.force
        return self._by_hand(
            "uninstall", caller, report, lambda hand: hand.packages.uninstall(package, caller, force=force)
        )  # fmt: skip

    def _activate(self, command: GiveVersion, caller: Caller, report: Report) -> Activation:
        self._require_store()
        role = type(command).__name__.lower()
        return self._by_hand(role, caller, report, lambda hand: hand.activations.execute(command, caller))

    def _by_hand(
        self, role: str, caller: Caller, report: Report, work: Callable[[ByHand], Awaitable[Result]]
    ) -> Result:
        """Do work on packages as the store's only controller, under the role's name."""
        from controller.station.event_loop import run

        with self._as_controller(role):
            return run(self._alone(caller, report, work))

    async def _alone(self, caller: Caller, report: Report, work: Callable[[ByHand], Awaitable[Result]]) -> Result:
        from controller.calls.detection import smoke
        from controller.processes.pool import ProcessPool
        from controller.processes.supervision import UsageMeter
        from controller.reconciler.apply import Applier
        from controller.reconciler.observe import Observer
        from controller.station.by_hand import ByHand

        store = self._store()
        packages = self._packages(store)
        pool = ProcessPool(store.layout, smoke=smoke, now=self._now)
        await pool.open()
        try:
            observer = Observer(store, packages, UsageMeter(pool).observe)
            applier = Applier(store, packages, pool, actor=caller.name, now=self._now, notify=report)
            done = await work(ByHand.alone(store, packages, observer, applier, self._clock))
            await self._restate(store, observer, applier, report)
        finally:
            await pool.close()
        return done

    def _idle_applier(self, store: Store, packages: Installer, caller: Caller, report: Report) -> Applier:
        """Return what carries out acts that have to do with no process."""
        from controller.calls.detection import smoke
        from controller.processes.pool import ProcessPool
        from controller.reconciler.apply import Applier

        pool = ProcessPool(store.layout, smoke=smoke, now=self._now)
        return Applier(store, packages, pool, actor=caller.name, now=self._now, notify=report)

    async def _restate(self, store: Store, observer: Observer, applier: Applier, report: Report) -> None:
        """Have the status say what was done: no pass follows that would. The command itself has succeeded already."""
        from controller.errors import StoreError
        from controller.reconciler.reconciler import Reconciler

        try:
            await Reconciler(store, observer, applier, self._clock, daemon=self._about()).restate()
        except StoreError as error:
            report(f"done, but the status does not say so yet: {error}")

    def _about(self) -> DaemonStatus:
        from controller.model.status import DaemonStatus

        return DaemonStatus(source=str(self._desired.absolute()))

    def _down(self, _command: Down, _caller: Caller, _report: Report) -> Ended:
        """End every algorithm process of the store, and what a killed controller was installing."""
        from controller.packages.leftovers import end_work
        from controller.processes.census import end_all

        self._require_store()
        with self._as_controller("down"):
            end_work(self._layout.staging)
            return Ended(tuple(str(process.key) for process in end_all(self._layout)))
