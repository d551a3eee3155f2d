"""The one fake station: it implements the port, answers every command at once with the real types, and remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import orjson

from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.errors import CallError, Code, ControllerError, NotFound, PackageError, as_coded, our_fault
from controller.images.formats import ImageRef, load
from controller.model.actions import Plan
from controller.model.last_part import LastPart
from controller.model.operation import OperationDocument
from controller.model.rollout import Instant, Memory
from controller.model.status_document import AuditRow, StatusDocument
from controller.reconciler.changes import Change
from controller.reconciler.preview import Preview
from controller.station.commands.activating import (
    Activate,
    Activation,
    ActivePid,
    ActivePids,
    ListActive,
    PidOutcome,
    Switch,
)
from controller.station.commands.detecting import Detect
from controller.station.commands.events import FollowEvents
from controller.station.commands.feedback import FeedbackCounted, GiveFeedback, counted
from controller.station.commands.measuring import DeploymentSeries, GetMetrics, GetSeries, MetricsText, VersionSeries
from controller.station.commands.operations import FollowOperation, GetOperation, ListOperations, StartOperation
from controller.station.commands.operator import Message, Promote
from controller.station.commands.packages import (
    ErrorRow,
    Install,
    InstallStored,
    ListPackages,
    PackageRow,
    PackageRows,
    PackageState,
    Uninstall,
)
from controller.station.commands.parts import GetLastParts, GetPicture, NoPicture, PictureFile
from controller.station.commands.present import (
    GetDeployment,
    GetIdentity,
    GetPid,
    GetRevisions,
    Identity,
    ListDeployments,
    ListPids,
)
from controller.station.commands.reconciling import (
    DesiredTree,
    Down,
    Ended,
    GetDesiredTree,
    GetReadiness,
    PreviewPlan,
    Readiness,
    Reconcile,
    ReconcileReport,
)
from controller.station.commands.recordings import (
    DeletedRecordings,
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportedRecordings,
    ImportRecordings,
    ListRecordings,
    RecordingDocument,
    RecordingPage,
    RecordingRow,
    ShowRecording,
)
from controller.station.commands.records import (
    AuditPage,
    AuditVerification,
    GetHistory,
    HistoryRow,
    ReadAudit,
    ReadLogs,
    VerifyAudit,
)
from controller.station.commands.replaying import ReplayExported, ReplayRecorded
from controller.station.commands.status import GetStatus
from controller.station.commands.tokens import (
    CreatedToken,
    CreateToken,
    ListTokens,
    RevokedToken,
    RevokeToken,
    TokenList,
)
from controller.station.commands.validating import CheckRow, PackageReport, Validate, ValidateStored
from controller.station.events import EventLog
from controller.station.log_feeds import BlockingLogFeed
from controller.station.log_places import LogPlace
from controller.station.operations import found, kind_of
from controller.station.operations import rows as operation_rows
from controller.station.plan_document import plan_document
from controller.station.port import Caller, Command, Report, Result, require_access, silent
from controller.station.present import Present, revisions
from controller.store.refused import Refusal
from tests.replay.documents import REPLAY

STATUS: StatusDocument = {
    "revision": {"id": "abc123", "source": "desired", "valid": True, "errors": [], "loaded_at": "2024-01-01T00:00:00Z"},
    "converged": True,
    "deployments": [{
        "name": "screws", "phase": "Healthy", "observed_generation": "g1", "package": "screw-check",
        "target_version": "1.0.0", "stable_version": "1.0.0", "current_step_index": None, "desired_weight": 100,
        "actual_weight": 100, "quarantined": [], "message": "", "conditions": [],
    }],
    "pids": [{
        "pid": "A01", "deployment": "screws",
        "active": {"name": "screw-check", "version": "1.0.0", "activated_at": "x"},
        "target_version": "1.0.0", "pinned": False, "held": True, "ready": True,
        "health": {"samples": 0, "error_rate": None, "timeout_rate": None, "latency_p50_ms": None,
                   "latency_p95_ms": None, "ng_rate": None},
    }],
    "processes": [],
    "packages": [],
    "waiting": [{"what": "screws", "until": "later", "reason": "a bake"}],
}  # fmt: skip
RECORD = {
    "seq": 1, "time": "t", "actor": "ann", "revision": "abc123", "action": "switch", "object": "A01", "before": None,
    "after": None, "outcome": "done", "reason": "r", "prev": "", "hash": "",
}  # fmt: skip

SERIES: VersionSeries = {
    "version": "1.0.0", "role": "stable", "package": "screw-check", "points": [(1700000000, 40, 1, 0, 3.5, 8.25)],
}  # fmt: skip
ROWS = (
    PackageRow("screw-check", "1.0.0", "sha256:ab", "installed", None, "", ("A01",), "screw-check-1.0.0.zip", ("A01",)),
    PackageRow("torn.zip", "", "", "invalid", 2001, "cut off", None, "torn.zip", ()),
)
ACTIVE = (ActivePid("A01", "screw-check", "1.0.0", "t", "screws", held=True, installed=True),)

PART: LastPart = {
    "pid": "A01", "request_id": "r-1", "at": "2024-01-01T00:00:00Z", "name": "screw-check", "version": "1.0.0",
    "verdict": "NG", "message": "a scratch", "latency_ms": 12.5, "defects_malformed": 0, "error": None,
    "defects": [{"x": 1, "y": 2, "width": 3, "height": 4, "label": "scratch", "score": 0.75}],
    "picture": {"width": 640, "height": 480, "etag": '"r-1"'},
}  # fmt: skip


class FakePlane:
    """Answers detections with what the image is; may fail or wait for `gate`, and counts who waits and who left."""

    def __init__(self) -> None:
        self.asked: list[DetectionRequest] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.places = 0
        self.cancelled = 0

    async def execute(self, request: DetectionRequest) -> Detection:
        self.asked.append(request)
        self.places += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.places -= 1
        if self.failure is not None:
            raise self.failure
        image = request.image
        shape = [image.id] if isinstance(image, ImageRef) else [] if image is None else list(load(image).shape)
        return Detection("r-1", request.pid, "screw-check", "1.0.0", "OK", "", {"shape": shape}, 1.5)


RECORDED = RecordingRow(
    "20270115080001000-0000000001", "A01", "screws", "screw-check", "1.0.0", "r-1", "2027-01-15T08:00:01Z", "NG",
    ("NG", "sample"), "scratched", 12.5, 1, (24, 32, 3), False, 1722,
)  # fmt: skip


class FakeFile:
    """A file in two pieces. `closed`: its reader wants no more of it; `failure`: what it ends with."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)
        self.closed = False
        self.failure: Exception | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise self.failure or StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


class FakeStation:
    """`asked` and `callers` are what came in; `failure`, where set, is raised by every command but detections.

    `plane` answers detections; every command waits for `gate`, where there is one. Commands are named by their own
    classes; a package whose file name has `bad` in it is refused.
    """

    def __init__(self, detect: Callable[[DetectionRequest], Any] | None = None) -> None:
        self.asked: list[Command[Any]] = []
        self.callers: list[Caller] = []
        self.failure: BaseException | None = None
        self.readiness = Readiness(True)
        self.status = STATUS
        self.tree = DesiredTree("/srv/desired")
        self.history: tuple[HistoryRow, ...] = (
            HistoryRow("A01", "t", "screw-check", "1.0.0", "screws", "abc123", "ann", "first"),
        )
        self.installed: bytes = b""
        self.imported: bytes = b""
        self.files: list[FakeFile] = []
        self.torn: Exception | None = None
        self.events = EventLog("fake", subscribers=2, heartbeat=0.05)
        self.parts: list[LastPart] = [PART]
        self.events = EventLog("fake", subscribers=2, heartbeat=0.05)
        self.plane = FakePlane()
        self.gate: asyncio.Event | None = None
        self.operations: dict[str, OperationDocument] = {}
        self._detect = detect or self.plane.execute

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        require_access(command, caller)
        if isinstance(command, StartOperation):
            return cast(Result, await self._start(command.command, caller))
        if isinstance(command, FollowOperation):
            for line in self.operations[command.id]["progress"]:
                report(line["text"])
            return cast(Result, self.operations[command.id])
        self.asked.append(command)
        self.callers.append(caller)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(command, Detect):
            return cast(Result, await self._detect(command.request))
        if isinstance(command, Reconcile):
            report("install screw-check@1.0.0")
            report("start screw-check@1.0.0")
        if self.failure is not None:
            raise self.failure
        return cast(Result, self._answer(command, report))

    async def _start(self, command: Command[Any], caller: Caller) -> OperationDocument:
        """Carry a long command out at once, and remember what it came to."""
        told: list[str] = []
        result, error = None, None
        try:
            result = orjson.loads(orjson.dumps(await self.execute(command, caller, told.append)))
        except ControllerError as failure:
            error = as_coded(failure).to_document()
        except Exception:  # noqa: BLE001 - as the real one
            error = as_coded(our_fault()).to_document()
        name = f"operation-{len(self.operations)}"
        self.operations[name] = {
            "id": name, "kind": kind_of(type(command)), "subject": command.about, "actor": caller.name,
            "state": "failed" if error else "succeeded", "started_at": "t", "ended_at": "t", "error": cast(Any, error),
            "progress": [{"at": "t", "text": text} for text in told], "result": result,
        }  # fmt: skip
        return self.operations[name]

    def _answer(self, command: Command[Any], report: Report) -> object:
        for kind, answer in self._answers(report).items():
            if isinstance(command, kind):
                return answer(command)
        subject = getattr(command, "subject", None) or cast(Promote, command).deployment
        return Message(f"{type(command).__name__.lower()} {subject}: will be done")

    def _answers(self, report: Report) -> dict[type, Callable[[Any], object]]:
        change = Change("screws", "spec.version", "1.0.0", "1.1.0", "changed")
        rows = tuple(cast(AuditRow, {**RECORD, "seq": number}) for number in (1, 2, 3))
        return {
            GetStatus: lambda _: self.status,
            GetReadiness: lambda _: self.readiness,
            GetDesiredTree: lambda _: self.tree,
            PreviewPlan: lambda _: plan_document(Preview("abc123", (), (change,), Plan())),
            Reconcile: lambda _: ReconcileReport(3, STATUS),
            GetHistory: lambda each: self._history(each.subject),
            ReadAudit: lambda each: AuditPage(rows[::-1][: each.limit], None),
            VerifyAudit: lambda each: AuditVerification(
                not each.head, 2, 3 if each.head else None, "its hash differs" if each.head else "", "2:ff", 1
            ),
            ReadLogs: lambda each: BlockingLogFeed(self._logs(each.subject), each),
            ListDeployments: lambda _: self._present().deployments(),
            GetDeployment: lambda each: self._present().deployment(each.name),
            ListPids: lambda _: self._present().pids(),
            GetPid: lambda each: self._present().pid(each.pid),
            GetRevisions: lambda _: revisions(None, (Refusal("t", "desired", ("desired/a.yaml:3:5: spec.pids: no",)),)),
            GetIdentity: lambda _: Identity("ann", "admin", recordings=True),
            Install: lambda each: self._install(each.zip_path, report),
            InstallStored: lambda each: self._install(Path(each.zip), report),
            Validate: lambda each: self._report(each.zip_path.name),
            ValidateStored: lambda each: self._report(each.zip or f"{each.name}-{each.version}.zip"),
            Uninstall: lambda each: PackageState(each.name, each.version, "sha256:ab"),
            CreateToken: lambda each: CreatedToken(each.name, "ab12", each.role, None, "pvctl_ab12_secret"),
            RevokeToken: lambda each: RevokedToken(each.name, "ab12"),
            ListTokens: lambda _: TokenList(()),
            Activate: lambda each: Activation(
                each.name, each.version, tuple(PidOutcome(pid, "switched", "moved", held=each.hold) for pid in each.pid)
            ),
            Switch: lambda each: Activation(
                each.name, each.version, tuple(PidOutcome(pid, "switched", "moved", "x@1") for pid in each.pid)
            ),
            ListPackages: lambda each: PackageRows(tuple(row for row in ROWS if each.state in {None, row.state})),
            ListActive: lambda each: ActivePids(tuple(row for row in ACTIVE if not each.pids or row.pid in each.pids)),
            GiveFeedback: lambda each: FeedbackCounted(
                each.request_id, "A01", "screw-check", "1.0.0", "OK", each.truth, counted("OK", each.truth)
            ),
            GetSeries: lambda each: DeploymentSeries(each.deployment, 10, (SERIES,)),
            GetLastParts: lambda _: self.parts,
            GetPicture: self._picture,
            ListOperations: lambda each: operation_rows(self.operations.values(), each),
            GetOperation: lambda each: found(each.id, self.operations.get(each.id)),
            FollowEvents: lambda each: self.events.subscribe(each.last_event_id, each.wanted),
            GetMetrics: lambda _: MetricsText("text/plain; version=0.0.4", b"procvision_converged 1.0\n"),
            ListRecordings: lambda each: RecordingPage((RECORDED,), None if each.before else RECORDED.id),
            GetRecording: lambda each: self._recorded(each.id),
            ShowRecording: lambda each: self._file(each.id, each.form.encode(), b" guide" if each.guide else b""),
            ExportRecordings: lambda each: self._file(RECORDED.id, b"PK", b" exported"),
            ImportRecordings: lambda each: self._import(each.path),
            **dict.fromkeys((ReplayRecorded, ReplayExported), lambda _: REPLAY),
            DeleteRecordings: lambda each: DeletedRecordings(3 if each.all else 1, 5166),
            Down: lambda _: Ended(("screws/screw-check@1.0.0-0",)),
        }

    def _picture(self, query: GetPicture) -> PictureFile:
        if query.pid != "A01" or query.request_id not in {"", "r-1"}:
            raise NoPicture("another part is there now", gone=query.pid == "A01")
        return PictureFile("r-1", b"\xff\xd8\xff a picture")

    def _recorded(self, call_id: str) -> RecordingDocument:
        if call_id != RECORDED.id:
            raise NotFound(Code.invalid_params, f"there is no recorded call {call_id}")
        row = RECORDED
        return RecordingDocument(
            row.id, row.pid, row.deployment, row.name, row.version, "sha256:ab", row.request_id, row.at, row.verdict,
            row.kinds, row.message, {"result_status": "NG"}, None, row.latency_ms, {"step_index": 1}, row.shape, "RGB",
            None, True, row.size,
        )  # fmt: skip

    def _file(self, call_id: str, *pieces: bytes) -> FakeFile:
        self._recorded(call_id)
        self.files.append(FakeFile(*pieces))
        self.files[-1].failure = self.torn
        return self.files[-1]

    def _import(self, path: Path) -> ImportedRecordings:
        if path.exists():
            self.imported = path.read_bytes()
        return ImportedRecordings(2, 1, 0, 0)

    def _present(self) -> Present:
        return Present(self.status, Memory(), None, Instant("boot", 0.0))

    def _history(self, subject: str) -> tuple[HistoryRow, ...]:
        if subject not in {"A01", "screws"}:
            raise NotFound(Code.invalid_pid, f"no PID and no deployment {subject} has a history in this store")
        return self.history

    @staticmethod
    def _logs(subject: str) -> Callable[[], list[LogPlace]]:
        if not Path(subject).exists():
            raise NotFound(Code.invalid_params, f"no process of {subject} has written a log")
        return lambda: [LogPlace(Path(subject), new=False)]

    def _report(self, name: str) -> PackageReport:
        error = ErrorRow(2002, "manifest_missing", f"{name} has no manifest.json", {}) if "bad" in name else None
        row = CheckRow("manifest", "It is there.", "failed" if error else "passed", error)
        return PackageReport(name, error is None, "screw-check", "1.0.0", "sha256:ab", error, (row,), ())

    def _install(self, zip_path: Path, report: Report) -> PackageState:
        if "bad" in zip_path.name:
            raise PackageError(Code.manifest_missing, f"{zip_path.name} has no manifest.json")
        if zip_path.exists():
            self.installed = zip_path.read_bytes()
        report(f"{zip_path.name}: installed")
        return PackageState("screw-check", "1.0.0", "sha256:ab")


def refusal() -> ControllerError:
    return ControllerError("nothing is paused", next_step="see `pvctl status`")


def verdict_of(request: DetectionRequest) -> Detection:
    """NG for every PID but E01, whose algorithm fails, and X99, which has no version."""
    if request.pid == "X99":
        raise CallError(Code.no_active_version, "PID X99 has no active version", next_step="see `pvctl status`")
    data = {"result_status": "NG", "ng_reason": "scratched", "defect_rects": [[1, 2, 3, 4]]}
    status = "ERROR" if request.pid == "E01" else "OK"
    return Detection("r1", request.pid, "screw-check", "1.0.0", status, "", data, 1.25)


async def detect_verdict(request: DetectionRequest) -> Detection:
    return verdict_of(request)
