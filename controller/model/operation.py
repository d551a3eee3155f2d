"""A long act that somebody asked for, as the document that the API answers and that is kept on the disk.

Types, and the one rule about a document whose act nobody carries out any more.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic makes schemas of these

OperationState = Literal["running", "succeeded", "failed"]
INTERRUPTED = "interrupted by a restart; outcome unknown"


class OperationError(TypedDict):
    """What is wrong, where, and what to do next."""

    code: int
    name: str
    message: str
    details: dict[str, Any]


class ProgressRow(TypedDict):
    """One line of progress, and when it was told."""

    at: str
    text: str


class OperationRow(TypedDict):
    """An operation in a list: `subject` is what it is about, `actor` who asked; `ended_at` is null while it runs."""

    id: str
    kind: str
    subject: str
    state: OperationState
    actor: str
    started_at: str
    ended_at: str | None
    error: OperationError | None


class OperationDocument(OperationRow):
    """An operation as a whole: also its progress, oldest first, and the result where it succeeded."""

    progress: list[ProgressRow]
    result: dict[str, Any] | None


def row_of(document: OperationDocument) -> OperationRow:
    """Return the operation without what may be large."""
    return {
        "id": document["id"], "kind": document["kind"], "subject": document["subject"], "state": document["state"],
        "actor": document["actor"], "started_at": document["started_at"], "ended_at": document["ended_at"],
        "error": document["error"],
    }  # fmt: skip


def interrupted(document: OperationDocument) -> OperationDocument:
    """Return a document that says `running`, of a controller that is gone: nobody saw the end of it."""
    error: OperationError = {
        "code": 1000,
        "name": "unknown",
        "message": f"{INTERRUPTED}; see what is there, and ask for it again where it is missing",
        "details": {"outcome": "unknown"},
    }
    return {**document, "state": "failed", "error": error}
