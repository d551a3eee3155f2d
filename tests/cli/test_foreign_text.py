"""Whatever strangers wrote reaches a person's terminal as escapes, on every way, and a machine as the same data."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from controller.calls.request import DetectionRequest
from controller.cli.progress import progress
from controller.client.answers import Detection
from controller.errors import CallError, Code, PackageError
from controller.model.actions import Blocked, Plan
from controller.model.objects import ObjectRef
from controller.model.status_document import StatusDocument
from controller.reconciler.preview import Preview
from controller.station.commands.operator import Message, Pause
from controller.station.commands.reconciling import PreviewPlan, Reconcile, ReconcileReport
from controller.station.commands.records import AuditPage, HistoryRow, ReadAudit
from controller.station.commands.status import GetStatus
from controller.station.plan_document import plan_document
from controller.station.port import Caller, Command, Report, Result, silent
from tests.cli.conftest import Pvctl, Said
from tests.station.fake import RECORD, STATUS, FakeStation

CLI = Path(__file__).resolve().parents[2] / "controller" / "cli"
EVIL = "\x1b]0;owned\x07\x1b[2K\x9b1A\u202e\rOK\nforged: converged"
"""Sets a title, erases a line, moves up by a C1 control, turns the direction, overwrites, and begins a line."""
ESCAPED = "\\x1b]0;owned\\x07\\x1b[2K\\x9b1A\\u202e\\rOK\\nforged: converged"


class HostileStation(FakeStation):
    """Answers with what strangers wrote, everywhere where somebody else's text may stand."""

    def __init__(self) -> None:
        super().__init__(self._detected)
        self.history = (HistoryRow("A01", "t", "screw-check", "1.0.0", EVIL, EVIL, EVIL, EVIL),)

    async def _detected(self, request: DetectionRequest) -> Detection:
        if request.pid == "X99":
            raise CallError(Code.execute_exception, EVIL, next_step=EVIL)
        data = {"result_status": "NG", "ng_reason": EVIL, "defect_rects": [EVIL]}
        return Detection("r1", request.pid, "screw-check", EVIL, "OK", EVIL, data, 1.25)

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        report(EVIL)
        blocked = Blocked(ObjectRef("pid", "A01"), "screws", EVIL, 1, EVIL)
        row = {**RECORD, "actor": EVIL, "reason": EVIL, "outcome": f"failed: {EVIL}"}
        answers: dict[type, object] = {
            GetStatus: hostile_status(),
            Reconcile: ReconcileReport(0, hostile_status()),
            ReadAudit: AuditPage((cast(Any, row),), None),
            PreviewPlan: plan_document(Preview(EVIL, (EVIL,), (), Plan(blocked=(blocked,)))),
            Pause: Message(EVIL),
        }  # fmt: skip
        if type(command) in answers:
            return cast(Result, answers[type(command)])
        return await super().execute(command, caller, report)


def hostile_status() -> StatusDocument:
    """The status document with every text in it that is not a name replaced."""
    document: Any = json.loads(json.dumps(STATUS))
    document["revision"] |= {"source": EVIL, "errors": [EVIL]}
    document["deployments"][0] |= {"message": EVIL, "evidence": [EVIL]}
    document["pids"][0]["active"]["activated_at"] = EVIL
    document["packages"] = [{"name": EVIL, "version": EVIL, "digest": EVIL, "state": "invalid", "error_code": 2005,
                             "reason": EVIL, "supported_pids": []}]  # fmt: skip
    document["waiting"] = [{"what": EVIL, "until": None, "reason": EVIL}]
    document["unmanaged"] = [EVIL]
    return cast(StatusDocument, document)


COMMANDS = [
    "status", "plan", "reconcile --once", "audit", "history A01", "exec A01 --image a", "exec X99 --image a",
    "pause screws", "install good.zip",
]  # fmt: skip


def assert_harmless(said: Said) -> None:
    for text in (said.out, said.err):
        for line in text.split("\n"):
            assert line.isprintable(), line
            assert not line.startswith("forged")


@pytest.mark.parametrize("words", COMMANDS)
def test_a_person_reads_escapes_and_a_machine_gets_the_text(pvctl: Pvctl, words: str) -> None:
    said = pvctl(*words.split(), station=HostileStation())
    assert_harmless(said)
    assert ESCAPED in said.out + said.err

    as_json = pvctl("-o", "json", *words.split(), station=HostileStation())
    as_yaml = pvctl("-o", "yaml", *words.split(), station=HostileStation())
    assert_harmless(as_json)
    assert_harmless(as_yaml)
    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out)
    if words != "install good.zip":  # its strange text is in the progress only
        assert EVIL in every_text(json.loads(as_json.out))


def every_text(document: Any) -> str:
    if isinstance(document, dict):
        return "\0".join(map(every_text, document.values()))
    return "\0".join(map(every_text, document)) if isinstance(document, list) else str(document)


def test_what_the_user_typed_and_what_stands_in_files_is_escaped_too(pvctl: Pvctl, tmp_path: Path) -> None:
    for said in (pvctl(EVIL), pvctl("status", f"--{EVIL}"), pvctl("package", "validate", f"bad{EVIL}.zip")):
        assert_harmless(said)
        assert "\\x1b]0;owned" in said.out + said.err
    log = tmp_path / "log"
    log.write_text(f"{EVIL}\n\ttwo\r\n", newline="")
    said = pvctl("logs", str(log))
    assert said.out == "\\x1b]0;owned\\x07\\x1b[2K\\x9b1A\\u202e\nOK\nforged: converged\n\ttwo\n"
    (tmp_path / "a.yaml").write_text('kind: "\\e[31m"')
    assert_harmless(pvctl("validate", str(tmp_path / "a.yaml")))


def test_an_error_of_several_lines_stays_one_error(pvctl: Pvctl) -> None:
    station = FakeStation()
    station.failure = PackageError(Code.install_failed, "it raised\nfile main.py\n  \x1b[A boom")

    said = pvctl("install", "good.zip", station=station)

    assert said.err == "error [2005 install_failed]: it raised\n  file main.py\n    \\x1b[A boom\n"


@contextmanager
def terminal() -> Iterator[int]:
    """Let stderr be a terminal; yield the end at which a person would sit."""
    person, program = pty.openpty()
    with os.fdopen(program, "w", encoding="utf-8") as stream, redirect_stderr(stream):
        yield person
    os.close(person)


def test_progress_on_a_terminal_is_escaped_and_is_no_markup() -> None:
    with terminal() as person:
        with progress() as notify:
            notify("bad.zip: [/red] \x1b]0;owned\x07 unpacking …")
            notify("bad.zip: \x1b]0;owned\x07 [bold]done")
        sys.stderr.flush()
        written = b""
        while b"done" not in written:  # a terminal hands out what is written piece by piece
            written += os.read(person, 1 << 16)
    shown = written.decode()

    assert "\x1b]0;" not in shown
    assert "\\x1b]0;owned\\x07 [bold]done" in shown


def test_nothing_is_printed_but_through_one_module() -> None:
    """What is printed elsewhere would not be escaped."""
    calls = [
        (path.name, ast.unparse(node.func))
        for path in CLI.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    ways = {"print", "sys.stdout.write", "sys.stderr.write", "sys.stdout.writelines", "sys.stderr.writelines"}
    assert {place for place, called in calls if called in ways} == {"output.py"}


PVCTL = Path(sys.executable).with_name("pvctl")
DEPLOYMENT = """apiVersion: procvision.dev/v1
kind: AlgorithmDeployment
metadata: {name: screws}
spec: {package: {name: screw-check, version: 1.0.0}, pids: [A01, A02]}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder whose name no 8-bit encoding can say, with a desired tree and a place for a store in it."""
    folder = tmp_path / "línea→部署✗🛈"
    (folder / "desired").mkdir(parents=True)
    (folder / "desired" / "a.yaml").write_text(DEPLOYMENT)
    return folder


def run_in(folder: Path, *words: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PVCTL, "--desired", folder / "desired", "--store", folder / "store", *words],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_a_character_that_the_encoding_cannot_say_is_an_escape_and_the_exit_code_the_same(
    tree: Path, encoding: str
) -> None:
    def said(*words: str) -> tuple[int, str]:
        done = run_in(tree, *words, encoding=encoding)
        assert b"Traceback" not in done.stderr
        return done.returncode, done.stdout.decode(encoding)

    code, text = said("validate")
    assert (code, "\\u2717\\U0001f6c8" in text) == (0, True)
    code, text = said("-o", "json", "plan")
    blocked = json.loads(text)["blocked"]
    assert (code, "screw-check" in blocked[0]["reason"]) == (5, True)
    code, text = said("reconcile", "--once", "-o", "yaml")
    assert (code, yaml.safe_load(text)["revision"]["source"]) == (5, str(tree / "desired"))
    assert said("plan")[0] == 5


@pytest.mark.parametrize(
    ("words", "closed", "code"),
    [("plan", "<&-", 5), ("reconcile --once", "<&- >&- 2>&-", 5), ("reconcile --once", ">&- 2>&-", 5)],
)
def test_closed_standard_streams_end_nothing(tree: Path, words: str, closed: str, code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", PVCTL, "--desired", tree / "desired", "--store", tree / "store",
         *words.split()],
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False), done.stderr
