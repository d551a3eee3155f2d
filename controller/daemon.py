"""The composition of `pvctl run`: loop, data plane, watches, server, signals and systemd around one store."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from controller import __version__
from controller.calls.data_plane import DataPlane
from controller.calls.detection import smoke
from controller.calls.feedback import Feedback
from controller.calls.gallery import Gallery, memory_is_short
from controller.calls.mirror import Mirror
from controller.calls.recording import Recorder
from controller.calls.series import CallSeries
from controller.calls.service import Service
from controller.errors import StoreError
from controller.gateway.process import GatewayProcess
from controller.host import service_manager
from controller.host.memory import give_back
from controller.http.application import application
from controller.http.server import SocketServer
from controller.model.desired import Revision
from controller.model.objects import is_unmanaged
from controller.model.rollout import Instant, Rollout
from controller.model.status import DaemonStatus
from controller.model.unmanaged import serving_deployment
from controller.packages.background import BackgroundCheck
from controller.packages.leftovers import end_work
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.supervision import SupervisionLimits, Supervisor
from controller.reconciler.apply import Applier
from controller.reconciler.background_checks import BackgroundChecks
from controller.reconciler.loop import PATIENCE, RESYNC, Loop
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Packages, Source
from controller.reconciler.reconciler import Outcome, Reconciler
from controller.reconciler.recover import recover
from controller.reconciler.revisions import RevisionTaker
from controller.reconciler.zips import ZipFolder
from controller.replay.replays import RolloutReplays
from controller.sources.quiescing import QuiescingTree
from controller.sources.watch import FolderWatch
from controller.station.activation import Activations
from controller.station.events import EventLog
from controller.station.local import LocalStation
from controller.station.local import Parts as StationParts
from controller.station.log_feeds import Followers
from controller.station.metrics.scrape import Scrapes, Sources
from controller.station.operations import Operations
from controller.station.operator import Operator
from controller.station.packages import PackageOperations
from controller.station.parts_events import PartsEvents
from controller.station.progress import Progress
from controller.station.status_events import StatusEvents
from controller.store.lock import ControllerLock
from controller.store.operations import OperationFiles
from controller.store.store import Store
from controller.store.tally_store import TallyStore
from controller.store.verdicts import VerdictJournal

log = logging.getLogger(__name__)

_GRACE = 5.0
"""Seconds that calls in flight may take to end when the daemon stops."""
_COUNT_EVERY = 1.0
"""Seconds between two looks at what calls came to."""
_THREADS = 1.0
"""Seconds that threads may take to begin."""
_TURN = 0.0005
"""Seconds after which a thread lets another one have its turn (`sys.setswitchinterval`). A call must not wait for
Python's 5 ms while a pass looks at the station in a thread beside it."""
_TEND_EVERY = 1.0
"""Seconds between two looks whether `run/` and what the daemon has there still stand."""
_HEAD_START = 1.0
"""Seconds for which the first pass leaves it to processes to be adopted, so that it need not tell of them twice."""
_SOON = 0.02
"""Seconds in which several failures of calls make one verdict."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a daemon is made of beside what it builds itself. `clock` gives the boot-time clock, `now` RFC 3339."""

    store: Store
    lock: ControllerLock
    source: Source
    tree: QuiescingTree
    packages: Packages
    actor: str
    clock: Callable[[], Instant]
    now: Callable[[], str]
    check: tuple[str, ...]
    """The command that checks one zip in full, without the zip's path."""
    socket_group: str | None = None
    gateway: GatewayProcess | None = None


async def run(parts: Parts) -> None:
    """Keep the station as desired until SIGTERM, SIGINT or `pvctl down`. The caller holds the controller's lock.

    SIGTERM leaves the algorithm processes running; SIGHUP reads the desired tree again at once.

    Raises:
        StoreError: the store or its socket cannot be used.
    """
    log.info(
        "pvctl %s started as process %s: store %s, desired tree %s",
        __version__, os.getpid(), parts.store.layout.root, parts.tree.folder,
    )  # fmt: skip
    try:
        recover(parts.store, parts.packages, parts.actor, log.info)
    except StoreError as error:  # a full disk, say: what answers must go on answering; the next start tries again
        log.error("cannot put an earlier life in order: %s", error)  # noqa: TRY400 - an operator's error, not a defect
    try:
        await _serve(parts)
    except StoreError as error:
        log.error("ended: %s; %s", error, error.next_step)  # noqa: TRY400 - an operator's error, not a defect
        raise
    except Exception:
        log.exception("ended by a defect of the controller")
        raise


async def _serve(parts: Parts) -> None:
    sys.setswitchinterval(_TURN)
    await _take_threads()
    runner = ProcessPool(parts.store.layout, smoke=smoke, now=parts.now)
    try:
        await Daemon(parts, runner).run()
    finally:
        await runner.close()


async def _take_threads() -> None:
    """Begin the threads that work goes to beside the loop: later the machine may have none to give."""
    count = min(32, (os.cpu_count() or 1) + 4)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(count, "beside"))
    together = threading.Barrier(count)
    with suppress(RuntimeError, threading.BrokenBarrierError):  # fewer will do
        await asyncio.gather(*(asyncio.to_thread(together.wait, _THREADS) for _ in range(count)))


class Daemon:
    """The parts of one daemon's life, plugged together."""

    _judging_soon: asyncio.TimerHandle | None = None

    def __init__(self, parts: Parts, runner: ProcessPool) -> None:
        store, layout = parts.store, parts.store.layout
        self._parts = parts
        self._runner = runner
        progress = Progress(log.debug)
        self._followers = Followers()
        self._events = EventLog(f"{round(parts.clock().epoch * 1000):x}")
        store.audit.listen(partial(self._events.publish_encoded, "audit"))
        self._tally_store = TallyStore(layout)
        zips = ZipFolder(layout, parts.packages)
        replays = RolloutReplays(layout)
        observer = Observer(store, parts.packages, runner.observe, self._tally_store, zips, replays=replays.reports)
        applier = Applier(store, parts.packages, runner, actor=parts.actor, now=parts.now, notify=progress)
        applier.replays = replays
        gateway = self._gateway = parts.gateway
        recorder = self._recorder = Recorder(layout, self._wake_from_thread)
        about = DaemonStatus(
            True, os.getpid(), parts.now(), str(parts.tree.folder), listen=gateway.url if gateway else None
        )
        reconciler = self._reconciler = Reconciler(
            store, observer, applier, parts.clock, daemon=about, file_events=lambda: self._watch.trouble,
            listener=lambda: gateway.trouble if gateway else None, recording=lambda: recorder.trouble,
        )  # fmt: skip
        self._taker = RevisionTaker(parts.source, store, parts.tree, lambda: self._watch.being_written)
        self._loop = Loop(reconciler, self._taker.take, self._configure, self._on_pass)
        replays.on_progress = self._loop.wake
        self._loop.on_ended = StatusEvents(self._loop, self._events.publish).look
        self._checks = BackgroundChecks(zips, BackgroundCheck(parts.check, layout.staging), self._loop.wake)
        self._supervisor = Supervisor(runner, on_exited=self._loop.process_ended)
        self._plane = DataPlane(runner, store.active, Gallery(partial(memory_is_short, layout)))
        self._mirror = Mirror(runner, partial(memory_is_short, layout), recorder.disagreed)
        self._plane.follow(recorder, self._mirror)
        self._series = CallSeries()
        self._feedback = Feedback(VerdictJournal(layout), self._plane)
        self._watch = FolderWatch(
            self._wake_from_thread, flat=(layout.zips, layout.active), recursive=(parts.tree.folder,)
        )
        operations = Operations(OperationFiles(layout), parts.now, partial(self._events.publish, "operation"))
        station = LocalStation(
            StationParts(
                store, parts.source, observer, self._loop, self._taker, self._plane, self._feedback, self._series,
                Scrapes(
                    Sources(
                        self._plane, self._mirror, self._series, runner, self._loop, recorder.writer,
                        gateway.refusals.counted if gateway else dict,
                    ),
                    about.started_at or "",
                ),
                Operator(store, parts.packages, parts.clock),
                PackageOperations(store, parts.packages, observer, applier, self._loop.between_passes),
                Activations(store, observer, applier, self._loop.between_passes, parts.clock),
                progress, self._events, self._followers, operations, parts.clock, self._end_processes,
                parts.tree.folder,
            )
        )  # fmt: skip
        self._server = SocketServer(application(station, layout), layout, group=parts.socket_group)
        self._asyncio = asyncio.get_running_loop()
        self._plane.report_failing(self._failing)
        runner.on_adoption = self._loop.wake

    async def run(self) -> None:
        """Serve until the loop is stopped."""
        self._plane.restore(self._tally_store.load())
        self._mirror.counts.restore(*self._tally_store.shadows.load())
        self._series.begin(self._plane.tallies())
        self._handle_signals()
        self._watch.start()
        self._supervisor.start()
        await self._plane.start()
        self._runner.make_folder()
        parts = PartsEvents(self._plane, self._events).run()
        looking_after = tuple(map(asyncio.create_task, (self._count(), self._look_after(), self._tend(), parts)))
        try:
            await self._server.start()  # first of all: whatever stands still below, somebody must be there to say so
            log.info("listening at %s", self._parts.store.layout.socket)
            if self._gateway is not None:
                self._gateway.on_change = self._loop.wake
                self._gateway.start()
            service_manager.notify("READY=1")
            await self._runner.open(_HEAD_START)
            await self._loop.run()
        finally:
            service_manager.notify("STOPPING=1")
            for task in looking_after:
                task.cancel()
            if self._gateway is not None:
                await self._gateway.stop()
            await self._checks.stop()
            self._events.close()
            self._followers.close()
            await self._server.stop(_GRACE)
            self._supervisor.stop()
            await self._plane.stop()
            await self._mirror.close()
            await self._recorder.close()
            self._keep_counts()
            await asyncio.to_thread(self._keep_verdicts)
            await self._reconciler.later.flush_within(PATIENCE)
            await asyncio.to_thread(self._watch.stop)
            going_on = sum(process.state in {"ready", "busy"} for process in self._runner.processes())
            log.info("stopped; %s algorithm processes go on", going_on)

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._asyncio.add_signal_handler(number, self._stop, number)
        self._asyncio.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop(self, number: signal.Signals) -> None:
        log.info("stopping: %s", number.name)
        self._loop.stop()

    def _reload(self) -> None:
        log.info("the desired tree is read again: SIGHUP")
        if self._gateway is not None:
            self._gateway.reload()
        self._taker.read_again()
        self._loop.wake()

    def _wake_from_thread(self) -> None:
        with suppress(RuntimeError):  # the loop is closed already: nothing is left to wake
            self._asyncio.call_soon_threadsafe(self._loop.wake)

    def _configure(self, revision: Revision) -> None:
        running = {process.key.deployment for process in self._runner.processes()}
        unmanaged = (serving_deployment(revision, name) for name in sorted(running) if is_unmanaged(name))
        deployments = (*revision.deployments, *(each for each in unmanaged if each is not None))
        self._runner.configure(
            {each.name: each.spec.timeouts for each in deployments},
            {each.name: each.spec.pictures for each in deployments},
        )
        self._plane.gallery.allow(pictures=revision.policy.page.pictures == "on")
        self._supervisor.configure({each.name: SupervisionLimits.of_deployment(each) for each in deployments})
        self._plane.configure({each.name: Service.of_deployment(each) for each in deployments})
        self._recorder.configure(deployments)
        self._series.configure({pid: each.name for pid, each in revision.by_pid.items()})

    def _on_pass(self, outcome: Outcome) -> None:
        self._plane.judge(judged := judged_rollouts(outcome))
        self._mirror.judge(judged)
        self._plane.forget(outcome.uncounted)
        self._tally_store.forget(outcome.uncounted)
        _tell_systemd(outcome)
        self._checks.consider(at_rest=outcome.plan.empty and not self._loop.reconciler.applier.in_flight)

    async def _count(self) -> None:
        """Note what calls came to, wake the loop where a verdict may have changed, and tell systemd of being alive."""
        while True:
            await asyncio.sleep(_COUNT_EVERY)
            before = self._tally_store.tallies, self._tally_store.shadows.agreements
            await self._plane.settle()
            self._keep_counts()
            await self._series.take(self._tally_store.tallies, self._parts.clock().epoch)
            await asyncio.to_thread(self._keep_verdicts)
            if self._loop.judging and (self._tally_store.tallies, self._tally_store.shadows.agreements) != before:
                self._loop.wake()
            service_manager.notify("WATCHDOG=1")

    async def _look_after(self) -> None:
        """Note how long the status has been true; try to have file events again where the system had none to give.

        Give back memory that an installation, a pass or a scrape has freed.
        """
        while True:
            await asyncio.sleep(RESYNC)
            await asyncio.to_thread(give_back)
            if (concluded := self._loop.concluded) is not None and not self._loop.failing:
                await asyncio.to_thread(self._parts.store.status.confirm, concluded.epoch)
            if self._watch.trouble:
                await asyncio.to_thread(self._watch.start)

    async def _tend(self) -> None:
        """Make anew what somebody removed of `run/`: the folder, the way to the images, the lock's file, the socket."""
        said = ""
        while True:
            await asyncio.sleep(_TEND_EVERY)
            try:
                if await asyncio.to_thread(self._runner.make_folder):
                    self._server.guard()
                    log.warning("%s was removed: made anew", self._parts.store.layout.run)
                await asyncio.to_thread(self._parts.lock.restore_file)
                if await self._server.restore():
                    log.warning("%s was removed: listening there anew", self._parts.store.layout.socket)
                said = ""
            except StoreError as error:
                if said != str(error):
                    log.error("%s", said := str(error))  # noqa: TRY400 - an operator's error, not a defect

    def _failing(self) -> None:
        """A call failed that counts: where a rollout is judged, do not wait for the next count."""
        if self._loop.judging and self._judging_soon is None:
            self._judging_soon = self._asyncio.call_later(_SOON, self._judge_now)

    def _judge_now(self) -> None:
        self._judging_soon = None
        self._keep_counts()
        self._loop.wake()

    def _keep_counts(self) -> None:
        self._tally_store.note(self._plane.tallies(), self._plane.last_errors(), self._parts.clock())
        self._reconciler.later.write("rollouts/.tallies.json", self._tally_store.save)
        self._tally_store.shadows.note(self._mirror.counts.agreements, self._mirror.counts.differing)
        self._reconciler.later.write("rollouts/.shadows.json", self._tally_store.shadows.save)

    def _keep_verdicts(self) -> None:
        try:
            self._feedback.save()
        except OSError as error:  # feedback on these is refused for as long
            log.warning("cannot write down which verdicts were given: %s", error)

    async def _end_processes(self) -> tuple[str, ...]:
        self._supervisor.stop()
        await self._plane.stop()
        await asyncio.to_thread(end_work, self._parts.store.layout.staging)
        ended = await asyncio.to_thread(end_all, self._parts.store.layout)
        return tuple(str(process.key) for process in ended)


def judged_rollouts(outcome: Outcome) -> dict[str, Rollout]:
    """Return the rollouts whose targets are judged now, by their deployments."""
    found = {name: record.rollout for name, record in outcome.plan.records.items()}
    return {name: each for name, each in found.items() if each and (each.under_way or each.state == "promoted")}


def _tell_systemd(outcome: Outcome) -> None:
    state = "converged" if outcome.status.converged else "not converged"
    service_manager.notify(f"STATUS=revision {outcome.status.revision.id}, {state}")
