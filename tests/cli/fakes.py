"""A station that answers every command at once, with the real types, and remembers what it was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from controller.calls.request import Detection, DetectionRequest
from controller.cli.settings import Settings
from controller.errors import CallError, Code, DesiredStateError, PackageError
from controller.model.actions import Plan
from controller.model.observed import HistoryEntry
from controller.model.package import Manifest, Receipt
from controller.packages.inspection import Inspection
from controller.packages.interpreters import Interpreter
from controller.reconciler.changes import Change
from controller.reconciler.preview import Preview
from controller.sources.folder import FolderSource
from controller.store.audit import AuditHead, Verification

STATUS: dict[str, Any] = {
    "revision": {"id": "abc123", "source": "desired", "valid": True, "errors": [], "loaded_at": "2024-01-01T00:00:00Z"},
    "converged": True,
    "deployments": [{
        "name": "screws", "phase": "Healthy", "package": "screw-check", "target_version": "1.0.0",
        "stable_version": "1.0.0", "actual_weight": 100, "message": "",
    }],
    "pids": [{
        "pid": "A01", "deployment": "screws",
        "active": {"name": "screw-check", "version": "1.0.0", "activated_at": "x"},
        "target_version": "1.0.0", "pinned": False, "held": True, "ready": True,
    }],
    "processes": [],
    "packages": [],
    "waiting": [{"what": "screws", "until": "later", "reason": "a bake"}],
}  # fmt: skip
RECEIPT = Receipt("screw-check", "1.0.0", "sha256:ab", "main:A", None, "src", (), "/py", "3.11", "0.3.2", (), "now")
RECORD = {"seq": 1, "time": "t", "actor": "ann", "action": "switch", "object": "A01", "outcome": "done", "reason": "r"}


class FakeInstaller:
    """Knows one good package and one bad one, by the zip's name."""

    def inspect(self, path: Path) -> Inspection:
        if "bad" in path.name:
            raise PackageError(Code.manifest_missing, f"{path} has no manifest.json")
        manifest = Manifest("screw-check", "1.0.0", "main:A", supported_pids=("A01", "A02"))
        python = Interpreter("/usr/bin/python3", "3.11.7", ())
        return Inspection(manifest, "sha256:ab", "", "flat", {"numpy.whl": "cd"}, frozenset(), python, ())

    def trial(self, path: Path, *, progress: Any) -> Inspection:
        progress("checking …")
        return self.inspect(path)


class FakeStation:
    """Made with a command line's settings, as the composition root makes the real one."""

    asked: ClassVar[list[tuple[Any, ...]]] = []
    settings: ClassVar[list[Settings]] = []

    def __init__(self, settings: Settings) -> None:
        self.settings.append(settings)

    def status(self) -> dict[str, Any]:
        return STATUS

    def source(self, path: Path) -> FolderSource:
        return FolderSource(path, now=lambda: "2024-01-01T00:00:00Z")

    def preview(self, *, allow_empty: bool, serve: bool) -> Preview:
        self.asked.append(("preview", allow_empty, serve))
        return Preview("abc123", (), (Change("screws", "spec.version", "1.0.0", "1.1.0", "changed"),), Plan())

    def reconcile(self, **options: Any) -> dict[str, Any]:
        options.pop("notify")("A01: switched")
        self.asked.append(("reconcile", options))
        return {"exit": 3, "status": STATUS}

    def run(self, socket_group: str | None) -> None:
        self.asked.append(("run", socket_group))

    def operate(self, verb: str, subject: str, arguments: dict[str, Any]) -> str:
        self.asked.append((verb, subject, arguments))
        return f"{verb} {subject}: will be done"

    def execute(self, request: DetectionRequest) -> Detection:
        self.asked.append(("execute", request))
        if request.pid == "X99":
            raise CallError(Code.no_active_version, "PID X99 has no active version", next_step="see `pvctl status`")
        data = {"result_status": "NG", "ng_reason": "scratched", "defect_rects": [[1, 2, 3, 4]]}
        status = "ERROR" if request.pid == "E01" else "OK"
        return Detection("r1", request.pid, "screw-check", "1.0.0", status, "", data, 1.25)

    def installer(self) -> FakeInstaller:
        return FakeInstaller()

    def install(self, zip_path: Path, notify: Any) -> Receipt:
        FakeInstaller().inspect(zip_path)
        notify(f"{zip_path.name}: installed")
        return RECEIPT

    def uninstall(self, name: str, version: str) -> None:
        self.asked.append(("uninstall", name, version))

    def history(self, pid: str) -> tuple[HistoryEntry, ...]:
        entry = HistoryEntry("t", "screw-check", "1.0.0", "screws", "abc123", "ann", "first")
        return (entry,) if pid == "A01" else ()

    def audit(self) -> FakeStation:
        return self

    def read(self) -> list[dict[str, Any]]:
        return [{**RECORD, "seq": number} for number in (1, 2, 3)]

    def verify_audit(self, head: str | None) -> Verification:
        return Verification(2, AuditHead(2, "ff"), 3 if head else None, "its hash differs" if head else "")

    def log_paths(self, deployment: str, version: str | None) -> list[Path]:
        self.asked.append(("logs", deployment, version))
        return [Path(deployment)] if Path(deployment).exists() else []

    def down(self) -> tuple[str, ...]:
        return ("screws/screw-check@1.0.0-0",)


class RefusingStation(FakeStation):
    """Its desired state is not valid."""

    def preview(self, *, allow_empty: bool, serve: bool) -> Preview:
        raise DesiredStateError(("desired/a.yaml:3:1: spec.pids: got nothing", "desired/a.yaml:9:1: unknown key"))
