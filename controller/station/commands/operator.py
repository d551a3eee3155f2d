"""What an operator decides about rollouts and PIDs: written down first, acted on by the next pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from controller.station.port import Access, Command, Operation, Route, TreeUse

SubjectKind = Literal["pid", "any"]
"""What an operator's subject is; `any`: a deployment of that name, else a PID. The station decides which."""
_ERRORS = (400, 404, 409, 413, 422, 500, 503)
_ANSWER = "What will happen."


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence about what will happen."""

    message: str


def _on_deployment(word: str, summary: str) -> Operation:
    route = Route("POST", f"/v1/deployments/{{name}}/{word}", _ANSWER, _ERRORS, {"name": "deployment"})
    return Operation(Access.operator, summary, (route,), Message, TreeUse.acts)


def _on_either(word: str, summary: str) -> Operation:
    deployments = Route(
        "POST", f"/v1/deployments/{{name}}/{word}", _ANSWER, _ERRORS, {"name": "subject"}, {"kind": "any"}
    )
    pids = Route("POST", f"/v1/pids/{{pid}}/{word}", _ANSWER, _ERRORS, {"pid": "subject"}, {"kind": "pid"})
    return Operation(Access.operator, summary, (deployments, pids), Message, TreeUse.acts)


@dataclass(frozen=True, slots=True)
class Promote(Command[Message]):
    """End a rollout's present pause, or pass its replay or shadow; with `full` all of them to come as well."""

    deployment: str
    full: bool = False
    reason: str = ""
    operation: ClassVar = _on_deployment("promote", "End a rollout's present pause, or pass its replay or shadow.")


@dataclass(frozen=True, slots=True)
class Pause(Command[Message]):
    """Stop a rollout where it is, until it is resumed."""

    deployment: str
    reason: str = ""
    operation: ClassVar = _on_deployment("pause", "Stop a rollout where it is, until it is resumed.")


@dataclass(frozen=True, slots=True)
class Abort(Command[Message]):
    """Roll a rollout back and put its version into quarantine."""

    deployment: str
    reason: str = ""
    operation: ClassVar = _on_deployment("abort", "Roll a rollout back and put its version into quarantine.")


@dataclass(frozen=True, slots=True)
class Retry(Command[Message]):
    """Lift the quarantine of a deployment's version, or begin the replay that its rollout is in anew."""

    deployment: str
    reason: str = ""
    operation: ClassVar = _on_deployment(
        "retry", "Lift the quarantine of a deployment's version, or begin its rollout's replay anew."
    )


@dataclass(frozen=True, slots=True)
class Restart(Command[Message]):
    """Restart a deployment's processes one after the other; each answers until its successor is ready."""

    deployment: str
    reason: str = ""
    operation: ClassVar = _on_deployment("restart", "Restart a deployment's processes one after the other.")


@dataclass(frozen=True, slots=True)
class Resume(Command[Message]):
    """End a pause of a deployment's rollout, or the holds on its PIDs or on one PID."""

    subject: str
    kind: SubjectKind = "any"
    reason: str = ""
    operation: ClassVar = _on_either("resume", "End a pause or a hold.")


@dataclass(frozen=True, slots=True)
class Rollback(Command[Message]):
    """Hold a PID or a deployment on an older version: on `to`, else on the one before.

    `emergency`: what answers now is of no use, so checks that an installed version has passed are skipped.
    """

    subject: str
    kind: SubjectKind = "any"
    to: str | None = None
    emergency: bool = False
    reason: str = ""
    operation: ClassVar = _on_either("rollback", "Hold a PID or a deployment on an older version.")


OperatorCommand = Promote | Pause | Abort | Retry | Restart | Resume | Rollback
