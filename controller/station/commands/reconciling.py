"""Making the station match the desired state, whether it does, and ending it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import TypedDict

from controller.station.port import Access, Command, Operation, Route, TreeUse

if TYPE_CHECKING:
    from controller.model.status_document import StatusDocument


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """How a reconcile ended: the exit code of the command line contract, and the status document."""

    exit: int
    status: StatusDocument


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
class GetReadiness(Command[Readiness]):
    """Whether every PID with an active version can be answered."""

    operation: ClassVar = Operation(
        Access.viewer,
        "Say whether every active version can answer.",
        (Route("GET", "/readyz", "It can."),),
        Readiness,
    )


class PlanDocument(TypedDict):
    """What a reconcile would do now, for which revision (`errors`: a newer tree is refused), and how many of each kind.

    `steps` names the PIDs that have the new version once a step of a rollout is done. `promises` and `generations` are
    what `reconcile --plan` holds the plan to, `text` is the plan in a line, `exit` the exit code of `pvctl plan`.
    """

    revision: str
    summary: dict[str, int]
    errors: list[str]
    changes: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    blocked: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    generations: dict[str, str]
    promises: list[str]
    text: str
    exit: int


@dataclass(frozen=True, slots=True)
class PreviewPlan(Command[PlanDocument]):
    """What a reconcile would do now, and why. `proposal`: the tree is not the station's yet, whatever daemon runs.

    Raises DesiredStateError where no revision, new or old, is valid.
    """

    allow_empty: bool = False
    serve: bool = True
    proposal: bool = False

    @property
    def for_daemon(self) -> bool:
        """A plan names files as they are called where its reader is: whoever has the tree makes it there."""
        return False

    @property
    def tree(self) -> TreeUse:
        """A proposal is no tree that a daemon keeps."""
        return TreeUse.nothing if self.proposal else TreeUse.read

    operation: ClassVar = Operation(
        Access.viewer,
        "Say what a reconcile would do now, and why.",
        (
            Route(
                "GET", "/v1/plan", "The plan; nothing of it is done.", (400, 422, 500, 503),
                query={
                    "allow_empty": "Let a tree without deployments remove everything.",
                    "serve": "False: as for a reconcile that stops the processes again.",
                },
            ),
        ),
        PlanDocument,
        TreeUse.read,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DesiredTree:
    """The desired tree that a daemon keeps: its real path, and its device and inode, 0 while it is not there."""

    path: str
    device: int = 0
    inode: int = 0


@dataclass(frozen=True, slots=True)
class GetDesiredTree(Command[DesiredTree]):
    """Which desired tree the daemon keeps."""

    operation: ClassVar = Operation(
        Access.viewer,
        "Say which desired tree the station is kept to.",
        (Route("GET", "/v1/desired", "The tree; not what it says.", (500,)),),
        DesiredTree,
    )


@dataclass(frozen=True, slots=True)
class PlannedChanges:
    """What a plan promised: the revision, each deployment's generation, and a line for each change."""

    revision: str
    generations: dict[str, str]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reconcile(Command[ReconcileReport]):
    """Make the station match the desired state. `timeout` in seconds; `serve` False: prove, switch, stop again.

    With `plan`, nothing is done where something else would be done than was planned.
    """

    allow_empty: bool = False
    wait: bool = False
    timeout: float = 300.0
    serve: bool = True
    plan: PlannedChanges | None = None

    @property
    def for_daemon(self) -> bool:
        """A daemon serves always: it is not asked to stop the processes again."""
        return self.serve

    operation: ClassVar = Operation(
        Access.operator,
        "Make the station match the desired state.",
        (
            Route(
                "POST",
                "/v1/reconcile",
                "The progress, the last line being outcome or error; as JSON only how it ended.",
                (400, 413),
            ),
        ),
        ReconcileReport,
        TreeUse.read,
        long=True,
    )


@dataclass(frozen=True, slots=True)
class Down(Command[Ended]):
    """End the daemon, if one runs, and every algorithm process of the store; mappings stay."""

    operation: ClassVar = Operation(
        Access.admin,
        "End every algorithm process, then the daemon.",
        (Route("POST", "/v1/down", "All of them ended.", (500,)),),
        Ended,
    )
