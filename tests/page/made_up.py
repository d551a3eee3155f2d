"""A station that is made up, with 200 PIDs: for the page's looks, sizes and roles.

`python -m tests.page.made_up [PORT [SECONDS [PIDS [ROLE]]]]` serves it on loopback.
The page with a real daemon's answers is tested in `test_live.py`; with a real browser in `tests/browser/`.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from random import Random
from typing import Any, Self, cast

from PIL import Image, ImageDraw

from controller.errors import Code, CodedError, ControllerError, NotFound
from controller.model.timestamps import format_timestamp
from controller.page.application import Page
from controller.page.sessions import Session
from controller.station.commands.measuring import DeploymentSeries, GetSeries
from controller.station.commands.operator import Message
from controller.station.commands.parts import GetLastParts, GetPicture, PictureFile
from controller.station.commands.present import GetPid, GetRevisions, ListDeployments, RevisionInForce, Revisions
from controller.station.commands.records import AuditPage, GetHistory, HistoryRow, LogPiece, ReadAudit, ReadLogs
from controller.station.commands.status import GetStatus
from controller.station.port import Access, Caller, Command, Report, Result, require_access, silent

MISTAKE: Any = {
    "file": "desired/screws.yaml", "line": 12, "path": "spec.pids", "message": "A01 is listed twice"
}  # fmt: skip
HEALTH = {"samples": 412, "error_rate": 0.0049, "timeout_rate": 0.0, "latency_p50_ms": 41.0, "latency_p95_ms": 66.5,
          "ng_rate": 0.03}  # fmt: skip


def moment(ago: float = 0.0) -> str:
    return format_timestamp(time.time() - ago)


def pid_row(pid: str, deployment: str, version: str, target: str | None = None, **changed: Any) -> dict[str, Any]:
    row = {
        "pid": pid, "deployment": deployment,
        "active": {"name": deployment, "version": version, "activated_at": moment(7200)},
        "target_version": target or version, "pinned": False, "held": False, "ready": True, "health": HEALTH,
    }  # fmt: skip
    return row | changed


def part(pid: str, verdict: str, version: str, ago: float = 3.0, **changed: Any) -> dict[str, Any]:
    defects = [
        {"x": 310, "y": 140, "width": 120, "height": 80, "label": "scratch", "score": 0.93},
        {"x": 60, "y": 330, "width": 70, "height": 70, "label": "missing", "score": 0.71},
    ]
    row = {
        "pid": pid, "request_id": f"r-{pid}", "at": moment(ago), "name": "screw-check", "version": version,
        "verdict": verdict, "message": "" if verdict == "OK" else "scratch of 14 mm on the left flange",
        "latency_ms": 41.2, "defects": defects if verdict == "NG" else [], "defects_malformed": 0, "error": None,
        "picture": {"width": 640, "height": 480, "etag": "x"} if verdict != "FAILED" else None,
    }  # fmt: skip
    return row | changed


def evidence(metric: str, value: float, limit: float, samples: int, progress: float) -> dict[str, Any]:
    message = f"{metric} {value:.3g} over {samples} calls, limit {limit:g}"
    return {"metric": metric, "value": value, "limit": limit, "samples": samples, "progress": progress,
            "message": message, "needed": 50}  # fmt: skip


def record(
    seq: int, action: str, object_: str, outcome: str, actor: str = "ann", reason: str = "because", **changed: Any
) -> Any:
    """Return a record of the audit."""
    row = {
        "seq": seq, "time": f"2026-11-30T11:{seq // 60 % 60:02}:{seq % 60:02}.000000Z", "actor": actor, "revision": "r",
        "action": action, "object": object_, "before": None, "after": None, "reason": reason, "outcome": outcome,
        "prev": "", "hash": "",
    }  # fmt: skip
    return row | changed


def deployment_row(name: str, target: str, stable: str, phase: str = "Healthy", **changed: Any) -> dict[str, Any]:
    row = {
        "name": name, "phase": phase, "observed_generation": "g1", "package": name, "target_version": target,
        "stable_version": stable, "current_step_index": None, "desired_weight": 100, "actual_weight": 100,
        "quarantined": [], "message": f"{name}@{target} serves its PIDs", "conditions": [
            {"type": "Degraded", "status": phase == "Degraded", "reason": phase, "message": "",
             "last_transition_time": moment(90)}],
        "evidence": [], "patch": "", "rollback_to": None, "rollback_until": None, "proven": True, "last_words": [],
        "last_words_of": None,
    }  # fmt: skip
    return row | changed


class Pieces:
    """A feed of what is there already."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        self.closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop(0)

    async def aclose(self) -> None:
        self.closed = True


class MadeUpStation:
    """A station whose answers are made up. `silent`: it does not answer. `acts`: what was asked of it, by whom."""

    def __init__(self, pids: int = 200, *, troubled: bool = True) -> None:
        self.silent = False
        self.acts: list[tuple[Command[Any], Caller]] = []
        self.records: list[Any] = []
        """Records of the audit that are newer than those that are made up, newest first."""
        self.differing: list[Any] = []
        """Pictures on which the canary says something else."""
        self.log = "a line of {of}\n"
        self.progress = 0.31
        self._random = Random(7)  # noqa: S311 - it only makes things up
        count = pids // 2
        names = [f"{'ABCD'[index * 4 // pids]}{index % (pids // 4 or 1) + 1:02}" for index in range(pids)]
        screws, labels = names[:count], names[count:]
        canary = screws[-max(1, count // 4) :]
        rows = [
            pid_row(pid, "screw-check", "1.1.0" if pid in canary else "1.0.0", "1.1.0" if pid in canary else "1.0.0")
            for pid in screws
        ] + [pid_row(pid, "label-read", "2.3.1") for pid in labels]
        if pids >= 12:
            rows[1] |= {"held": True}
            rows[2] |= {"pinned": True}
            rows[4] |= {"target_version": "1.1.0"}
            if troubled:
                rows[-2] |= {"ready": False}
        verdicts = self._random.choices(["OK", "NG", "ERROR", "FAILED", ""], [88, 7, 1, 1, 2], k=pids)
        if not troubled:
            verdicts = ["OK"] * pids
        self.parts = {
            pid: part(pid, verdict, row["active"]["version"], self._random.uniform(0, 40))
            for pid, row, verdict in zip(names, rows, verdicts, strict=True)
            if verdict
        }
        steps = [("setWeight", 25, canary), ("pause", 25, canary), ("setWeight", 50, screws[-max(1, count // 2) :]),
                 ("pause", 50, []), ("setWeight", 100, screws)]  # fmt: skip
        self.details = [{
            "name": "screw-check", "steps": [
                {"index": index, "kind": kind, "set_weight": weight if kind == "setWeight" else None,
                 "pause_s": 600.0 if index == 1 else None, "weight": weight, "pids": pids,
                 "state": "done" if index < 1 else "current" if index == 1 else "ahead"}
                for index, (kind, weight, pids) in enumerate(steps)
            ],
            "rollout": {"state": "stepping", "paused_by": "", "back": dict.fromkeys(screws, "screw-check@1.0.0")},
        }, {
            "name": "pin-check", "steps": [], "rollout": None, "quarantine": [
                {"package": "pin-check", "version": version, "digest": f"sha256:{version}", "at": moment(ago),
                 "reason": f"error rate 25.5 % of {version}"}
                for version, ago in (("2.9.9", 9000), ("3.0.0", 600))
            ],
        }]  # fmt: skip
        self.document: dict[str, Any] = {
            "revision": {"id": "3f1c9d2b7a4e5f60718293a4b5c6d7e8f9012345", "source": "desired", "valid": True,
                         "errors": [], "loaded_at": moment(3600)},
            "converged": False,
            "deployments": [
                deployment_row("label-read", "2.3.1", "2.3.1"),
                deployment_row(
                    "screw-check", "1.1.0", "1.0.0", "Paused", current_step_index=1, desired_weight=25,
                    actual_weight=25, message="step 2 of 5: pause 600s; `pvctl promote screw-check` goes on at once",
                ),
                *([deployment_row(
                    "pin-check", "3.0.0", "2.9.4", "Degraded", quarantined=["pin-check@3.0.0"],
                    message="pin-check@3.0.0 is in quarantine since 2026-11-30T11:02:10Z: error rate 25.5 % over 47 "
                    "calls on D04, limit 5% (would happen by chance less than once in 4,000 rollouts); deploy another "
                    "version, or `pvctl retry pin-check`",
                    evidence=[evidence("errorRate", 0.255, 0.05, 47, 1.0), evidence("timeoutRate", 0.0, 0.01, 47, 0.0)],
                    last_words=["Traceback (most recent call last):", '  File "main.py", line 41, in execute',
                                "ValueError: operands could not be broadcast together <script>alert(1)</script>"],
                    last_words_of="pin-check@3.0.0", patch="spec:\n  package:\n    version: 2.9.4\n",
                )] if troubled else []),
            ],
            "pids": rows,
            "processes": [
                {"deployment": "screw-check", "name": "screw-check", "version": version, "replica": replica,
                 "os_pid": 4000 + replica, "state": state, "sdk_version": "0.3.2", "rss_bytes": 412_000_000,
                 "cpu_percent": 23.0, "restarts": replica, "started_at": moment(7000)}
                for replica, (version, state) in enumerate([("1.0.0", "ready"), ("1.1.0", "busy"), ("1.1.0", "failed")])
            ],
            "packages": [
                {"name": "screw-check", "version": "1.1.0", "digest": "sha256:ab", "state": "installed",
                 "error_code": None, "reason": "", "supported_pids": ["A01", "A02"]},
                {"name": "bad", "version": "0.1.0", "digest": "sha256:cd", "state": "invalid", "error_code": 2004,
                 "reason": "requirements.txt wants numpy>=2, and no wheel provides it", "supported_pids": None},
            ],
            "waiting": [{"what": "rollout/screw-check", "until": moment(-412), "reason": "pause 600s"}],
            "daemon": {"alive": True, "os_pid": 1, "started_at": moment(9000), "source": "desired", "age_s": 0.4},
            "host": {"store_free_bytes": 1, "memory_store_free_bytes": 1, "memory_free_bytes": 1, "conditions": []},
        }  # fmt: skip

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        require_access(command, caller)
        if self.silent:
            raise ControllerError("the daemon does not answer")
        return cast(Result, self._answer(command, caller))

    def _answer(self, command: Any, caller: Caller) -> object:
        answers: dict[type, Callable[[], object]] = {
            GetStatus: self._status,
            GetLastParts: lambda: list(self.parts.values()),
            GetPicture: lambda: PictureFile(command.request_id, picture(command.pid)),
            GetSeries: lambda: series(command.deployment),
            GetHistory: lambda: tuple(
                HistoryRow(row["pid"], moment(9000), "screw-check", version, "screw-check", "r", "ann", "first")
                for row in self.document["pids"] if command.subject in {row["pid"], row["deployment"]}
                for version in ("1.0.0", "1.1.0")
            ),
            ListDeployments: lambda: self.details,
            GetPid: lambda: self._pid(command.pid),
            GetRevisions: lambda: Revisions(
                RevisionInForce(
                    id="3f1c9d2b7a4e", source="desired", loaded_at=moment(3600), deployments=["screw-check"], pids=200
                ),
                ({"at": moment(60), "source": "desired", "errors": [MISTAKE]},),
            ),
            ReadAudit: lambda: self._audit(command),
            ReadLogs: lambda: Pieces(
                [(LogPiece("1.1.0-0", self.log.replace("{of}", command.subject or "the controller")),)]
            ),
        }  # fmt: skip
        if type(command) in answers:
            return answers[type(command)]()
        if not hasattr(command, "reason"):
            raise ControllerError("not made up")
        self.acts.append((command, caller))
        if command.reason == "refuse":
            raise CodedError(Code.activation_conflict, "nothing is paused", next_step="see `pvctl status`")
        return Message(f"{type(command).__name__}: will be done")

    def _pid(self, pid: str) -> object:
        for row in self.document["pids"]:
            if row["pid"] == pid:
                hold = {"version": "1.0.0", "reason": "scrap", "by": "ann", "at": moment(600), "emergency": False}
                return row | {"hold": hold if row["held"] else None, "pinned_to": "1.0.0" if row["pinned"] else None}
        raise NotFound(Code.invalid_pid, f"there is no PID {pid}")

    def _audit(self, asked: ReadAudit) -> AuditPage:
        rows: Any = [
            record(2 * act - (outcome == "started"), "switch", f"pid/A{act % 50:02}", outcome,
                   "token:ann" if act % 3 else "pvctl run", time=moment(900 - act))
            for act in range(120, 0, -1) for outcome in ("succeeded", "started")
        ]  # fmt: skip
        found = [
            row for row in [*self.records, *rows]
            if (not asked.before or row["seq"] < asked.before) and asked.actor in {"", row["actor"]}
            and asked.action in {"", row["action"]} and asked.object in {"", row["object"], row["object"][4:]}
        ]  # fmt: skip
        page = tuple(found[: asked.limit])
        return AuditPage(page, page[-1]["seq"] if len(found) > asked.limit else None)

    def _status(self) -> object:
        row = next(each for each in self.document["deployments"] if each["current_step_index"] is not None)
        row["evidence"] = [
            evidence("errorRate", 0.062, 0.05, 161, round(self.progress, 3)),
            evidence("timeoutRate", 0.0, 0.01, 161, 0.0),
            evidence("latencyP95", 0.0665, 0.8, 161, 0.02),
            {**evidence("samples", 31, 50, 31, 0.0), "message": "31 calls in this step, 50 are needed"},
        ]
        if self.differing:
            row["evidence"][0]["pictures"] = self.differing
        return self.document

    def go_on(self) -> None:
        """Let a few parts come, and the canary get worse."""
        for pid in self._random.sample(list(self.parts), k=max(1, len(self.parts) // 20)):
            verdict = self._random.choices(["OK", "NG"], [9, 1])[0]
            version = self.parts[pid]["version"]
            self.parts[pid] = part(pid, verdict, version, 0.0, request_id=f"r{time.time():.0f}")
        self.progress = min(0.97, self.progress + 0.008)


def picture(pid: str) -> bytes:
    made = Image.new("RGB", (640, 480), (96, 104, 110))
    pen = ImageDraw.Draw(made)
    pen.ellipse((140, 60, 500, 420), fill=(150, 156, 160), outline=(60, 64, 70), width=6)
    pen.text((20, 20), pid, fill=(240, 240, 240))
    pen.line((320, 160, 420, 210), fill=(40, 40, 40), width=5)
    sent = io.BytesIO()
    made.save(sent, "JPEG", quality=70)
    return sent.getvalue()


def series(name: str) -> DeploymentSeries:
    end = int(time.time()) // 10 * 10
    chance = Random(3)  # noqa: S311

    def points(count: int, calls: int, base: float) -> Any:
        rows = ((end - 10 * ago, int(chance.random() < calls / 200), chance.random()) for ago in range(count, 0, -1))
        return [(at, calls, errors, 0, base * 0.7, base + 9 * noise) for at, errors, noise in rows]

    return DeploymentSeries(name, 10, (
        {"version": "1.0.0", "role": "stable", "package": name, "points": points(180, 40, 60)},
        {"version": "1.1.0", "role": "canary", "package": name, "points": points(60, 12, 70)},
    ))  # fmt: skip


class WithSession:
    """The page as the gateway calls it: with a session in the request's state."""

    def __init__(self, page: Page, access: Access = Access.operator) -> None:
        self._page = page
        self.session: Session | None = Session(Caller("token:ann", access), "c" * 32)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["session"] = self.session
            await self._page.application(scope, receive, send)


async def serve(port: int, seconds: float, pids: int, access: Access, troubled: bool) -> None:
    import uvicorn

    station = MadeUpStation(pids, troubled=troubled)
    page = Page(station)
    server = uvicorn.Server(
        uvicorn.Config(WithSession(page, access), "127.0.0.1", port, lifespan="off", log_level="warning")
    )
    served = asyncio.create_task(server.serve())
    for _ in range(int(seconds)):
        await asyncio.sleep(1)
        station.go_on()
    server.should_exit = True
    await page.close()
    await served


if __name__ == "__main__":
    import sys

    port, seconds, pids, role, troubled = [
        *sys.argv[1:],
        *["8765", "60", "200", "operator", "yes"][len(sys.argv) - 1 :],
    ]
    asyncio.run(serve(int(port), float(seconds), int(pids), Access[role], troubled == "yes"))
