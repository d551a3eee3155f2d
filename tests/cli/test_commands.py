"""What each command asks of the station, and prints as a table, JSON and YAML."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.calls.request import DetectionRequest
from controller.cli.events import _line
from controller.cli.output import show
from controller.client.answers import Detection
from controller.client.arguments import CallArguments
from controller.model.operation import OperationDocument, OperationError, OperationState
from controller.model.package import PackageRef
from controller.station.commands.detecting import Detect
from controller.station.commands.events import Event, EventKind
from controller.station.commands.feedback import GiveFeedback
from controller.station.commands.operator import (
    Abort,
    OperatorCommand,
    Pause,
    Promote,
    Restart,
    Resume,
    Retry,
    Rollback,
)
from controller.station.commands.packages import Uninstall
from controller.station.commands.parts import GetPicture
from controller.station.commands.reconciling import PlannedChanges, PreviewPlan, Reconcile
from controller.station.commands.records import ReadAudit, ReadLogs
from tests.cli.conftest import Pvctl, Said
from tests.station.fake import PART, STATUS, FakeStation

DEPLOYMENT = """apiVersion: procvision.dev/v1
kind: AlgorithmDeployment
metadata: {name: screws}
spec: {package: {name: screw-check, version: 1.0.0}, pids: [A01, A02]}
"""


def documents(pvctl: Pvctl, *words: str) -> Any:
    """Return the document that a command prints, the same as JSON and as YAML."""
    as_json = json.loads(pvctl(*words, "-o", "json").out)
    assert yaml.safe_load(pvctl("-o", "yaml", *words).out) == as_json
    return as_json


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(DEPLOYMENT)
    return tmp_path


def test_version(pvctl: Pvctl) -> None:
    assert set(documents(pvctl, "version")) == {"version", "python"}


def test_status(pvctl: Pvctl) -> None:
    assert documents(pvctl, "status") == STATUS
    out = pvctl("status").out
    assert "revision abc123 from desired (converged)" in out
    assert "A01  screws      1.0.0 (held)  yes    x" in out
    assert "waiting: screws until later: a bake" in out


def station_of_two() -> FakeStation:
    """A station that shows two deployments, the second with a PID, a process, a package and a wait of its own."""
    station = FakeStation()
    document: Any = json.loads(json.dumps(STATUS))
    document["deployments"].append({**document["deployments"][0], "name": "welds", "package": "weld-check",
                                    "phase": "Progressing", "desired_weight": 50, "actual_weight": 25,
                                    "message": "step 1 of 2"})  # fmt: skip
    document["pids"].append({**document["pids"][0], "pid": "B01", "deployment": "welds"})
    document["waiting"].append({"what": "process/welds/weld-check@1.0.0-0", "until": None, "reason": "a breaker"})
    document["packages"] = [{"name": each, "version": "1.0.0", "digest": "sha256:ab", "state": "installed",
                             "error_code": None, "reason": "", "supported_pids": None}
                            for each in ("screw-check", "weld-check")]  # fmt: skip
    station.status = document
    return station


@pytest.mark.parametrize("name", ["welds", "B01"])
def test_status_of_one_name(pvctl: Pvctl, name: str) -> None:
    said = pvctl("status", name, "-o", "json", station=station_of_two())
    found = json.loads(said.out)
    assert [each["name"] for each in found["deployments"]] == ["welds"]
    assert [each["pid"] for each in found["pids"]] == ["B01"]
    assert [each["name"] for each in found["packages"]] == ["weld-check"]
    assert [each["reason"] for each in found["waiting"]] == ["a breaker"]
    assert found["revision"] == STATUS["revision"]
    assert "screws" not in pvctl("status", name, station=station_of_two()).out


def test_status_of_a_name_that_is_not_there(pvctl: Pvctl) -> None:
    said = pvctl("status", "weld", station=station_of_two())
    assert (said.code, said.out) == (1, "")
    assert "weld is neither a deployment nor a PID of this station; did you mean welds?" in said.err


def test_rollout_status(pvctl: Pvctl) -> None:
    station = station_of_two()
    said = pvctl("rollout", "status", "welds", station=station)
    assert (said.code, said.out) == (
        3, "welds: Progressing, weld-check@1.0.0 on 25% of the PIDs, of 50% in this step: step 1 of 2\n")  # fmt: skip
    done = pvctl("rollout", "status", "screws", station=station)
    assert (done.code, done.out) == (0, "screws: Healthy, screw-check@1.0.0 on 100% of the PIDs\n")
    assert json.loads(pvctl("rollout", "status", "screws", "-o", "json", station=station).out)["phase"] == "Healthy"
    station.status["deployments"][0]["phase"] = "Degraded"
    assert pvctl("rollout", "status", "screws", station=station).code == 5


def test_rollout_status_waits_for_the_end_and_tells_each_change(pvctl: Pvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    station = station_of_two()
    row = station.status["deployments"][1]
    steps = iter([{"message": "step 2 of 2"}, {}, {"phase": "Healthy", "message": ""}, {}])

    def pass_a_second(_: float) -> None:
        row.update(next(steps))

    monkeypatch.setattr("controller.cli.rollout.time.sleep", pass_a_second)
    said = pvctl("rollout", "status", "welds", "--wait", station=station)
    assert said.code == 0
    *steps_told, end = said.out.splitlines()
    assert [line.rpartition(": ")[2] for line in steps_told] == ["step 1 of 2", "step 2 of 2"]
    assert end == "welds: Healthy, weld-check@1.0.0 on 25% of the PIDs, of 50% in this step"

    row.update({"phase": "Paused"})
    assert pvctl("rollout", "status", "welds", "--wait", "--timeout", "0s", station=station).code == 3
    station.status["daemon"] = {"alive": False, "os_pid": None, "started_at": None, "source": "", "age_s": 9.0}
    said = pvctl("rollout", "status", "welds", "--wait", station=station)
    assert (said.code, "no daemon runs" in said.err) == (3, True)


def test_validate_of_stdin(pvctl: Pvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(text: str, *words: str) -> Said:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return pvctl("validate", "-", *words)

    assert typed(DEPLOYMENT).out == "<stdin>: valid, 1 deployments, 2 PIDs\n"
    said = typed(DEPLOYMENT.replace("pids", "pidz"))
    assert (said.code, "<stdin>:4:54: spec.pidz: unknown key" in said.err) == (4, True), said.err
    assert json.loads(typed(DEPLOYMENT, "-o", "json").out)["deployments"] == ["screws"]
    said = typed(DEPLOYMENT.replace("name: screws", "name: screws, namespace: line-a, creationTimestamp: null"))
    assert (said.code, said.out) == (0, "<stdin>: valid, 1 deployments, 2 PIDs\n")
    assert said.err == (
        "warning: <stdin>:3:37: metadata.namespace: is ignored: a station has no namespaces\n")  # fmt: skip
    monkeypatch.setattr("sys.stdin", None)
    assert pvctl("validate", "-").code == 0, "nothing is an empty tree"


def test_validate(pvctl: Pvctl, tree: Path) -> None:
    assert documents(pvctl, "validate", str(tree))["deployments"] == ["screws"]
    assert documents(pvctl, "--desired", str(tree), "validate")["valid"] is True
    assert pvctl("validate", "-o", "table", str(tree)).out == f"{tree}: valid, 1 deployments, 2 PIDs\n"


def test_validate_of_what_is_wrong(pvctl: Pvctl, tree: Path) -> None:
    (tree / "a.yaml").write_text(DEPLOYMENT.replace("pids", "pidz"))
    found = documents(pvctl, "validate", str(tree))
    assert found["valid"] is False
    assert any("pidz" in error for error in found["errors"])
    said = pvctl("validate", str(tree))
    assert (said.code, said.out) == (4, "")
    assert "did you mean" in said.err


def test_plan(pvctl: Pvctl) -> None:
    found = documents(pvctl, "plan")
    assert (found["revision"], found["actions"], found["changes"][0]["after"]) == ("abc123", [], "1.1.0")
    assert "nothing to do" in pvctl("plan").out
    assert pvctl.asked == [PreviewPlan()]
    pvctl("plan", "--allow-empty", "--no-serve")
    assert pvctl.asked == [PreviewPlan(allow_empty=True, serve=False)]


def test_a_plan_goes_to_a_file_and_from_there_into_a_reconcile(pvctl: Pvctl, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    said = pvctl("plan", "--out", str(file))
    assert (said.code, f"reconcile --once --plan {file}" in said.err) == (0, True)
    pvctl("reconcile", "--once", "--plan", str(file))
    assert pvctl.asked == [Reconcile(plan=PlannedChanges("abc123", {}, ()))]
    for text in ("{}", "[", json.dumps({**json.loads(file.read_text()), "kind": "Pod"})):
        file.write_text(text)
        said = pvctl("reconcile", "--once", "--plan", str(file))
        assert (said.code, pvctl.asked) == (1, [])
        assert f"{file} holds no plan\n  next: make it with `pvctl plan --out`" in said.err
    assert "cannot read nowhere" in pvctl("reconcile", "--once", "--plan", "nowhere").err


def test_reconcile(pvctl: Pvctl) -> None:
    said = pvctl("reconcile", "--once", "-o", "json")
    assert (said.code, said.err, json.loads(said.out)) == (
        3, "install screw-check@1.0.0\nstart screw-check@1.0.0\n", STATUS)  # fmt: skip
    assert pvctl.asked == [Reconcile()]
    pvctl("reconcile", "--once", "--wait", "--timeout", "1h30m", "--no-serve", "--allow-empty")
    assert pvctl.asked == [Reconcile(allow_empty=True, wait=True, timeout=5400.0, serve=False)]


def test_run(pvctl: Pvctl) -> None:
    assert pvctl("run").code == 0
    assert pvctl.product.daemons == [None]
    pvctl("run", "--socket-group", "line")
    assert pvctl.product.daemons == ["line"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("promote screws", Promote("screws")),
        ("promote screws --full", Promote("screws", full=True)),
        ("pause screws", Pause("screws")),
        ("resume A01", Resume("A01")),
        ("abort screws", Abort("screws")),
        ("abort screws --reason scrap", Abort("screws", reason="scrap")),
        ("retry screws", Retry("screws")),
        ("restart screws --reason leaks", Restart("screws", reason="leaks")),
        ("rollback A01 --reason scrap", Rollback("A01", reason="scrap")),
        (
            "rollback A01 --to 1.0.0 --emergency --reason scrap",
            Rollback("A01", to="1.0.0", emergency=True, reason="scrap"),
        ),
    ],
)
def test_operators_commands(pvctl: Pvctl, words: str, command: OperatorCommand) -> None:
    verb, subject, *_ = words.split()
    assert pvctl(*words.split()).out == f"{verb} {subject}: will be done\n"
    assert pvctl.asked == [command]
    assert documents(pvctl, *words.split())["verb"] == verb


def test_a_worker_is_named_by_option_or_environment(pvctl: Pvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pvctl("pause", "screws", "--as", "Ann O'Neil").code == 0
    assert pvctl.settings is not None
    assert pvctl.settings.worker == "Ann O'Neil"
    monkeypatch.setenv("PVCTL_ACTOR", "kiosk worker 7")
    pvctl("pause", "screws")
    assert pvctl.settings.worker == "kiosk worker 7"
    for wrong in ("", " ", "x" * 65, "a\nb", "\x1b[2J", "\u202eann"):
        said = pvctl("pause", "screws", f"--as={wrong}")
        assert (said.code, "is no name" in said.err) == (64, True)
    monkeypatch.setenv("PVCTL_ACTOR", "a\tb")
    assert "PVCTL_ACTOR in the environment" in pvctl("pause", "screws").err


def test_exec(pvctl: Pvctl) -> None:
    found = documents(pvctl, "exec", "A01", "--image", "part.png")
    assert list(found) == ["request_id", "pid", "name", "version", "status", "message", "data", "latency_ms"]
    out = pvctl("exec", "A01", "--image", "part.png").out
    assert out == "A01: NG  (screw-check@1.0.0, 1.2 ms)  request r1\n  scratched\n  defect at 1,2 3 x 4\n"
    asked = DetectionRequest("A01", Path("part.png"), arguments=CallArguments(params={}))
    assert pvctl.asked == [Detect(asked)]


def test_exec_passes_every_option(pvctl: Pvctl, tmp_path: Path) -> None:
    info = tmp_path / "info.json"
    info.write_text('\ufeff[{"x": 1}]')
    pvctl("exec", "A01", "--image", "a", "--guide-image", "g", "--step", "2", "--step-desc", "second",
          "--param", "t=0.4", "--param", "mode=fast", "--guide-info", f"@{info}", "--phase", "pre",
          "--timeout", "500ms", "--session", '{"id": "s"}', "--color-space", "BGR", "--camera-id", "top")  # fmt: skip
    given = CallArguments(
        2, "second", [{"x": 1}], {"t": 0.4, "mode": "fast"}, {"id": "s"}, "pre", 0.5, "BGR", "top"
    )  # fmt: skip
    assert pvctl.asked == [Detect(DetectionRequest("A01", Path("a"), Path("g"), given))]
    pvctl("exec", "A01", "--phase", "info")
    assert pvctl.asked == [Detect(DetectionRequest("A01", None, arguments=CallArguments(params={}, phase="info")))]


@pytest.mark.parametrize(
    ("defects", "lines"),
    [
        ([{"x": 1, "y": 2, "width": 3, "height": 4}, [1.5, 2, 3, 4]], ["1,2 3 x 4", "1.5,2 3 x 4"]),
        ([{"x": 1, "y": 2, "width": 3, "height": 4, "label": "dent", "score": 0.91234}], ["1,2 3 x 4 (dent, 0.912)"]),
        ([{"x": 1, "y": 2, "width": 3, "height": 4, "score": 1, "area": 12}], ['1,2 3 x 4 (1, {"area": 12})']),
        ([{"x": 1, "y": 2, "width": 3, "height": 4, "label": 7}], ['1,2 3 x 4 ({"label": 7})']),
        ([{"x": 1, "y": 2, "w": 3, "h": 4}, [1, 2, 3]], ['{"x": 1, "y": 2, "w": 3, "h": 4}', "[1, 2, 3]"]),
        ([[1, 2, 3, True], None, "left\n"], ["[1, 2, 3, true]", "null", '"left\\n"']),
        ({"x": 1}, ['{"x": 1}']), ("left", ['"left"']), ([], []), (None, []),
    ],
)  # fmt: skip
def test_exec_tells_where_defects_are(pvctl: Pvctl, defects: object, lines: list[str]) -> None:
    async def detect(request: DetectionRequest) -> Detection:
        data = {"result_status": "NG", "ng_reason": {"why": "deep"}, "defect_rects": defects}
        before = {"message": "calibrated", "data": {}}
        return Detection("\x1b[2Jr", request.pid, "screw-check", "1.0.0", "OK", "seen", data, 1.25, before)

    out = pvctl("exec", "A01", "--image", "a", station=FakeStation(detect)).out
    first, *said = out.splitlines()
    assert first == "A01: NG  (screw-check@1.0.0, 1.2 ms)  request \\x1b[2Jr"
    assert said[:3] == ["  pre: calibrated", "  seen", '  {"why": "deep"}']
    assert said[3:] == [f"  defect at {line}" for line in lines]


def test_exec_of_a_package(pvctl: Pvctl) -> None:
    package = PackageRef("screw-check", "1.1.0+b")
    for words, pid in (((), ""), (("--pid", "A02"), "A02")):
        pvctl("exec", "screw-check@1.1.0+b", "--image", "a", *words)
        (asked,) = pvctl.asked
        assert asked == Detect(
            DetectionRequest(pid, Path("a"), arguments=CallArguments(params={}), package=package)
        )  # fmt: skip
    twice = pvctl("exec", "A01", "--pid", "A02", "--image", "a")
    assert (twice.code, "--pid is for NAME@VERSION" in twice.err, pvctl.asked) == (64, True, [])
    for wrong in ("@1.1.0", "screw-check@", "a/b@1", "a@b@c"):
        said = pvctl("exec", wrong, "--image", "a")
        assert (said.code, "cannot be a package's NAME@VERSION" in said.err, pvctl.asked) == (1, True, [])


def test_exec_that_fails(pvctl: Pvctl) -> None:
    malformed = pvctl("exec", "../A01", "--image", "a", "-o", "json")
    assert (malformed.code, json.loads(malformed.out)["error"]["code"], pvctl.asked) == (1, 1001, [])
    assert pvctl("exec", "E01", "--image", "a").code == 1
    said = pvctl("exec", "X99", "--image", "a", "-o", "json")
    assert (said.code, said.err) == (1, "")
    assert json.loads(said.out)["error"]["code"] == 1012


def test_package_validate(pvctl: Pvctl) -> None:
    said = pvctl("package", "validate", "good.zip", "bad.zip", "windows.zip")
    assert said.code == 4
    assert said.out == (
        "good.zip: valid, screw-check@1.0.0\ngood.zip: warning: ignored: requirements.txt:1: -i\n"
        "bad.zip: [2002 manifest_missing] bad.zip has no manifest.json\n"
        "windows.zip: [2003 incompatible_python] it is packed for Windows\n"
        "windows.zip: [2004 wheels_missing] glass: there is no wheel of it\n"
        "windows.zip: warning: ignored: requirements.txt:1: -i\n"
    )
    assert said.err == "good.zip: checking …\nbad.zip: checking …\nwindows.zip: checking …\n"
    assert [each["valid"] for each in documents(pvctl, "package", "validate", "good.zip")] == [True]
    assert pvctl("package", "validate", "good.zip").code == 0
    found = documents(pvctl, "package", "validate", "windows.zip")[0]
    assert found["error"] == found["errors"][0]
    assert [each["code"] for each in found["errors"]] == [2003, 2004]
    assert found["warnings"] == ["ignored: requirements.txt:1: -i"]
    assert [(each["name"], each["state"], each["because"]) for each in found["checks"]] == [
        ("interpreter", "failed", ""), ("closure", "failed", ""), ("sdk", "not_reached", "closure failed"),
    ]  # fmt: skip
    assert "sdk           not reached   closure failed" in pvctl("package", "validate", "windows.zip", "-o", "wide").out


def test_package_show(pvctl: Pvctl) -> None:
    assert documents(pvctl, "package", "show", "good.zip")["wheels"] == ["numpy-2.0.0-cp311-cp311-win_amd64.whl"]
    assert "supported_pids      A01, A02" in pvctl("package", "show", "good.zip").out
    assert "  param threshold   type: float, default: 0.5" in pvctl("package", "show", "good.zip").out
    assert documents(pvctl, "package", "show", "good.zip")["steps"][0]["params"][0]["key"] == "threshold"
    windows = pvctl("package", "show", "windows.zip")
    assert windows.code == 0
    assert "error: [2004 wheels_missing] glass: there is no wheel of it\nwarning: ignored" in windows.out
    assert documents(pvctl, "package", "show", "bad.zip")["error"]["code"] == 2002
    said = pvctl("package", "show", "bad.zip")
    assert (said.code, said.out) == (4, "")


def test_install(pvctl: Pvctl) -> None:
    assert documents(pvctl, "install", "good.zip") == {"name": "screw-check", "version": "1.0.0", "digest": "sha256:ab"}
    said = pvctl("install", "good.zip")
    assert (said.out, said.err) == ("screw-check@1.0.0 is installed\n", "good.zip: installed\n")
    assert pvctl("install", "bad.zip").code == 4


def test_uninstall(pvctl: Pvctl) -> None:
    said = pvctl("uninstall", "screw-check", "--store", "x", "1.0.0")
    assert (said.code, said.out) == (0, "")
    assert pvctl.asked == [Uninstall("screw-check", "1.0.0")]


def test_feedback(pvctl: Pvctl) -> None:
    assert documents(pvctl, "feedback", "r1", "NG", "--source", "ann")["counted"] == "escape"
    assert pvctl.asked == [GiveFeedback("r1", "NG", "ann")]
    assert pvctl("feedback", "r1", "NG").out == (
        "A01: screw-check@1.0.0 said OK, the part was NG: an escape: a bad part passed\n"
    )
    assert pvctl("feedback", "r1", "GOOD").code == 64
    said = pvctl("feedback", "../r1", "OK")
    assert (said.code, said.out) == (1, "")
    assert "request_id is not valid" in said.err


def test_parts(pvctl: Pvctl, tmp_path: Path) -> None:
    assert documents(pvctl, "parts") == [PART]
    shown = pvctl("parts", "A01").out
    assert "A01   NG        screw-check@1.0.0" in shown
    assert "a scratch" in shown
    picture = tmp_path / "part.jpg"
    said = pvctl("parts", "A01", "--picture", str(picture))
    assert (said.code, picture.read_bytes()) == (0, b"\xff\xd8\xff a picture")
    assert pvctl.asked[-1] == GetPicture("A01", "r-1")
    assert pvctl("parts", "--picture", str(picture)).code == 64
    assert pvctl("parts", "A09").code == 1
    without = FakeStation()
    without.parts = [{**PART, "picture": None}]
    said = pvctl("parts", "A01", "--picture", str(picture), station=without)
    assert (said.code, "no picture of the last part of PID A01" in said.err) == (1, True)


def test_history(pvctl: Pvctl) -> None:
    assert documents(pvctl, "history", "A01")[0]["actor"] == "ann"
    assert "t       A01   screw-check@1.0.0   screws" in pvctl("history", "A01").out
    assert documents(pvctl, "history", "screws")[0]["pid"] == "A01"
    assert pvctl("history", "B01").code == 1


def test_audit(pvctl: Pvctl) -> None:
    assert [each["seq"] for each in documents(pvctl, "audit", "-n2")] == [2, 3]
    assert pvctl("audit", "-n", "0").out.splitlines() == ["SEQ   TIME   ACTOR   ACTION   OBJECT   OUTCOME   REASON"]


def test_audit_verify(pvctl: Pvctl) -> None:
    assert pvctl("audit", "--verify").out == "2 records, chain holds, head 2:ff\n"
    assert documents(pvctl, "audit", "--verify")["valid"] is True
    said = pvctl("audit", "--verify", "--head", "9:aa")
    assert (said.code, said.out) == (1, "record 3 is broken: its hash differs (the 2 before it hold)\n")


def test_logs(pvctl: Pvctl, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\nthree\n")
    assert pvctl("logs", str(log), "-n", "2").out == "two\nthree\n"
    said = pvctl("logs", "nothing@1.0.0")
    assert (said.code, pvctl.asked) == (1, [ReadLogs("nothing", "1.0.0")])


def test_each_kind_of_event_is_one_line_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    part = {
        "pid": "A01", "verdict": "NG", "name": "screw", "version": "1.1.0", "latency_ms": 12.34, "message": "scratch",
        "defects": [{}, {}],
    }  # fmt: skip
    failed = {
        **part, "pid": "A02", "verdict": "FAILED", "name": "", "version": "", "latency_ms": None, "defects": [],
        "message": "two\nlines",
    }  # fmt: skip
    operation = {
        "id": "7-install", "kind": "install", "subject": "screw@1.1.0", "actor": "ann", "state": "running",
        "error": None,
    }  # fmt: skip
    error = {"code": 2001, "name": "invalid_zip", "message": "it is torn"}
    told: list[tuple[EventKind, object]] = [
        ("parts", [part, failed]), ("operation", operation), ("reset", {"reason": "read anew"}),
        ("operation", {**operation, "state": "failed", "kind": "reconcile", "subject": "", "error": error}),
        ("status", {"converged": False, "deployments": ["screws"], "pids": ["A01"], "processes": [], "others": []}),
        ("audit", {"actor": "ann", "action": "switch", "object": "pid/A01", "outcome": "succeeded", "reason": "hold"}),
    ]  # fmt: skip
    for kind, data in told:
        show(_line(Event("1-1", kind, json.dumps(data).encode())))

    assert capsys.readouterr().out.splitlines() == [
        "parts: A01 NG by screw@1.1.0 in 12.3 ms, 2 defects, scratch; A02 FAILED, two\\nlines",
        "operation: install screw@1.1.0 by ann: running (7-install)",
        "reset: read anew",
        "operation: reconcile by ann: failed: [2001 invalid_zip] it is torn (7-install)",
        "status: not converged: screws, A01",
        "audit: ann: switch pid/A01: succeeded (hold)",
    ]


def test_what_the_station_says_of_itself(pvctl: Pvctl) -> None:
    assert documents(pvctl, "whoami") == {"name": "ann", "access": "admin", "recordings": True}
    assert pvctl("revisions").out.splitlines() == [
        "in force: none", "refused t: desired", "  desired/a.yaml:3:5: spec.pids: no",
    ]  # fmt: skip
    assert documents(pvctl, "revisions")["refused"][0]["errors"][0]["line"] == 3


def test_operations_are_listed_shown_and_followed(pvctl: Pvctl) -> None:
    station = FakeStation()
    good, bad = (operation(name, state) for name, state in (("one", "succeeded"), ("two", "failed")))
    station.operations = {"one": good, "two": bad}

    assert pvctl("operations", station=station).out.splitlines()[1].split() == [
        "one", "install", "a.zip", "succeeded", "ann", "t", "t",
    ]  # fmt: skip
    failed = json.loads(pvctl("operations", "--state", "failed", "-o", "json", station=station).out)
    assert [each["id"] for each in failed] == ["two"]
    said = pvctl("operations", "one", station=station)
    assert (said.code, said.out.splitlines()) == (0, [
        "install a.zip: succeeded; asked for by ann", "started t, ended t", "  t unpacking", "version: 1.0.0",
    ])  # fmt: skip
    followed = pvctl("operations", "two", "--follow", station=station)
    assert (followed.code, followed.out.splitlines()[-1]) == (1, "error [2001 invalid_zip]: no zip")
    assert "unpacking" in followed.err
    assert "no operation 'three'" in pvctl("operations", "three", station=station).err
    assert pvctl("operations", "--follow", station=station).code == 64


def operation(name: str, state: OperationState) -> OperationDocument:
    """Return an operation that has ended, well or not."""
    failed = state == "failed"
    error: OperationError = {"code": 2001, "name": "invalid_zip", "message": "no zip", "details": {}}
    return {
        "id": name, "kind": "install", "subject": "a.zip", "state": state, "actor": "ann", "started_at": "t",
        "ended_at": "t", "error": error if failed else None, "progress": [{"at": "t", "text": "unpacking"}],
        "result": None if failed else {"version": "1.0.0"},
    }  # fmt: skip


def test_audit_asks_for_what_is_wanted(pvctl: Pvctl) -> None:
    pvctl("audit", "-n", "2", "--before", "9", "--actor", "ann", "--action", "switch", "--object", "A01")
    assert pvctl.asked == [ReadAudit(2, 9, "ann", "switch", "A01")]


def test_schema(pvctl: Pvctl) -> None:
    assert "$defs" in json.loads(pvctl("schema").out)
    assert json.loads(pvctl("schema", "--openapi").out) == {"openapi": "3.1.0"}


def test_down(pvctl: Pvctl) -> None:
    said = pvctl("down")
    assert (said.code, said.out, said.err) == (0, "", "screws/screw-check@1.0.0-0: ended\n")
