"""What a plan is made of. Each action is one idempotent act on one object, with the reason for it.

`object` is what the action changes; `depends_on` are the objects whose actions in the same plan must have succeeded
before this one may run. `kind` is the word for it in plans and in the audit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from controller.model.analysis import Verdict
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import PackageRef
from controller.model.replay import ReplayKey
from controller.model.rollout import HOLDS, RolloutRecord


@dataclass(frozen=True, slots=True)
class Install:
    """Install a package from `algorithms/zips/<zip_name>`."""

    kind: ClassVar[str] = "install"
    package: PackageRef
    zip_name: str
    digest: str
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("package", self.package)


@dataclass(frozen=True, slots=True)
class Preheat:
    """Start a process and prove it ready, or replace one that is broken or outdated.

    `smoke`: its version has never answered a PID of the deployment, so it has to take a call first.
    """

    kind: ClassVar[str] = "preheat"
    process: ProcessKey
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()
    smoke: bool = False

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("process", self.process)


@dataclass(frozen=True, slots=True)
class Switch:
    """Make `target` the version that answers a PID. A rollback and a repair are switches with another reason.

    `deployment` None: no deployment has the PID, and somebody activated the version by hand.
    """

    kind: ClassVar[str] = "switch"
    pid: str
    deployment: str | None
    before: PackageRef | None
    target: PackageRef
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()
    digest: str = ""
    diverges: bool = False
    """Whether it goes another way than the desired state: back from a failed version, to a hold, or as a repair."""

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("pid", self.pid)


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Remove a PID's mapping: the desired tree no longer names it, or its package is uninstalled by force."""

    kind: ClassVar[str] = "deactivate"
    pid: str
    before: PackageRef | None
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("pid", self.pid)


@dataclass(frozen=True, slots=True)
class Retire:
    """Drain and end a process that nothing needs any more."""

    kind: ClassVar[str] = "retire"
    process: ProcessKey
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("process", self.process)


@dataclass(frozen=True, slots=True)
class Replay:
    """Show recorded pictures of `pids` to the version of a rollout, in processes of its own beside the line.

    Shown are the newest `last`, as of its beginning, that `answered_by` has answered, the version of each PID that the
    target is to replace; where that is empty, those of other versions of its package that are not `quarantined`. `iou`
    None: verdicts are compared, else the places of the defects too. It takes minutes, and what it comes to is observed.
    A plan has it for as long as it is wanted: what runs and stands in no plan any more is ended.
    """

    kind: ClassVar[str] = "replay"
    key: ReplayKey
    pids: tuple[str, ...]
    last: int
    iou: float | None
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()
    answered_by: tuple[tuple[str, PackageRef], ...] = ()
    quarantined: tuple[PackageRef, ...] = ()

    @property
    def deployment(self) -> str:
        return self.key.deployment

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("replay", self.deployment)


@dataclass(frozen=True, slots=True)
class RebuildRegistry:
    """Write `registry.json` again from the receipts."""

    kind: ClassVar[str] = "rebuildregistry"
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("registry")


@dataclass(frozen=True, slots=True)
class RemovePackage:
    """Uninstall a version that retention does not keep, or that somebody wants to be gone (`by_hand`)."""

    package: PackageRef
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()
    by_hand: bool = False
    digest: str = ""
    """Of the artefact that is removed, for the audit."""

    @property
    def kind(self) -> str:
        return "uninstall" if self.by_hand else "removepackage"

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("package", self.package)


@dataclass(frozen=True, slots=True)
class RemoveZip:
    """Delete a zip that retention does not keep."""

    kind: ClassVar[str] = "removezip"
    zip_name: str
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("zip", self.zip_name)


@dataclass(frozen=True, slots=True)
class SaveRollout:
    """Write down how a deployment's rollout goes on, before anything is done about it."""

    kind: ClassVar[str] = "remember"
    deployment: str
    record: RolloutRecord
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("rollout", self.deployment)


@dataclass(frozen=True, slots=True)
class RestoreMemory:
    """Put the copy of a deployment's rollout record, or of the `HOLDS`, in place of a damaged file."""

    kind: ClassVar[str] = "restore"
    name: str
    reason: str
    depends_on: tuple[ObjectRef, ...] = ()

    @property
    def object(self) -> ObjectRef:
        return ObjectRef("holds") if self.name == HOLDS else ObjectRef("rollout", self.name)


Action = (
    SaveRollout
    | Install
    | Preheat
    | Switch
    | Deactivate
    | Retire
    | Replay
    | RebuildRegistry
    | RestoreMemory
    | RemovePackage
    | RemoveZip
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something desired that cannot be done, and why: the deployment is degraded until that changes."""

    object: ObjectRef
    deployment: str
    reason: str
    code: int | None = None
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that will be tried or looked at again at `until` (seconds of the observer's clock)."""

    object: ObjectRef
    deployment: str
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class StepPreview:
    """The PIDs that have the new version once a step of a rollout is done, or whose pictures the step shows to it."""

    deployment: str
    step: str
    pids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to: what would a pass do now, and why is it not doing the rest?

    `records` are the rollouts as of this plan, with the counters that change all the time and stand in no action;
    `verdicts` what was thought of the versions that are judged, and `ways_back` where each deployment would go now if
    its promoted version failed.
    """

    actions: tuple[Action, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    steps: tuple[StepPreview, ...] = ()
    targets: dict[str, PackageRef] = field(default_factory=dict)
    records: dict[str, RolloutRecord] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    ways_back: dict[str, PackageRef] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.actions

    @property
    def under_way(self) -> bool:
        """Whether a rollout is on its way, forward or back."""
        rollouts = (record.rollout for record in self.records.values())
        return any(rollout is not None and (rollout.under_way or rollout.state == "reverting") for rollout in rollouts)
