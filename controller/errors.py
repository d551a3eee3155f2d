"""The error tree and the numbered codes of the contract. No imports from the rest of the package.

An error that a user may see says what is wrong and where (`message`) and what to do next (`next_step`);
on every interface it is the same object: `{code, name, message, details}`.
"""

from __future__ import annotations

from enum import IntEnum

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any, TypedDict

    class ErrorDocument(TypedDict):
        """What is wrong, where, and what to do next: the same object in every interface."""

        code: int
        name: str
        message: str
        details: dict[str, Any]


class Code(IntEnum):
    """Error codes of calls (1xxx), packages (2xxx) and access (3xxx); the member's name is the wire name."""

    unknown = 1000
    invalid_pid = 1001
    image_load_failed = 1002
    invalid_params = 1003
    not_initialized = 1004
    timeout = 1005
    heartbeat_lost = 1006
    shared_memory_not_found = 1007
    execute_exception = 1009
    stdout_contaminated = 1010
    busy = 1011
    no_active_version = 1012
    invalid_zip = 2001
    manifest_missing = 2002
    incompatible_python = 2003
    wheels_missing = 2004
    install_failed = 2005
    activation_conflict = 2006
    unsafe_uninstall = 2007
    unauthorized = 3001
    forbidden = 3002


class ControllerError(Exception):
    """Root of everything this package raises on purpose.

    `message` says what is wrong and where; `next_step`, when not empty, says what the reader can do about it.
    """

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}; {self.next_step}" if self.next_step else self.message


class CodedError(ControllerError):
    """An error with a number from the contract."""

    def __init__(
        self, code: Code, message: str, *, next_step: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.code = code
        self.details = dict(details or {})

    def to_document(self) -> ErrorDocument:
        """Return the object that every interface shows."""
        return {
            "code": int(self.code),
            "name": self.code.name,
            "message": str(self),
            "details": self.details,
        }


class PackageError(CodedError):
    """A package was refused or an operation on it is not safe (2001–2007). Trying again changes nothing.

    `check` names the check of the zip's directory that found it; empty where it was another one.
    """

    check = ""


class CallError(CodedError):
    """A detection failed (1000–1012); or, over the network, whoever asked may not ask for it (3001, 3002)."""


class NotFound(CodedError):
    """What was named is not there, and never was or is no more."""


class NotApplicable(CodedError):
    """What was asked for is right in itself, and does not apply to the present state."""


class DesiredStateError(ControllerError):
    """The desired tree is not valid. `problems` holds one line for each error found, never only the first."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ProtocolViolation(ControllerError):
    """The algorithm process sent something that the protocol does not allow: the peer's fault."""


class StartFailed(ControllerError):
    """An algorithm process did not become ready. The message carries the algorithm's own words."""


class StoreError(ControllerError):
    """The runtime store could not be read or written. What was there before is still there."""


class NotSynced(StoreError):
    """A file is in place or gone as wanted, but the disk has not confirmed it: `folder` is still to be synced."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(f"cannot sync {folder}: {error.strerror or error}", next_step="check the disk")
        self.folder = folder


class HostError(StoreError):
    """The machine did not let us do it: no room for a process, a file, memory. No package and no version is blamed.

    `condition` names what is wrong in the status; it is tried again soon, since such things pass.
    """

    def __init__(self, condition: str, message: str, *, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.condition = condition


class StoreBusy(StoreError):
    """Another controller holds the store; the message names it."""


class OtherTree(ControllerError):
    """The command names another desired tree than the running daemon's: wrong usage, nothing was done."""


class RefusedToListen(ControllerError):
    """What was asked for would let the network in unprotected: wrong usage, nothing was begun."""


class RetryableError(ControllerError):
    """Worth trying again after `delay` seconds without anybody changing anything."""

    def __init__(self, message: str, *, delay: float, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.delay = delay


def as_coded(error: ControllerError) -> CodedError:
    """Return the error with its number: 1000 for what has none."""
    if isinstance(error, CodedError):
        return error
    return CodedError(Code.unknown, error.message, next_step=error.next_step)


def our_fault() -> ControllerError:
    """Return what a caller is told of an exception that nobody expected; the log has the rest."""
    return ControllerError("the controller failed at this request", next_step="see logs/controller.log in the store")
