"""Each operation in one row: what it needs, and where it is over HTTP. Routes, OpenAPI, the remote station and every
check of access are made of these rows, so that none of them can say what another does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.station.commands import (
    Abort,
    Detect,
    Down,
    Ended,
    FindLogs,
    GetHistory,
    GetReadiness,
    GetStatus,
    Install,
    Message,
    PackageState,
    Pause,
    PreviewPlan,
    Promote,
    ReadAudit,
    Readiness,
    Reconcile,
    ReconcileReport,
    Resume,
    Retry,
    Rollback,
    Uninstall,
    VerifyAudit,
)
from controller.station.port import Access, AccessDenied, Caller, Command


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation is over HTTP.

    `fields` names the command's field for each parameter of `path`, `fixed` has the fields that the path itself says.
    `errors` are the statuses of refusals, `answer` says what the result means.
    """

    method: str
    path: str
    answer: str
    errors: tuple[int, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. `result` is the type of the answer as JSON; None where the resource writes its own form of it."""

    command: type[Command[object]]
    access: Access
    summary: str
    result: type[object] | None = None
    routes: tuple[Route, ...] = ()


_VERB_ERRORS = (400, 404, 409, 413, 422, 500, 503)
_DONE = "What will happen."


def _verb(command: type[Command[object]], word: str, summary: str, *, also_pid: bool = False) -> Operation:
    """Return the row of an operator's command: on a deployment, and, where it takes one, on a PID."""
    deployments = f"/v1/deployments/{{name}}/{word}"
    routes: tuple[Route, ...] = (Route("POST", deployments, _DONE, _VERB_ERRORS, {"name": "deployment"}),)
    if also_pid:
        routes = (
            Route("POST", deployments, _DONE, _VERB_ERRORS, {"name": "subject"}, {"kind": "deployment"}),
            Route("POST", f"/v1/pids/{{pid}}/{word}", _DONE, _VERB_ERRORS, {"pid": "subject"}, {"kind": "pid"}),
        )
    return Operation(command, Access.operator, summary, Message, routes)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        Detect, Access.operator, "Run one detection through the PID's active version.", None,
        (Route("POST", "/v1/pids/{pid}/execute", "The algorithm's answer; data as it returned it.",
               (400, 404, 408, 413, 415, 429, 500, 502, 503, 504)),),
    ),
    Operation(
        GetStatus, Access.viewer, "Return the status document.", None,
        (Route("GET", "/v1/status", "The status; further keys may be added.", (500,)),),
    ),
    Operation(
        GetReadiness, Access.viewer, "Say whether every active version can answer.", Readiness,
        (Route("GET", "/readyz", "It can."),),
    ),
    Operation(
        Reconcile, Access.operator, "Reconcile, and report the progress as JSON lines.", ReconcileReport,
        (Route("POST", "/v1/reconcile", "Lines; each has one key, the last is outcome or error.", (400, 413)),),
    ),
    _verb(Promote, "promote", "End a rollout's present pause."),
    _verb(Pause, "pause", "Stop a rollout where it is, until it is resumed."),
    _verb(Abort, "abort", "Roll a rollout back and put its version into quarantine."),
    _verb(Retry, "retry", "Lift the quarantine of a deployment's version."),
    _verb(Resume, "resume", "End a pause or a hold.", also_pid=True),
    _verb(Rollback, "rollback", "Hold a PID or a deployment on an older version.", also_pid=True),
    Operation(
        Install, Access.admin, "Install a zip, and report the progress as JSON lines.", PackageState,
        (Route("POST", "/algorithms/install", "Lines; each has one key, the last is outcome or error.",
               (400, 408, 413, 415)),),
    ),
    Operation(
        Uninstall, Access.admin, "Remove an installed version that nothing needs.", PackageState,
        (Route("DELETE", "/algorithms/{name}/{version}", "It is removed; its zip stays.", (400, 409, 500),
               {"name": "name", "version": "version"}),),
    ),
    Operation(
        Down, Access.admin, "End every algorithm process, then the daemon.", Ended,
        (Route("POST", "/v1/down", "All of them ended.", (500,)),),
    ),
    Operation(PreviewPlan, Access.viewer, "Say what a reconcile would do now, and why."),
    Operation(GetHistory, Access.viewer, "Say which versions answered a PID."),
    Operation(ReadAudit, Access.viewer, "Return the last records of the audit log."),
    Operation(VerifyAudit, Access.viewer, "Check the chain of the audit log."),
    Operation(FindLogs, Access.viewer, "Return the log files of a deployment's processes."),
)  # fmt: skip

_BY_COMMAND = {operation.command: operation for operation in OPERATIONS}


def operation_of(command: type[Command[object]]) -> Operation:
    """Return a command's row. Raises KeyError: a command without one is a defect."""
    return _BY_COMMAND[command]


def require_access(command: Command[object], caller: Caller) -> None:
    """Raise AccessDenied where the caller may not do that."""
    needed = operation_of(type(command)).access
    if caller.access < needed:
        raise AccessDenied(
            f"{caller.name} may not do that: it needs the access {needed.name!r}, {caller.name} has "
            f"{caller.access.name!r}",
            next_step="ask who runs the station for it",
        )
