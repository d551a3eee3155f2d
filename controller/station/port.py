"""The port of a station: one typed operation, `execute`, for every command and query.

Whoever asks (the command line, the HTTP surface, later the fleet) builds a frozen command of `commands/` and gets
the result that the command's type names. Implementations: `local` (inside the daemon), `offline` (no daemon runs),
`remote` (a daemon, over its socket) and `nearest`, which chooses between the last two.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from enum import IntEnum
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

from controller.errors import Code, CodedError, ControllerError

Result_co = TypeVar("Result_co", covariant=True)
Result = TypeVar("Result")
Report = Callable[[str], None]
"""Is told, line by line, how a command goes on; from any thread."""


CALLER, ACCESS = "X-Procvision-Caller", "X-Procvision-Access"
"""The HTTP headers in which the gateway says who asks, percent-encoded as UTF-8, and what they may do."""
GRANTS = "X-Procvision-Grants"
"""The HTTP header in which the gateway says what they may do beside that access."""
RECORDINGS = "recordings"
"""The grant to see recorded calls: their pictures may be of customers' products."""
WORKER = "X-Procvision-Actor"
"""The HTTP header with the name of the worker for whom somebody acts, percent-encoded as UTF-8."""


class Access(IntEnum):
    """What somebody may do, each with all before it: look; move rollouts and PIDs; change what the station holds."""

    viewer = 1
    operator = 2
    admin = 3


class TreeUse(IntEnum):
    """What a command has to do with the desired tree: nothing; it acts on what the tree says; it has the tree read."""

    nothing = 0
    acts = 1
    read = 2


class Caller(NamedTuple):
    """Who asks: the name that the audit has, what they may do, and the worker for whom they say they do it.

    `granted`: they may see recorded calls, whatever their access is.
    """

    name: str
    access: Access = Access.admin
    worker: str = ""
    granted: bool = False

    @property
    def sees_recordings(self) -> bool:
        """Whether recorded calls may be shown to them: an admin could make a token that may."""
        return self.granted or self.access is Access.admin

    @property
    def shown(self) -> str:
        """The name for sentences, such as `kiosk (for ann)`."""
        return f"{self.name} (for {self.worker})" if self.worker else self.name


class Route(NamedTuple):
    """Where an operation is over HTTP.

    `fields` names the command's field for each parameter of `path`, `fixed` has the fields that the path itself says.
    `query` says what each query parameter means: it is the field of its name, or the one that `fields` names; a field
    that is a tuple is a parameter that may be repeated. What neither says is in the body of a POST.
    `errors` are the statuses of refusals, `answer` says what the result means.
    """

    method: str
    path: str
    answer: str
    errors: tuple[int, ...] = ()
    fields: Mapping[str, str] = {}
    fixed: Mapping[str, str] = {}
    query: Mapping[str, str] = {}

    @property
    def in_query(self) -> dict[str, str]:
        """The command's field for each query parameter."""
        return {name: self.fields.get(name, name) for name in self.query}

    @property
    def in_path(self) -> dict[str, str]:
        """The command's field for each parameter of the path."""
        return {name: field for name, field in self.fields.items() if name not in self.query}

    @property
    def outside(self) -> frozenset[str]:
        """The command's fields that are not in the body."""
        return frozenset((*self.fields.values(), *self.in_query.values(), *self.fixed))


class Operation(NamedTuple):
    """The row of a command: the access that it needs, where it is over HTTP, and its entry in the OpenAPI document.

    `result` is the type of the answer as JSON; None where the resource has its own form of it. `tree`: a caller who
    names a desired tree must mean the daemon's. `long`: a daemon carries it out as an operation, which goes on when
    whoever asked leaves. `secret`: the answer holds what is told once and kept nowhere. `from_files`: the store's files
    say it as well, whether a daemon answers or not. `recordings`: it shows recorded calls, for which the access alone
    is not enough.
    """

    access: Access
    summary: str
    routes: tuple[Route, ...] = ()
    result: type[object] | None = None
    tree: TreeUse = TreeUse.nothing
    long: bool = False
    secret: bool = False
    from_files: bool = False
    recordings: bool = False


class Command(Generic[Result_co]):
    """Base of every command and query, each a frozen value. `Command[X]` is answered with an X."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}
    operation: ClassVar[Operation]
    act: ClassVar[str] = ""
    """The word for it in operations, where that is not the class's own."""

    @property
    def for_daemon(self) -> bool:
        """Whether a running daemon is the one to ask. What has no route only reads the store's files."""
        return bool(self.operation.routes)

    @property
    def tree(self) -> TreeUse:
        """What the command has to do with the desired tree."""
        return self.operation.tree

    @property
    def about(self) -> str:
        """What a long command is about, for its operation: `screw-check@1.1.0`. Nothing: the whole station."""
        return ""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


def require_access(command: Command[object], caller: Caller) -> None:
    """Raise AccessDenied where the caller may not do that."""
    require(command.operation.access, caller)
    if command.operation.recordings and not caller.sees_recordings:
        raise AccessDenied(
            f"{caller.name} may not see recorded calls: that needs the grant {RECORDINGS!r}, which the access "
            f"{caller.access.name!r} does not include",
            next_step="ask who runs the station for a token made with `pvctl token create … --recordings`",
        )


def require(needed: Access, caller: Caller) -> None:
    """Raise AccessDenied where a caller has less access."""
    if caller.access < needed:
        raise AccessDenied(
            f"{caller.name} may not do that: it needs the access {needed.name!r}, {caller.name} has "
            f"{caller.access.name!r}",
            next_step="ask who runs the station for it",
        )


class Station(Protocol):
    """One station, wherever it is."""

    async def execute(self, command: Command[Result], caller: Caller, report: Report = ...) -> Result:
        """Carry out a command for a caller and return its result; `report` is told the progress.

        Raises:
            AccessDenied: the caller may not do that.
            ControllerError: what the command's own documentation says; NotReached where nobody is there.
        """


class AccessDenied(CodedError):
    """The caller's access is not enough for an operation (3002)."""

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(Code.forbidden, message, next_step=next_step)


class DaemonSilent(ControllerError):
    """A daemon holds the store and does not answer: it is stopped, hangs, or has lost its socket."""

    def __init__(self, who: str, why: str) -> None:
        super().__init__(
            f"{who} does not answer: {why}",
            next_step="see whether it is stopped (`kill -CONT` wakes it) and what its log says; if it stays silent, "
            "restart its service: the algorithm processes go on",
        )
        self.why = why


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
