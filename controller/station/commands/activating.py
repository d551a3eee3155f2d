"""Giving PIDs a version by hand, and asking which version each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import MinLen

from controller.errors import CallError, Code
from controller.station.commands.packages import ErrorRow, require_package
from controller.station.port import Access, Command, Operation, Route, TreeUse

_ERRORS = (400, 409, 413, 500, 503)
_ANSWER = "What became of each PID. Where all were refused, the first one's error instead, with all in its details."


@dataclass(frozen=True, slots=True)
class PidOutcome:
    """What became of one PID.

    `before`: the version that answered it, as NAME@VERSION. `held`: until `resume`. `error`: why it was refused, and
    then nothing about it was changed.
    """

    pid: str
    outcome: Literal["switched", "unchanged", "refused"]
    message: str
    before: str | None = None
    held: bool = False
    error: ErrorRow | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """What became of each PID that was to have a version."""

    name: str
    version: str
    pids: tuple[PidOutcome, ...]


def _operation(word: str, summary: str) -> Operation:
    route = Route("POST", f"/algorithms/{word}", _ANSWER, _ERRORS)
    return Operation(Access.operator, summary, (route,), Activation, TreeUse.acts, long=True)


@dataclass(frozen=True, slots=True)
class GiveVersion(Command[Activation]):
    """What `Activate` and `Switch` have in common."""

    name: str
    version: str
    pid: Annotated[tuple[str, ...], MinLen(1)]
    reason: str = ""
    hold: bool = False

    def __post_init__(self) -> None:
        """Raise CallError 1003 where no PID is named, one twice, a hold has no reason, no package can be called so."""
        require_package(self.name, self.version)
        wrong = ""
        if not self.pid:
            wrong = "no PID is named"
        elif len(set(self.pid)) < len(self.pid):
            wrong = "a PID is named twice"
        elif self.hold and not self.reason.strip():
            wrong = "a hold needs a reason"
        if wrong:
            raise CallError(Code.invalid_params, wrong, next_step="give each PID once in pid, and a reason with hold")

    @property
    def about(self) -> str:
        """The version."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Activate(GiveVersion):
    """Have an installed version answer PIDs, whether or not a version answers them now.

    Its process is ready before a PID moves. A PID that a deployment has is refused (2006), unless with `hold` and a
    `reason`: then it is held there until `resume`.
    """

    operation: ClassVar = _operation("activate", "Have an installed version answer PIDs.")


@dataclass(frozen=True, slots=True)
class Switch(GiveVersion):
    """Have an installed version answer PIDs that another one answers now; that goes on until the new one is ready.

    Like `Activate`, but a PID that no version answers is refused (2006): there is nothing to switch from.
    """

    operation: ClassVar = _operation("switch", "Switch PIDs from one installed version to another.")


@dataclass(frozen=True, slots=True)
class ActivePid:
    """The version that answers a PID. `deployment` null: no deployment has it, somebody activated it by hand."""

    pid: str
    name: str
    version: str
    activated_at: str
    deployment: str | None
    held: bool
    installed: bool


@dataclass(frozen=True, slots=True)
class ActivePids:
    """The PIDs that a version answers."""

    active: tuple[ActivePid, ...]


@dataclass(frozen=True, slots=True)
class ListActive(Command[ActivePids]):
    """Which version answers each PID, of all PIDs or of `pids`."""

    pids: tuple[str, ...] = ()
    operation: ClassVar = Operation(
        Access.viewer,
        "Say which version answers each PID.",
        (
            Route(
                "GET", "/algorithms/active", "The PIDs that have a version, sorted.", (400, 500), {"pid": "pids"}, {},
                {"pid": "Only this PID; may be repeated."},
            ),
        ),
        ActivePids,
    )  # fmt: skip
