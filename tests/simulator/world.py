"""A simulated station: time, packages, processes and traffic, with faults, around the real reconciler.

Nothing here takes real time. What a version does wrong is its nature; what the host does wrong is the world's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from controller.errors import Code, CodedError, ControllerError, PackageError, StartFailed, StoreError
from controller.model.comparison import Agreement
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import ActiveMapping, BrokenMapping, ObservedProcess
from controller.model.package import Installation, Manifest, PackageRecord, PackageRef, Receipt, Verdict
from controller.model.replay import ReplayReport
from controller.model.rollout import Instant, RolloutRecord
from controller.model.tally import Counted, LatencySketch, Tally, bin_of
from controller.processes.spec import ProcessSpec
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Packages
from controller.reconciler.reconciler import Outcome, Reconciler
from controller.reconciler.recover import recover
from controller.reconciler.revisions import Desired
from controller.rollouts.cohorts import cohort
from controller.station.commands.operator import Abort, Pause, Promote, Resume, Retry, Rollback
from controller.station.operator import Operator
from controller.station.port import Caller
from controller.store.store import Store
from controller.store.tally_store import TallyStore
from tests.builders import receipt, zip_record
from tests.simulator.memory import MemoryActive, MemoryRollouts, memory_store, tapped
from tests.simulator.replays import SimReplays, shown

PIDS = ("A01", "A02", "A03", "A04", "A05", "B01", "B02")
QUICK = bin_of(0.02)
_COMMANDS = {each.__name__.lower(): each for each in (Promote, Pause, Abort, Retry, Resume, Rollback)}
EPOCH = 1_770_000_000.0


class Killed(BaseException):
    """The controller dies here: nothing of it goes on."""


@dataclass
class Nature:
    """What a version does. Shares are per call; `memory` in bytes.

    `newly_ok` and `newly_ng` are of the pictures that the version before called NG and OK.
    """

    install_fails: bool = False
    never_ready: bool = False
    errors: float = 0.0
    timeouts: float = 0.0
    crashes: float = 0.0
    loses_heart: bool = False
    memory: int = 100 << 20
    newly_ok: float = 0.0
    newly_ng: float = 0.0

    @property
    def healthy(self) -> bool:
        return self == Nature()


@dataclass
class SimPackages:
    """Zips and installations in memory. A zip is a version; installing takes no time, but may fail."""

    nature: Callable[[PackageRef], Nature]
    tap: Callable[[str], None]
    clock: Callable[[], str]
    zips: dict[PackageRef, PackageRecord] = field(default_factory=dict)
    installed: dict[PackageRef, Installation] = field(default_factory=dict)

    def deliver(self, ref: PackageRef) -> None:
        self.zips[ref] = zip_record(ref, PIDS)

    def survey(self, zip_path: Path) -> tuple[Manifest, str]:
        [record] = (each for each in self.zips.values() if each.zip_name == zip_path.name)
        return Manifest(record.name, record.version, "m:C", "", PIDS), record.digest

    def judge(self, zip_path: Path, digest: str) -> Verdict | None:
        return None

    def install(
        self,
        zip_path: Path,
        *,
        expect: PackageRef | None = None,
        expect_digest: str | None = None,
        progress: Callable[[str], None] = lambda step: None,
    ) -> Receipt:
        assert expect is not None
        self.tap(f"install {expect}")
        if self.nature(expect).install_fails:
            raise PackageError(Code.install_failed, f"{expect} does not import")
        done = receipt(expect, PIDS, self.zips[expect].digest, self.clock())
        self.installed[expect] = Installation(done, f"/nowhere/{expect}")
        self.tap(f"installed {expect}")
        return done

    def installations(self) -> dict[PackageRef, Installation]:
        return dict(self.installed)

    def uninstall(self, ref: PackageRef) -> None:
        self.installed.pop(ref, None)

    def sweep(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class SimZips:
    """The zips in memory: the port through which an observer looks at a folder of them."""

    packages: SimPackages

    def survey(self, known: Iterable[PackageRecord], known_since: int) -> tuple[PackageRecord, ...]:
        return tuple(self.packages.zips.values())

    def look_again(self) -> None:
        """Nothing is refused here."""


@dataclass(frozen=True)
class SimProcesses:
    """The processes of a world: the port through which a controller starts and ends them."""

    world: World

    async def observe(self) -> Mapping[ProcessKey, ObservedProcess]:
        return self.world.look_at_processes()

    async def start(self, spec: ProcessSpec) -> ObservedProcess:
        return await self.world.start(spec)

    async def stop(self, key: ProcessKey, *, drain: float) -> None:
        self.world.running.pop(key, None)


class SimulatedPackages(Packages, Protocol):
    """Packages to which a zip may be added as a history goes on."""

    def deliver(self, ref: PackageRef) -> None:
        """Put a zip of that version into the store."""


class World:
    """The station, and the controller that works on it, if one lives. `watch` is told of every write."""

    def __init__(
        self, seed: int, watch: Any, store: Store | None = None, packages: SimulatedPackages | None = None
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.watch, self.pids = watch, PIDS
        self.boot, self.seconds, self.skew, self.booted_at = 0, 100.0, 0.0, EPOCH
        self.natures: dict[PackageRef, Nature] = {}
        self.host_trouble = self.disk_full = False
        self.concluded = 0.1
        """The share of passes whose status is written; a daemon writes every one."""
        self.running: dict[ProcessKey, ObservedProcess] = {}
        self.starts: list[tuple[float, ProcessKey]] = []
        self.troubles: Counter[ProcessKey] = Counter()
        """Starts that failed, and crashes."""
        self.smoked: set[ProcessKey] = set()
        """Processes that took a smoke call at their last start."""
        self.tallies: dict[tuple[str, PackageRef], Tally] = {}
        self.replays: dict[str, ReplayReport] = {}
        self.shadows: dict[Counted, Agreement] = {}
        self.recorded = 500
        """Pictures that are recorded of every deployment."""
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.fuse: int | None = None
        self.dead = False
        self.breach: AssertionError | None = None
        self.log: list[str] = []
        self.packages: SimulatedPackages = packages or SimPackages(self.nature, self.tick, self.now)
        bare = store or memory_store(self.now, lambda ref: ref in self.packages.installations())
        self.bare = bare
        self.store = tapped(bare, self._tap)
        self.reconciler: Reconciler | None = None
        self.desired: Desired | None = None
        self.tally_store = TallyStore(bare.layout)

    # --- time

    def clock(self) -> Instant:
        return Instant(f"boot {self.boot}", self.seconds, self.booted_at + self.seconds + self.skew)

    def now(self) -> str:
        return f"{self.booted_at + self.seconds + self.skew:.3f}"

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.seconds + seconds, future))
        await future

    async def pass_time(self, seconds: float) -> None:
        """Let time go by; what was due wakes up."""
        self.seconds += seconds
        due = [future for until, future in self.sleepers if until <= self.seconds]
        self.sleepers = [(until, future) for until, future in self.sleepers if until > self.seconds]
        for future in due:
            if not future.done():
                future.set_result(None)
        await self.breathe()

    async def breathe(self) -> None:
        """Let every task run as far as it can."""
        for _ in range(24):
            await asyncio.sleep(0)

    # --- faults

    def nature(self, ref: PackageRef) -> Nature:
        return self.natures.setdefault(ref, Nature())

    def _tap(self, part: str, act: str, arguments: tuple[Any, ...], done: bool) -> None:
        if not done:
            self.tick(f"{part}.{act}")
            if self.disk_full and part != "revision":
                raise StoreError(f"cannot write {part}: no space left on device")
            self._object(self.watch.before, part, act, arguments)
            return
        if part != "audit":
            self.log.append(f"{self.seconds:8.1f} {part}.{act} {_short(part, arguments)}")
        self._object(self.watch.after, part, act, arguments)
        self.tick(f"{part}.{act} done")

    def _object(self, watch: Callable[..., None], *arguments: Any) -> None:
        """Keep the first breach: who performs an action tolerates its errors."""
        try:
            watch(self, *arguments)
        except AssertionError as breach:
            self.breach = self.breach or breach
            raise

    def tick(self, what: str) -> None:
        """One moment at which a controller may be killed."""
        if self.dead:
            raise Killed(what)
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.dead = True
                self.log.append(f"{self.seconds:8.1f} KILLED at {what}")
                raise Killed(what)

    # --- processes

    def look_at_processes(self) -> Mapping[ProcessKey, ObservedProcess]:
        return {
            key: replace(each, rss_bytes=self.nature(key.ref).memory, cpu_percent=1.0)
            for key, each in self.running.items()
        }

    async def start(self, spec: ProcessSpec) -> ObservedProcess:
        self.starts.append((self.seconds, spec.key))
        self._object(self.watch.started, spec.key)
        self.running.pop(spec.key, None)
        await self.sleep(self.random.choice((0.0, 0.5, 3.0)))
        self.smoked -= {spec.key}
        if self.nature(spec.key.ref).never_ready:
            self.troubles[spec.key] += 1
            raise StartFailed(f"{spec.key} never answered a ping")
        process = ObservedProcess(spec.key, spec.digest, len(self.starts), "ready", "0.3.2", self.now())
        self.running[spec.key] = process
        self.smoked |= {spec.key} if spec.smoke else set()
        return process

    # --- traffic

    def call(self, calls: int) -> None:
        """Send that many calls to every PID; processes may die of them."""
        for pid in PIDS:
            mapping = self.bare.active.read(pid)
            deployment = self.desired and self.desired.revision.by_pid.get(pid)
            if not isinstance(mapping, ActiveMapping) or deployment is None:
                continue
            serving = [key for key, each in self.running.items() if each.serves]
            keys = [key for key in serving if key.ref == mapping.ref and not key.shadow]
            if keys:
                self._call(pid, self.random.choice(keys), calls)
                self._mirror(pid, deployment.name, mapping.ref, calls)

    def _call(self, pid: str, key: ProcessKey, calls: int) -> None:
        nature, chance = self.nature(key.ref), self.random.random
        errors = nature.errors if not self.host_trouble else max(nature.errors, 0.6)
        count: Counter[str] = Counter()
        for _ in range(calls):
            if nature.crashes and chance() < nature.crashes:
                count["errors"] += 1
                count["crashes"] += 1
                self.crash(key, "exit status 1")
                break
            count["errors"] += chance() < errors
            count["timeouts"] += bool(nature.timeouts) and chance() < nature.timeouts
        if nature.loses_heart and chance() < 0.5:
            count["heartbeat_losses"] += 1
            self.crash(key, "heartbeat lost")
        ok = max(0, calls - count["errors"] - count["timeouts"])
        tally = Tally(calls, verdicts_ok=ok, latency=LatencySketch(((QUICK, ok),) if ok else ()), **count)
        at = (pid, key.ref)
        self.tallies[at] = self.tallies.get(at, Tally()) + tally

    def _mirror(self, pid: str, deployment: str, ref: PackageRef, calls: int) -> None:
        """Show answered calls to the shadow of a deployment, where a controller lives that does."""
        rollout = self.bare.rollouts.memory().records.get(deployment, RolloutRecord()).rollout
        step = rollout.present_step if rollout is not None and self.reconciler is not None else None
        if rollout is None or step is None or rollout.state != "shadowing" or rollout.target == ref:
            return
        key = ProcessKey(deployment, rollout.target.name, rollout.target.version, shadow=True)
        if pid not in cohort(rollout.strategy.sequence, step.weight) or key not in self.running:
            return
        nature, counts = self.nature(key.ref), Agreement()
        for _ in range(calls):
            if nature.crashes and self.random.random() < nature.crashes:
                counts += Agreement(errors=1)
                self.crash(key, "exit status 1")
                break
            counts += shown(nature, self.random)
        at = (pid, rollout.target)
        self.shadows[at] = self.shadows.get(at, Agreement()) + counts

    def crash(self, key: ProcessKey, why: str) -> None:
        self.troubles[key] += key in self.running
        if self.running.pop(key, None) is not None and self.reconciler is not None:
            deployment = self.desired and self.desired.revision.by_name.get(key.deployment)
            limit = deployment.spec.health.restarts if deployment else None
            self.reconciler.backoff.crashed(ObjectRef("process", key), why, limit)

    # --- the controller

    async def live(self, work: Callable[[], Any]) -> Any:
        """Do something as the controller; it may be killed on the way, and is then dead until it is started anew."""
        try:
            return await work()
        except Killed:
            await self._bury()
        except StoreError as error:
            self.log.append(f"{self.seconds:8.1f} pass failed: {error}")
        return None

    async def kill(self) -> None:
        """End the controller where it stands."""
        self.dead = True
        self.log.append(f"{self.seconds:8.1f} KILLED between two passes")
        await self._bury()

    async def _bury(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sleepers.clear()
        self.reconciler = None

    async def start_controller(self) -> None:
        """Start a controller as the composition root does: recover, then a reconciler without a memory."""
        self.dead, self.fuse = False, None
        rollouts = self.bare.rollouts
        if isinstance(rollouts, MemoryRollouts):
            rollouts.pass_through_disk()
        recover(self.store, self.packages, "root", lambda _: None)
        self.watch.recovered(self)
        self.tally_store, processes = TallyStore(self.store.layout), SimProcesses(self)
        zips = SimZips(self.packages) if isinstance(self.packages, SimPackages) else None
        replays = SimReplays(self)
        observer = Observer(
            self.store, self.packages, processes.observe, self.tally_store, zips, replays=replays.reports
        )
        applier = Applier(self.store, self.packages, processes, actor="root", now=self.now, notify=self._note)
        applier.replays = replays
        self.reconciler = Reconciler(self.store, observer, applier, self.clock, jitter=lambda: 1.0)

    def _note(self, line: str) -> None:
        self.log.append(f"{self.seconds:8.1f} {line}")

    async def make_pass(self) -> Outcome | None:
        """Make one pass as the loop does: nothing is waited for. Only a share writes a status, the dear part."""
        assert self.reconciler is not None
        assert self.desired is not None
        await self.reconciler.wait_for_results(timeout=0)
        self.tally_store.note(dict(self.tallies), {}, self.clock())
        self.tally_store.shadows.note(dict(self.shadows), {})
        observed = await self.reconciler.observe(self.desired)
        planned = self.reconciler.plan(self.desired, observed)
        self.watch.planned(self, observed, planned)
        await self.reconciler.note(observed, planned)
        self.reconciler.launch(self.desired, planned)
        await self.breathe()
        if self.breach is not None:
            raise self.breach
        if self.dead:
            raise Killed("while an action was under way")
        if self.random.random() >= self.concluded:
            return None
        outcome = await self.reconciler.conclude(self.desired, observed, planned)
        self._forget(outcome.uncounted)
        return outcome

    def _forget(self, uncounted: frozenset[Counted]) -> None:
        """Drop counts as the daemon does after every pass."""
        self.tally_store.forget(uncounted)
        self.tallies = {at: tally for at, tally in self.tallies.items() if at not in uncounted}

    def operate(self, verb: str, subject: str, **arguments: Any) -> str:
        """Carry out an operator's verb between two passes; return what was said, or why not."""
        operator = Operator(self.store, self.packages, self.clock)
        try:
            command = _COMMANDS[verb](subject, reason="a test", **arguments)
            return operator.execute(command, Caller("alice")).message
        except CodedError as error:
            return f"refused: {error}"

    def take_again(self) -> None:
        """Take what the desired tree says now."""
        revision = self.bare.revision.read()
        assert revision is not None
        self.desired = Desired(revision)

    def edit(self, pid: str, mapping: ActiveMapping | BrokenMapping | None) -> None:
        """Change a mapping by hand."""
        self.log.append(f"{self.seconds:8.1f} by hand: {pid} → {mapping}")
        active = self.bare.active
        assert isinstance(active, MemoryActive), "files are not edited here"
        if mapping is None:
            active.mappings.pop(pid, None)
        else:
            active.mappings[pid] = mapping

    async def reboot(self) -> None:
        """Cut the power: no process is left, and another boot begins."""
        await self.kill()
        self.running.clear()
        self.booted_at += self.seconds + 60
        self.boot, self.seconds = self.boot + 1, 5.0


def _short(part: str, arguments: tuple[Any, ...]) -> str:
    if part == "rollouts" and len(arguments) == 2:
        rollout = arguments[1].rollout
        return f"{arguments[0]} {rollout and (str(rollout.target), rollout.state, rollout.step)}"
    return ", ".join(str(getattr(each, "ref", each)) for each in arguments if not callable(each))[:300]


__all__ = ["EPOCH", "PIDS", "ControllerError", "Killed", "Nature", "SimPackages", "World"]
