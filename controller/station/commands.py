"""Every command and query of a station, and their results: frozen values, from the words of a command line or the body
of a request to the one place that carries them out. No rules, and nothing heavy is imported: `pvctl status` loads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from controller.station.port import Command

if TYPE_CHECKING:  # named in quotes where a command says its result
    from controller.calls.request import Detection, DetectionRequest  # noqa: F401
    from controller.model.observed import HistoryEntry  # noqa: F401
    from controller.model.status_document import AuditRow, StatusDocument  # noqa: F401
    from controller.reconciler.preview import Preview  # noqa: F401
    from controller.store.audit import Verification  # noqa: F401

SubjectKind = Literal["deployment", "pid", "any"]
"""What an operator's subject is; `any`: a deployment of that name, else a PID."""


# Results.


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence about what will happen."""

    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The processes that were ended, by name."""

    ended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether every active version can answer; `reason` says why not."""

    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """How a reconcile ended: the exit code of the command line contract, and the status document."""

    exit: int
    status: StatusDocument


@dataclass(frozen=True, slots=True)
class PackageState:
    """A package that was installed or uninstalled."""

    name: str
    version: str
    digest: str = ""


# Queries.


@dataclass(frozen=True, slots=True)
class GetStatus(Command["StatusDocument"]):
    """The status document (design 3.3)."""


@dataclass(frozen=True, slots=True)
class GetReadiness(Command[Readiness]):
    """Whether every PID with an active version can be answered."""


@dataclass(frozen=True, slots=True)
class PreviewPlan(Command["Preview"]):
    """What a reconcile would do now, and why."""

    allow_empty: bool = False
    serve: bool = True


@dataclass(frozen=True, slots=True)
class GetHistory(Command["tuple[HistoryEntry, ...]"]):
    """Which versions answered a PID, oldest first."""

    pid: str


@dataclass(frozen=True, slots=True)
class ReadAudit(Command["tuple[AuditRow, ...]"]):
    """The last records of the audit log, oldest first."""

    lines: int = 50


@dataclass(frozen=True, slots=True)
class VerifyAudit(Command["Verification"]):
    """Check the audit's chain; `head` (SEQ:HASH) must still be in it, else the one in the last status."""

    head: str | None = None


@dataclass(frozen=True, slots=True)
class FindLogs(Command[tuple[Path, ...]]):
    """The log files of a deployment's processes, of all versions or of one."""

    deployment: str
    version: str | None = None


# Commands.


@dataclass(frozen=True, slots=True)
class Detect(Command["Detection"]):
    """One detection through the version that is active for the PID."""

    request: DetectionRequest


@dataclass(frozen=True, slots=True)
class Reconcile(Command[ReconcileReport]):
    """Make the station match the desired state. `timeout` in seconds; `serve` False: prove, switch, stop again."""

    allow_empty: bool = False
    wait: bool = False
    timeout: float = 300.0
    serve: bool = True


@dataclass(frozen=True, slots=True)
class Promote(Command[Message]):
    """End a rollout's present pause; with `full` all pauses to come as well."""

    deployment: str
    full: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pause(Command[Message]):
    """Stop a rollout where it is, until it is resumed."""

    deployment: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort(Command[Message]):
    """Roll a rollout back and put its version into quarantine."""

    deployment: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retry(Command[Message]):
    """Lift the quarantine of a deployment's version."""

    deployment: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resume(Command[Message]):
    """End a pause of a deployment's rollout, or the holds on its PIDs or on one PID."""

    subject: str
    kind: SubjectKind = "any"
    reason: str = ""


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


OperatorCommand = Promote | Pause | Abort | Retry | Resume | Rollback
"""What an operator decides about rollouts and PIDs: written down first, acted on by the next pass."""


@dataclass(frozen=True, slots=True)
class Install(Command[PackageState]):
    """Install a zip and keep it in the store."""

    zip_path: Path


@dataclass(frozen=True, slots=True)
class Uninstall(Command[PackageState]):
    """Remove an installed version that nothing needs. Refused with 2007 otherwise."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Down(Command[Ended]):
    """End the daemon, if one runs, and every algorithm process of the store; mappings stay."""
