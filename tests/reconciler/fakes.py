"""Packages and processes that implement the reconciler's ports in record, on a real store, and fail when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from controller.errors import ControllerError, PackageError
from controller.model.actions import Replay
from controller.model.desired import Revision
from controller.model.observed import ObservedProcess, ProcessKey
from controller.model.package import Installation, Manifest, PackageRef, Receipt, Verdict
from controller.model.replay import ReplayKey, ReplayReport
from controller.model.rollout import Instant
from controller.model.tally import Tally
from controller.processes.spec import ProcessSpec
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.reconciler.reconciler import Outcome, Reconciler
from controller.reconciler.recover import recover
from controller.reconciler.revisions import take_revision
from controller.store.layout import StoreLayout
from controller.store.store import Store
from controller.store.tally_store import TallyStore
from tests.builders import AT, receipt


@dataclass
class FakeSource:
    """A source that yields what it was given, or raises it."""

    revision: Revision | ControllerError

    def load(self) -> Revision:
        if isinstance(self.revision, ControllerError):
            raise self.revision
        return self.revision

    def fingerprint(self) -> str:
        return repr(self.revision)


@dataclass
class FakePackages:
    """Zips are JSON files that hold a manifest; an installation is a folder with a receipt."""

    layout: StoreLayout
    failing: dict[PackageRef, ControllerError] = field(default_factory=dict)
    surveyed: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    wrong: dict[str, Verdict] = field(default_factory=dict)

    def add_zip(
        self, name: str, version: str, pids: tuple[str, ...] = ("A01", "A02", "A03"), *, content: str = ""
    ) -> Path:
        """Add a zip; `content` tells it from another zip of the same version."""
        self.layout.zips.mkdir(parents=True, exist_ok=True)
        path = self.layout.zips / f"{name}-{version}.zip"
        path.write_text(json.dumps({"name": name, "version": version, "supported_pids": pids, "content": content}))
        return path

    def survey(self, zip_path: Path) -> tuple[Manifest, str]:
        self.surveyed.append(zip_path.name)
        document = json.loads(zip_path.read_text())
        if "refuse" in document:
            raise PackageError(document["refuse"], f"{zip_path.name} is refused")
        manifest = Manifest(document["name"], document["version"], "m:C", "", tuple(document["supported_pids"]))
        return manifest, f"sha256:{manifest.ref}{document.get('content', '')}"

    def judge(self, zip_path: Path, digest: str) -> Verdict | None:
        self.judged.append(zip_path.name)
        return self.wrong.get(zip_path.name)

    def install(
        self,
        zip_path: Path,
        *,
        expect: PackageRef | None = None,
        expect_digest: str | None = None,
        progress: Callable[[str], None] = lambda step: None,
    ) -> Receipt:
        manifest, digest = self.survey(zip_path)
        if error := self.failing.get(manifest.ref):
            raise error
        progress("placing")
        done = receipt(manifest.ref, manifest.supported_pids, digest)
        folder = self.layout.package(done.ref)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "receipt.tmp").write_text(json.dumps(asdict(done)))
        (folder / "receipt.tmp").rename(folder / "receipt.json")
        return done

    def installations(self) -> dict[PackageRef, Installation]:
        found = {}
        for path in sorted(self.layout.deployed.glob("*/*/receipt.json")):
            document = json.loads(path.read_text())
            pids = document["supported_pids"]
            document |= {"supported_pids": pids and tuple(pids), "python_path": (), "wheels": ()}
            there = Receipt(**document)
            found[there.ref] = Installation(there, str(path.parent))
        return found

    def uninstall(self, ref: PackageRef) -> None:
        (self.layout.package(ref) / "receipt.json").unlink()

    def sweep(self) -> tuple[str, ...]:
        return ()


@dataclass
class FakeProcesses:
    """Processes that are ready at once, unless their package is told to fail, always or at its next start."""

    failing: dict[PackageRef, ControllerError] = field(default_factory=dict)
    failing_once: dict[PackageRef, ControllerError] = field(default_factory=dict)
    running: dict[ProcessKey, ObservedProcess] = field(default_factory=dict)
    started: list[ProcessKey] = field(default_factory=list)
    stopped: list[ProcessKey] = field(default_factory=list)

    async def observe(self) -> Mapping[ProcessKey, ObservedProcess]:
        return dict(self.running)

    async def start(self, spec: ProcessSpec) -> ObservedProcess:
        self.started.append(spec.key)
        if error := self.failing_once.pop(spec.key.ref, None) or self.failing.get(spec.key.ref):
            raise error
        process = ObservedProcess(spec.key, spec.digest, 1000 + len(self.started), "ready", "0.3.2", AT)
        self.running[spec.key] = process
        return process

    async def stop(self, key: ProcessKey, *, drain: float) -> None:
        self.stopped.append(key)
        self.running.pop(key, None)


@dataclass
class FakeReplays:
    """Replays that go on until they are told what came of them, or are not wanted any more."""

    begun: list[Replay] = field(default_factory=list)
    ended: list[ReplayKey] = field(default_factory=list)
    told: dict[str, ReplayReport] = field(default_factory=dict)
    _running: dict[ReplayKey, asyncio.Future[None]] = field(default_factory=dict)

    async def run(self, action: Replay, spec: ProcessSpec, memory_max: int | None) -> None:
        self.begun.append(action)
        self.told[action.deployment] = ReplayReport(action.key, wanted=action.last)
        self._running[action.key] = asyncio.get_running_loop().create_future()
        try:
            await self._running[action.key]
        finally:
            del self._running[action.key]

    def keep(self, wanted: Collection[ReplayKey], deployments: Collection[str]) -> None:
        for key, running in self._running.items():
            if key not in wanted and not running.done():
                self.ended.append(key)
                running.set_result(None)
        self.told = {name: report for name, report in self.told.items() if name in deployments}

    def reports(self) -> Mapping[str, ReplayReport]:
        return dict(self.told)

    def tell(self, report: ReplayReport) -> None:
        """Let a replay have come so far."""
        self.told[report.key.deployment] = report
        if report.done:
            self._running[report.key].set_result(None)


class Rig:
    """The parts of a controller on fakes over a real store: reconcile it, break it, look at it."""

    def __init__(self, root: Path) -> None:
        self.seconds = 0.0
        self.store = Store.at(StoreLayout.at(root), self.now)
        self.store.create_folders()
        self.packages = FakePackages(self.store.layout)
        self.processes = FakeProcesses()
        self.replays = FakeReplays()
        self.notes: list[str] = []

    def now(self) -> str:
        return f"2026-01-01T00:{int(self.seconds) // 60:02d}:{self.seconds % 60:09.6f}Z"

    def restart(self) -> Reconciler:
        """Return a reconciler as a new controller would build it: recovered, with no record."""
        recover(self.store, self.packages, "root", self.notes.append)
        counted = TallyStore(self.store.layout)
        counted.load()
        observer = Observer(self.store, self.packages, self.processes.observe, counted, replays=self.replays.reports)
        applier = Applier(
            self.store, self.packages, self.processes, actor="root", now=self.now, notify=self.notes.append
        )
        applier.replays = self.replays
        return Reconciler(self.store, observer, applier, lambda: Instant("boot", self.seconds, self.seconds))

    async def reconcile(
        self, revision: Revision | ControllerError, *, serve: bool = True, allow_empty: bool = False
    ) -> Outcome:
        """Reconcile once, with a new controller."""
        self.seconds += 1
        desired = take_revision(FakeSource(revision), self.store, allow_empty=allow_empty)
        return await self.restart().converge(desired, serve=serve)

    def calls(self, pid: str, version: str, tally: Tally) -> None:
        """Let the calls of a PID have come to that, in all, as of the next reconcile."""
        counted = TallyStore(self.store.layout)
        counted.note({**counted.load(), (pid, PackageRef("screw", version)): tally}, {}, Instant("boot", self.seconds))
        counted.save()

    def active(self) -> dict[str, str]:
        return {pid: str(getattr(mapping, "ref", mapping)) for pid, mapping in self.store.active.read_all().items()}
