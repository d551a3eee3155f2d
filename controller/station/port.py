"""The port of a station: one typed operation, `execute`, for every command and query.

Whoever asks (the command line, the HTTP surface, later the fleet) builds a frozen command of `commands.py` and gets
the result that the command's type names. Implementations: `local` (inside the daemon), `offline` (no daemon runs),
`remote` (a daemon, over its socket) and `nearest`, which chooses between the last two.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Generic, Protocol, TypeVar

from controller.errors import ControllerError

Result_co = TypeVar("Result_co", covariant=True)
Result = TypeVar("Result")
Report = Callable[[str], None]
"""Is told, line by line, how a command goes on; from any thread."""


class Access(IntEnum):
    """What somebody may do, each with all before it: look; move rollouts and PIDs; change what the station holds."""

    viewer = 1
    operator = 2
    admin = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name that the audit has, and what they may do."""

    name: str
    access: Access = Access.admin


class Command(Generic[Result_co]):
    """Base of every command and query. `Command[X]` is answered with an X."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}


class Station(Protocol):
    """One station, wherever it is."""

    async def execute(self, command: Command[Result], caller: Caller, report: Report = ...) -> Result:
        """Carry out a command for a caller and return its result; `report` is told the progress.

        Raises:
            AccessDenied: the caller may not do that.
            ControllerError: what the command's own documentation says; NotReached where nobody is there.
        """


class AccessDenied(ControllerError):
    """The caller has not the access that an operation needs."""


def silent(_: str) -> None:
    """Report nothing."""


def finish(work: Coroutine[object, object, Result]) -> Result:
    """Return what a coroutine returns that never waits for an event loop.

    The stations of the command line block instead, so that `pvctl status` need not load asyncio, which would double
    what it costs. Raises RuntimeError where the coroutine does wait.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    work.close()
    raise RuntimeError("this station needs an event loop")
