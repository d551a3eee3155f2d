"""Queries of what stands in the store's files: history, audit, logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_types import Ge, Interval

from controller.errors import Code, CodedError
from controller.model.status_document import AuditRow
from controller.station.commands.events import Feed
from controller.station.port import Access, Command, Operation, Route

MOST_ROWS = 1000
"""Records on a page of the audit, at most."""
MOST_LINES = 10_000
"""Lines of each log, at most."""
_LOGS_OF = {
    "version": "Only this version; of a PID, left out: the one that answers it.",
    "lines": f"How many of the last lines of each log, up to {MOST_LINES}.",
    "follow": "Whether to go on with what is added.",
}


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """Since when a version answered a PID, why, and by whose act. `name` null: the PID was deactivated."""

    pid: str
    at: str
    name: str | None
    version: str | None
    deployment: str | None
    revision: str
    actor: str
    reason: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class GetHistory(Command[tuple[HistoryRow, ...]]):
    """Which versions answered a PID, or each PID of a deployment, oldest first. Raises NotFound: there is none.

    `kind` says what is meant; `any`: a PID, else a deployment.
    """

    subject: str
    kind: Literal["pid", "deployment", "any"] = "any"
    operation: ClassVar = Operation(
        Access.viewer,
        "Return which versions answered a PID, or a deployment's PIDs, oldest first.",
        (
            Route("GET", "/v1/deployments/{name}/history", "The history of its PIDs.", (404, 500),
                  {"name": "subject"}, {"kind": "deployment"}),
            Route("GET", "/v1/pids/{pid}/history", "The history.", (404, 500), {"pid": "subject"}, {"kind": "pid"}),
            Route("GET", "/v1/history/{subject}", "The history of the PID, or of the PIDs of the deployment.",
                  (404, 500), {"subject": "subject"}, {"kind": "any"}),
        ),
        tuple[HistoryRow, ...],
        from_files=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records of the audit log, newest first. `next_before`: where the next page begins; null where there is none.

    A page that filters may hold fewer than were asked for, even none, and have a next one: each looks at a bounded
    part of the log.
    """

    rows: tuple[AuditRow, ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class ReadAudit(Command[AuditPage]):
    """A page of the audit log: the last records, or those with a number below `before`.

    `actor` also finds for whom it was done, `object` is `pid/A01` or `A01`; `action` is the whole word.
    Raises CodedError 1003: `limit` or `before` is out of bounds.
    """

    limit: Annotated[int, Interval(ge=1, le=MOST_ROWS)] = 50
    before: Annotated[int, Ge(1)] | None = None
    actor: str = ""
    action: str = ""
    object: str = ""

    def __post_init__(self) -> None:
        require_count("limit", self.limit, MOST_ROWS)
        if self.before is not None and self.before < 1:
            raise CodedError(Code.invalid_params, "before is below 1", next_step="pass the number of a record")

    operation: ClassVar = Operation(
        Access.viewer,
        "Return a page of the audit log, newest first.",
        (
            Route(
                "GET", "/v1/audit", "The page.", (400, 500),
                query={
                    "limit": f"Records at most, up to {MOST_ROWS}.",
                    "before": "Only records with a smaller number: the next_before of the page before.",
                    "actor": "Only what this user did, or what was done for this worker.",
                    "action": "Only acts of this name, such as switch.",
                    "object": "Only acts on this, such as pid/A01 or A01.",
                },
            ),
        ),
        AuditPage,
        from_files=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """Whether the audit's chain holds; else `broken_at` is the first bad record and `reason` what is wrong with it.

    `records` is the number of the last one that holds, `head` that with its hash as SEQ:HASH, `first` the number of the
    oldest that is still kept.
    """

    valid: bool
    records: int
    broken_at: int | None
    reason: str
    head: str
    first: int


@dataclass(frozen=True, slots=True)
class VerifyAudit(Command[AuditVerification]):
    """Check the audit's chain; `head` (SEQ:HASH) must still be in it, else the one in the last status.

    Raises CodedError 1003: the head is none. Whoever has the files at hand reads these, and need not trust a daemon.
    """

    head: str | None = None
    operation: ClassVar = Operation(
        Access.viewer,
        "Check the chain of the audit log.",
        (
            Route(
                "GET", "/v1/audit/verification", "What came of it.", (400, 429, 500),
                query={"head": "A head that was noted earlier, SEQ:HASH; left out: the one of the last status."},
            ),
        ),
        AuditVerification,
    )  # fmt: skip

    @property
    def for_daemon(self) -> bool:
        """The files are the evidence: a daemon is asked only by who cannot read them."""
        return False


class LogPiece(NamedTuple):
    """Whole lines of one log; the logs of one answer are told apart by their names, such as `1.1.0-0`."""

    log: str
    text: str


@dataclass(frozen=True, slots=True)
class ReadLogs(Command[Feed[tuple[LogPiece, ...]]]):
    """The last lines of the logs of a deployment's processes, of all versions or of one; of a PID, of what answers it.

    No subject: the controller's own log. With `follow`, then what is added, for ever; an empty batch: nothing new.
    Raises NotFound: no process of it has written a log; CodedError 1003, 1011 (too many follow already).
    """

    subject: str = ""
    version: str | None = None
    lines: Annotated[int, Interval(ge=0, le=MOST_LINES)] = 100
    follow: bool = False

    def __post_init__(self) -> None:
        require_count("lines", self.lines, MOST_LINES, least=0)

    operation: ClassVar = Operation(
        Access.viewer,
        "Return the last lines of logs, and follow them.",
        (
            Route(
                "GET", "/v1/logs/controller", "Lines; with Accept: text/event-stream, events with log and lines.",
                (400, 404, 406, 429, 500), fixed={"subject": ""},
                query={
                    "lines": f"How many of the last lines, up to {MOST_LINES}.",
                    "follow": "Whether to go on with what is added.",
                },
            ),
            Route(
                "GET", "/v1/deployments/{name}/logs", "As of /v1/logs/{subject}, whatever the deployment is called.",
                (400, 404, 406, 429, 500), {"name": "subject"}, query=_LOGS_OF,
            ),
            Route(
                "GET", "/v1/logs/{subject}", "Lines; with Accept: text/event-stream, events with log and lines.",
                (400, 404, 406, 429, 500), {"subject": "subject"}, query=_LOGS_OF,
            ),
        ),
        from_files=True,
    )  # fmt: skip


def require_count(what: str, count: int, most: int, *, least: int = 1) -> None:
    """Raise CodedError 1003 where a number is not from `least` to `most`."""
    if not least <= count <= most:
        raise CodedError(Code.invalid_params, f"{what} is not from {least} to {most}", next_step=f"pass at most {most}")
