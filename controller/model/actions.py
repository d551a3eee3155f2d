"""What a plan is made of. Each action is one idempotent act on one object, with the reason for it.

`object` names what the action changes (`package/…`, `process/…`, `pid/…`); `after` names objects whose actions in the
same plan must have succeeded before this one may run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord


@dataclass(frozen=True, slots=True)
class Install:
    """Install a package from `algorithms/zips/<zip_name>`."""

    package: PackageRef
    zip_name: str
    digest: str
    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"package/{self.package}"


@dataclass(frozen=True, slots=True)
class Preheat:
    """Start a process and prove it ready, or replace one that is broken or outdated."""

    process: ProcessKey
    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"process/{self.process}"


@dataclass(frozen=True, slots=True)
class Switch:
    """Make `target` the version that answers a PID. A rollback and a repair are switches with another reason."""

    pid: str
    deployment: str
    before: PackageRef | None
    target: PackageRef
    reason: str
    after: tuple[str, ...] = ()
    digest: str = ""

    @property
    def object(self) -> str:
        return f"pid/{self.pid}"


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Remove a PID's mapping: the desired tree no longer names it."""

    pid: str
    before: PackageRef | None
    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"pid/{self.pid}"


@dataclass(frozen=True, slots=True)
class Retire:
    """Drain and end a process that nothing needs any more."""

    process: ProcessKey
    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"process/{self.process}"


@dataclass(frozen=True, slots=True)
class RebuildRegistry:
    """Write `registry.json` again from the receipts."""

    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return "registry"


@dataclass(frozen=True, slots=True)
class RemovePackage:
    """Uninstall a version that retention does not keep."""

    package: PackageRef
    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"package/{self.package}"


@dataclass(frozen=True, slots=True)
class RemoveZip:
    """Delete a zip that retention does not keep."""

    zip_name: str
    reason: str
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"zip/{self.zip_name}"


@dataclass(frozen=True, slots=True)
class SaveRollout:
    """Write down how a deployment's rollout goes on, before anything is done about it."""

    deployment: str
    record: RolloutRecord
    reason: str
    before: str = ""
    after: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return f"rollout/{self.deployment}"


Action = SaveRollout | Install | Preheat | Switch | Deactivate | Retire | RebuildRegistry | RemovePackage | RemoveZip


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something desired that cannot be done, and why: the deployment is degraded until that changes."""

    object: str
    deployment: str
    reason: str
    code: int | None = None
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that will be tried or looked at again at `until` (seconds of the observer's clock)."""

    object: str
    deployment: str
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class StepPreview:
    """The PIDs that have the new version once a step of a rollout is done."""

    deployment: str
    step: str
    pids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to: what would a pass do now, and why is it not doing the rest?

    `records` are the rollouts as of this plan, with the counters that change all the time and stand in no action.
    """

    actions: tuple[Action, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    steps: tuple[StepPreview, ...] = ()
    targets: dict[str, PackageRef] = field(default_factory=dict)
    records: dict[str, RolloutRecord] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.actions

    @property
    def under_way(self) -> bool:
        """Whether a rollout is on its way, forward or back."""
        rollouts = (record.rollout for record in self.records.values())
        return any(rollout is not None and (rollout.under_way or rollout.state == "reverting") for rollout in rollouts)
