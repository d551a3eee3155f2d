"""How a station stands, part by part: revisions, deployments, PIDs; and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NotRequired

from typing_extensions import TypedDict

from controller.model.status_document import DeploymentRow, PidRow
from controller.station.port import Access, Command, Operation, Route


class ProblemRow(TypedDict):
    """One thing that is wrong with a tree. Without `file`, it is the tree as a whole; `line` counts from 1."""

    file: NotRequired[str]
    line: NotRequired[int]
    column: NotRequired[int]
    path: NotRequired[str]
    message: str


class RefusedRevision(TypedDict):
    """A tree that was refused as a whole, at that time, with everything that was wrong with it."""

    at: str
    source: str
    errors: list[ProblemRow]


class RevisionInForce(TypedDict):
    """What the station is kept to."""

    id: str
    source: str
    loaded_at: str
    deployments: list[str]
    pids: int


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision in force, where there is one, and the trees that were refused lately: the newest first."""

    in_force: RevisionInForce | None
    refused: tuple[RefusedRevision, ...]


@dataclass(frozen=True, slots=True)
class GetRevisions(Command[Revisions]):
    """Which revision is in force, and which trees were refused lately, with file and line of each error."""

    operation: ClassVar = Operation(
        Access.viewer,
        "Return the revision in force, and the trees that were refused lately.",
        (Route("GET", "/v1/revisions", "The revisions.", (500,)),),
        Revisions,
        from_files=True,
    )


class PictureTermsRow(TypedDict):
    """Which pictures a step shows to the target, and the largest shares (0–1) that may be newly OK and newly NG.

    `iou`: defects are compared too, by that intersection over union (null: verdicts alone). `last` is a replay's; the
    others are a shadow's: percent of the PIDs, seconds, compared pictures at least, share of the calls.
    """

    max_newly_ok: float
    max_newly_ng: float
    iou: float | None
    last: NotRequired[int]
    weight: NotRequired[int]
    duration_s: NotRequired[float]
    min_samples: NotRequired[int]
    sample: NotRequired[float]


class StepRow(TypedDict):
    """One step of a rollout.

    `set_weight` (percent) is a weight's, `pause_s` a pause's (null: until promoted), `pictures` a replay's or shadow's.
    `weight` is what is reached with the step, `pids` those that then have the target, or whose pictures it gets.
    `state`: where a rollout that is under way, or failed, stands.
    """

    index: int
    kind: Literal["setWeight", "pause", "replay", "shadow"]
    set_weight: int | None
    pause_s: float | None
    weight: int
    pids: list[str]
    state: Literal["done", "current", "ahead"]
    pictures: NotRequired[PictureTermsRow]


class RolloutRow(TypedDict):
    """The latest rollout of a deployment.

    `bake_until` and `remaining_s` are those of the present bake or pause; null: it has no end of its own. `stable` is
    the version of each PID at the start, `back` where it goes, or went, when the rollout is rolled back.
    """

    target: str
    state: str
    step: int
    started_at: str
    bake_until: str | None
    remaining_s: float | None
    progress_deadline_s: float
    paused_by: str
    suspended_because: str
    aborted: str
    reason: str
    stable: dict[str, str]
    back: dict[str, str]


class QuarantineRow(TypedDict):
    """An artefact (by its digest) that failed in a deployment, since when and why; it is not tried again."""

    package: str
    version: str
    digest: str
    at: str
    reason: str


class DeploymentDocument(DeploymentRow):
    """A deployment: its row of the status document, the steps of its rollout (or of the next one), and its PIDs.

    `quarantine`: what `quarantined` names, with reasons; oldest first.
    """

    pids: list[str]
    steps: list[StepRow]
    rollout: RolloutRow | None
    quarantine: NotRequired[list[QuarantineRow]]


@dataclass(frozen=True, slots=True)
class ListDeployments(Command[list[DeploymentDocument]]):
    """Every deployment of the revision in force."""

    operation: ClassVar = Operation(
        Access.viewer,
        "Return the deployments: how each stands, and its steps with their PIDs.",
        (Route("GET", "/v1/deployments", "The deployments, by name.", (500, 503)),),
        list[DeploymentDocument],
        from_files=True,
    )


@dataclass(frozen=True, slots=True)
class GetDeployment(Command[DeploymentDocument]):
    """One deployment. Raises NotFound."""

    name: str
    operation: ClassVar = Operation(
        Access.viewer,
        "Return a deployment: how it stands, and its steps with their PIDs.",
        (Route("GET", "/v1/deployments/{name}", "The deployment.", (404, 500, 503), {"name": "name"}),),
        DeploymentDocument,
        from_files=True,
    )


class HoldRow(TypedDict):
    """What holds a PID on a version until it is resumed: why, by whom, since when."""

    version: str
    reason: str
    by: str
    at: str
    emergency: bool


class PidDocument(PidRow):
    """A PID: its row of the status document, with the hold on it and the version that it is pinned to."""

    hold: HoldRow | None
    pinned_to: str | None


@dataclass(frozen=True, slots=True)
class ListPids(Command[list[PidDocument]]):
    """Every PID of the revision in force."""

    operation: ClassVar = Operation(
        Access.viewer,
        "Return the PIDs: what answers each, how its calls went, and what holds it.",
        (Route("GET", "/v1/pids", "The PIDs, by name.", (500, 503)),),
        list[PidDocument],
        from_files=True,
    )


@dataclass(frozen=True, slots=True)
class GetPid(Command[PidDocument]):
    """One PID. Raises NotFound."""

    pid: str
    operation: ClassVar = Operation(
        Access.viewer,
        "Return a PID: what answers it, how its calls went, and what holds it.",
        (Route("GET", "/v1/pids/{pid}", "The PID.", (404, 500, 503), {"pid": "pid"}),),
        PidDocument,
        from_files=True,
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and what they may do. `recordings`: recorded calls are shown to them."""

    name: str
    access: str
    recordings: bool = False


@dataclass(frozen=True, slots=True)
class GetIdentity(Command[Identity]):
    """Who asks, as the station sees it."""

    operation: ClassVar = Operation(
        Access.viewer,
        "Say who asks, and what they may do.",
        (Route("GET", "/v1/whoami", "Whoever asks."),),
        Identity,
    )
