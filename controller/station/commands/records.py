"""Queries of what stands in the store's files: history, audit, logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from controller.station.port import Access, Command, Operation

if TYPE_CHECKING:  # named in quotes where a query says its result
    from controller.model.observed import HistoryEntry
    from controller.model.status_document import AuditRow  # noqa: F401
    from controller.store.audit import Verification  # noqa: F401


class PidEntry(NamedTuple):
    """An entry of one PID's history."""

    pid: str
    entry: HistoryEntry


@dataclass(frozen=True, slots=True)
class GetHistory(Command[tuple[PidEntry, ...]]):
    """Which versions answered a PID, or each PID of a deployment, oldest first."""

    subject: str
    operation: ClassVar = Operation(Access.viewer, "Say which versions answered a PID, or a deployment's PIDs.")


@dataclass(frozen=True, slots=True)
class ReadAudit(Command["tuple[AuditRow, ...]"]):
    """The last records of the audit log, oldest first."""

    lines: int = 50
    operation: ClassVar = Operation(Access.viewer, "Return the last records of the audit log.")


@dataclass(frozen=True, slots=True)
class VerifyAudit(Command["Verification"]):
    """Check the audit's chain; `head` (SEQ:HASH) must still be in it, else the one in the last status."""

    head: str | None = None
    operation: ClassVar = Operation(Access.viewer, "Check the chain of the audit log.")


@dataclass(frozen=True, slots=True)
class FindLogs(Command[tuple[Path, ...]]):
    """The log files of a deployment's processes, of all versions or of one; of a PID, those of what answers it."""

    subject: str
    version: str | None = None
    operation: ClassVar = Operation(Access.viewer, "Return the log files of a deployment's or a PID's processes.")
