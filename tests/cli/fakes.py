"""What the composition root gives to the command line, with the fake station in it."""

from __future__ import annotations

from pathlib import Path

from controller.errors import Code, DesiredStateError, PackageError
from controller.host.listening import Listening
from controller.model.package import Manifest, PackageRef
from controller.packages.checks import READING
from controller.packages.examination import CheckResult, Examination
from controller.packages.journal import Installed
from controller.packages.wheels import named_wheel
from controller.replay.document import ReplayDocument
from controller.sources.folder import FolderSource, Loaded, load_text
from controller.station.commands.reconciling import PreviewPlan
from controller.station.commands.replaying import ReplayRecorded
from controller.station.port import Caller, Command, Report, Result, silent
from tests.replay.documents import REPLAY
from tests.station.fake import FakeStation, detect_verdict

CALLER = Caller("mia")


def failing(found: Examination, *errors: PackageError) -> Examination:
    """Return an examination some of whose checks have failed, and a last one was not reached."""
    *checks, last = READING[-len(errors) - 1 :]
    for check, error in zip(checks, errors, strict=True):
        found.results[check.name] = CheckResult(check, "failed", error)
    found.leave_out([last], f"{checks[-1].name} failed")
    return found


class FakeChecks:
    """Knows one good package and one bad one, by the zip's name."""

    def tree(self, path: Path) -> Loaded:
        return FolderSource(path, now=lambda: "2024-01-01T00:00:00Z").read()

    def text(self, data: bytes, shown: str) -> Loaded:
        return load_text(data, shown, now=lambda: "2024-01-01T00:00:00Z")

    def look(self, zip_path: Path) -> Examination:
        if "bad" in zip_path.name:
            return failing(Examination(), PackageError(Code.manifest_missing, f"{zip_path} has no manifest.json"))
        steps = ({"index": 0, "name": "look", "params": [{"key": "threshold", "type": "float", "default": 0.5}]},)
        manifest = Manifest("screw-check", "1.0.0", "main:A", supported_pids=("A01", "A02"), steps=steps)
        found = Examination(
            digest="sha256:ab", manifest=manifest, wheels=[named_wheel("numpy-2.0.0-cp311-cp311-win_amd64.whl")]
        )
        if "windows" in zip_path.name:
            failing(
                found,
                PackageError(Code.incompatible_python, "it is packed for Windows"),
                PackageError(Code.wheels_missing, "glass: there is no wheel of it"),
            )
        found.warnings = ["ignored: requirements.txt:1: -i"]
        return found

    def installed(self, package: PackageRef) -> Installed:
        return Installed(None, "")

    def trial(self, zip_path: Path, report: Report) -> Examination:
        report("checking …")
        return self.look(zip_path)

    def replay(
        self, wanted: ReplayRecorded, zips: tuple[Path, ...], recordings: Path, call_timeout: float | None,
        report: Report,
    ) -> ReplayDocument:  # fmt: skip
        if "bad" in zips[-1].name:
            raise PackageError(Code.manifest_missing, f"{zips[-1]} has no manifest.json")
        report(f"{zips[-1].name}: installing …")
        return REPLAY if wanted.max_newly_ok < 0.5 else {**REPLAY, "within_limits": True}


class FakeProduct:
    """Gives a station that remembers what it is asked; `daemons` are the socket groups of daemons that were run."""

    caller = CALLER

    def __init__(self, station: FakeStation | None = None) -> None:
        self.fake = station or FakeStation(detect_verdict)
        self.daemons: list[str | None] = []

    def station(self) -> FakeStation:
        return self.fake

    def checks(self) -> FakeChecks:
        return FakeChecks()

    def openapi(self) -> dict[str, object]:
        return {"openapi": "3.1.0"}

    def run_daemon(self, socket_group: str | None, listening: Listening | None) -> None:
        self.daemons.append(socket_group)


class RefusingStation(FakeStation):
    """Its desired state is not valid."""

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        if isinstance(command, PreviewPlan):
            raise DesiredStateError(("desired/a.yaml:3:1: spec.pids: got nothing", "desired/a.yaml:9:1: unknown key"))
        return await super().execute(command, caller, report)
