"""Long acts as operations: begin one and go away, find it again, hear how it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from controller.model.operation import OperationDocument, OperationRow
from controller.station.port import Access, Command, Operation, Route

_FIELDS = {"id": "id"}


@dataclass(frozen=True, slots=True)
class StartOperation(Command[OperationDocument]):
    """Begin a long command and return its operation at once. Needs the access of that command.

    It has no route: over HTTP it is the command's own route with `Prefer: respond-async`.
    """

    command: Command[object]
    operation: ClassVar = Operation(Access.viewer, "Begin a long act and return its operation.")


@dataclass(frozen=True, slots=True)
class ListOperations(Command[tuple[OperationRow, ...]]):
    """The operations that are kept, newest first: all, or those of a state or a kind."""

    state: Literal["running", "succeeded", "failed"] | None = None
    kind: str | None = None
    operation: ClassVar = Operation(
        Access.viewer,
        "List long acts, running and ended ones, newest first.",
        (
            Route(
                "GET",
                "/v1/operations",
                "Without their progress and results.",
                (400, 500),
                query={"state": "Only those that are so.", "kind": "Only those, such as `install`."},
            ),
        ),
        tuple[OperationRow, ...],
    )


@dataclass(frozen=True, slots=True)
class GetOperation(Command[OperationDocument]):
    """One operation with its progress and its result. Raises NotFound."""

    id: str
    operation: ClassVar = Operation(
        Access.viewer,
        "Return a long act with its progress and its result.",
        (Route("GET", "/v1/operations/{id}", "As it is now.", (404, 500), _FIELDS),),
        OperationDocument,
    )


@dataclass(frozen=True, slots=True)
class FollowOperation(Command[OperationDocument]):
    """Report an operation's progress from its start, and return it when it has ended. Raises NotFound."""

    id: str
    operation: ClassVar = Operation(
        Access.viewer,
        "Tell a long act's progress from its start, until it has ended.",
        (
            Route(
                "GET",
                "/v1/operations/{id}/events",
                "Its progress, then its outcome or error.",
                (404, 406, 500),
                _FIELDS,
            ),
        ),
        OperationDocument,
    )
