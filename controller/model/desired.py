"""The desired state: what operators write (design section 3.1), as frozen pydantic models.

Field names on the wire are camelCase, as in Kubernetes. Every scalar may arrive as text (see `model.units`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from controller.model.document import Conflict, Location, Part, did_you_mean, one_of, refuse, unsaid
from controller.model.health import (
    ChangeLimit,
    CpuLimit,
    ErrorRateLimit,
    Health,
    Heartbeat,
    LatencyLimit,
    MemoryLimit,
    RateLimit,
    RestartLimit,
    TimeoutRateLimit,
    Timeouts,
)
from controller.model.input import Images, Input, PictureInput
from controller.model.limits import PackageLimits
from controller.model.package import PackageRef, package_ref
from controller.model.recording import Recording
from controller.model.strategy import (
    Analysis,
    Canary,
    CanaryStep,
    DefectComparison,
    DefectMatch,
    Pause,
    ReplayStep,
    ShadowStep,
    Strategy,
    unseen_conflicts,
)
from controller.model.units import (
    Boolean,
    Count,
    Duration,
    Integer,
    Name,
    Pid,
    Switch,
    Text,
    Version,
    shown,
    unexpected,
)

__all__ = [
    "API_VERSION",
    "Analysis",
    "Canary",
    "CanaryStep",
    "ChangeLimit",
    "CpuLimit",
    "Defaults",
    "DefectComparison",
    "DefectMatch",
    "Deployment",
    "DeploymentSpec",
    "ErrorRateLimit",
    "Health",
    "Heartbeat",
    "Images",
    "Input",
    "LatencyLimit",
    "MemoryLimit",
    "Metadata",
    "PackageSelector",
    "Pause",
    "PolicySpec",
    "Preheat",
    "RateLimit",
    "Recording",
    "ReplayStep",
    "RestartLimit",
    "Retention",
    "Revision",
    "ShadowStep",
    "StationPolicy",
    "StationRetention",
    "Strategy",
    "TimeoutRateLimit",
    "Timeouts",
    "content_hash",
    "pid_conflicts",
    "weight_conflicts",
]  # fmt: skip

API_VERSION = "procvision.dev/v1"


def _inside_the_package(path: str) -> str:
    if not path or path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"):
        raise ValueError(
            f"{shown(path)} leaves the package (expected a path relative to the package root, "
            "with forward slashes, without ..)"
        )
    return path


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError(
            f"{shown(path)} is not absolute (expected the interpreter's whole path, such as /usr/bin/python3.10; "
            "those on PATH are found without being listed)"
        )
    return path


def _digest(text: str) -> str:
    if re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        return text
    raise unexpected(text, "sha256: and 64 lowercase hex digits, as `pvctl package show` prints it")


PackagePath = Annotated[Text, AfterValidator(_inside_the_package)]
InterpreterPath = Annotated[Text, AfterValidator(_absolute)]
Digest = Annotated[
    Text, AfterValidator(_digest), WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"})
]


class Metadata(Part):
    """A document's name and its free labels. What kubectl and kustomize write beside them is taken and ignored."""

    ignored_keys = frozenset({"annotations", "creationTimestamp", "namespace"})

    name: Name = Field(description="Unique within the tree.")
    labels: dict[str, Text] = Field(default_factory=dict, description="Free text for people and tools.")


class PackageSelector(Part):
    """Which package a deployment wants; with `digest`, exactly that zip."""

    name: Name = Field(description="Name in the package's manifest.")
    version: Version = Field(description="Version in the package's manifest. Quote one that looks like a number.")
    digest: Digest | None = Field(default=None, description="SHA-256 of the zip; when given it must match.")

    @property
    def ref(self) -> PackageRef:
        return package_ref(self.name, self.version)


class Preheat(Part):
    """What a process must do before it gets traffic, beside answering a ping."""

    smoke: Boolean = Field(
        default=True, description="One call before a version's first switch, which must not hang or crash."
    )
    image: PackagePath | None = Field(
        default=None,
        description="Picture of that call, relative to the package root: then it must not raise either. "
        "Else a generated one, on which raising is only a warning.",
    )


class Retention(Part):
    """How many installed versions of a package are kept."""

    versions: Integer = Field(default=3, ge=1, description="Newest versions that are kept.")


class DeploymentSpec(Part):
    """Which package version serves which PIDs, and how it gets there."""

    added_keys = frozenset({"input", "images", "recording"})

    package: PackageSelector = Field(description="The package version that is wanted.")
    pids: tuple[Pid, ...] = Field(min_length=1, description="PIDs that it serves. Quote one like a number.")
    pinned: dict[Pid, Version] = Field(
        default_factory=dict, description="PID to the version it stays at, whatever the rollout does."
    )
    replicas: Integer = Field(default=1, ge=1, le=64, description="Processes per version.")
    suspend: Boolean = Field(default=False, description="true: observe and report, change nothing.")
    strategy: Strategy = Field(default=Strategy(), description="How a new version reaches the PIDs.")
    health: Health = Field(default=Health(), description="What is watched, in and after a rollout.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Deadlines of a process.")
    preheat: Preheat = Field(default=Preheat(), description="What a process must do before it gets traffic.")
    rollback_window: Duration = Field(
        default=86400.0, description="How long after promotion automatic rollback stays armed."
    )
    retention: Retention = Field(default=Retention(), description="What is kept of this package.")
    input: Input = Field(default=Input(), description="Which pictures the algorithm gets, and how.")
    images: Images = Field(default=Images(), description="How the pixels reach the algorithm's process.")
    recording: Recording | None = Field(default=None, description="Which calls are recorded; absent: none.")

    @property
    def pictures(self) -> PictureInput:
        """What calls and processes must know of the pictures."""
        pictures = self.input.pictures
        return replace(pictures, zero_copy=True) if self.images.zero_copy else pictures

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        canary = self.strategy.canary or Canary()
        weights = [step.set_weight for step in canary.steps]
        unpinned = len(set(self.pids) - self.pinned.keys())
        unseen = unseen_conflicts(canary.steps, unpinned)
        refuse((
            *pid_conflicts(self.pids, self.pinned, canary.order, canary.critical), *weight_conflicts(weights),
            *(Conflict(("strategy", "canary", *each.at), each.message) for each in unseen),
        ))  # fmt: skip
        return self

    @property
    def ref(self) -> PackageRef:
        return self.package.ref

    def pinned_ref(self, pid: str) -> PackageRef | None:
        """Return the package that a PID is pinned to, or None."""
        version = self.pinned.get(pid)
        return package_ref(self.package.name, version) if version is not None else None

    @property
    def wanted(self) -> dict[str, PackageRef]:
        """The version that each PID is to have in the end: its pin, else the deployment's."""
        pins = {pid: package_ref(self.package.name, version) for pid, version in self.pinned.items()}
        return dict.fromkeys(self.pids, self.ref) | pins


class Deployment(Part):
    """One `AlgorithmDeployment` document: a package version and the PIDs it serves."""

    api_version: Literal["procvision.dev/v1"] = Field(description="Version of this schema.")
    kind: Literal["AlgorithmDeployment"] = Field(description="What this document is.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: DeploymentSpec = Field(description="What is wanted.")

    @property
    def name(self) -> str:
        return self.metadata.name

    @cached_property
    def generation(self) -> str:
        """Hash of the spec's meaning, by which a status says what it has observed: formatting does not change it."""
        return content_hash(self.spec.model_dump(mode="json", by_alias=True))[:12]


class StationRetention(Part):
    """Station-wide retention."""

    versions: Integer = Field(default=3, ge=1, description="Newest versions of each package that are kept.")
    zips: Count | None = Field(default=None, description="Newest zips that are kept; absent: all.")


class Defaults(Part):
    """Values for deployments that do not say. The loader merges them below each deployment's own."""

    added_keys = frozenset({"images", "recording"})

    health: Health = Field(default=Health(), description="Merged, key by key, below each deployment's own.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Merged, key by key, below each deployment's own.")
    images: Images = Field(default=Images(), description="Merged, key by key, below each deployment's own.")
    recording: Recording | None = Field(default=None, description="Merged, key by key, below each deployment's own.")


class PageSpec(Part):
    """What the page and the API show."""

    pictures: Switch = Field(
        default="on",
        description="off: no picture of a part is copied, kept or shown; on: while somebody looks, of some parts.",
    )


class PolicySpec(Part):
    """What holds for the whole station."""

    added_keys = frozenset({"limits", "page"})

    retention: StationRetention = Field(default=StationRetention(), description="What is kept.")
    pythons: tuple[InterpreterPath, ...] = Field(
        default=(), description="Extra interpreters for packages whose wheels need them."
    )
    limits: PackageLimits = Field(default=PackageLimits(), description="How large a package may be, and how slow.")
    allow_undeclared_pids: Boolean = Field(
        default=False, description="true: a package without supported_pids may serve any PID."
    )
    defaults: Defaults = Field(default=Defaults(), description="Values for deployments that do not say.")
    page: PageSpec = Field(default=PageSpec(), description="What the page and the API show.")


class StationPolicy(Part):
    """The one `StationPolicy` document that a tree may have: what holds for the whole station."""

    api_version: Literal["procvision.dev/v1"] = Field(description="Version of this schema.")
    kind: Literal["StationPolicy"] = Field(description="What this document is.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: PolicySpec = Field(default=PolicySpec(), description="What is wanted.")


class Revision(Part):
    """One valid state of the whole desired tree. `id` is a git commit (`-dirty` when changed) or a content hash.

    `loaded_at` is RFC 3339 UTC. The policy's defaults are already part of each deployment.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: str
    source: str
    loaded_at: str
    deployments: tuple[Deployment, ...] = ()
    policy: PolicySpec = PolicySpec()

    @cached_property
    def by_name(self) -> dict[str, Deployment]:
        return {deployment.name: deployment for deployment in self.deployments}

    @cached_property
    def by_pid(self) -> dict[str, Deployment]:
        return {pid: deployment for deployment in self.deployments for pid in deployment.spec.pids}

    def to_document(self) -> dict[str, Any]:
        """Return the plain form that `Revision.model_validate` reads back, that of an earlier release too if it can."""
        return self.model_dump(mode="json", by_alias=True, exclude=unsaid(self))


def pid_conflicts(
    pids: Sequence[str], pinned: Mapping[str, Any], order: Sequence[str], critical: Sequence[str]
) -> Iterator[Conflict]:
    """Yield what is wrong between the PIDs of one spec; locations are relative to the spec.

    PIDs are file names, and on some disks `A01` and `a01` are one file: those that differ only in case collide.
    """
    canary = ("strategy", "canary")
    for where, listed in (("pids",), pids), ((*canary, "order"), order), ((*canary, "critical"), critical):
        yield from _repeated(where, listed)
    named: list[tuple[Location, str]] = [(("pinned", pid, "[key]"), pid) for pid in pinned]
    named += [((*canary, "order", index), pid) for index, pid in enumerate(order)]
    named += [((*canary, "critical", index), pid) for index, pid in enumerate(critical)]
    for at, pid in named:
        if pid not in pids:
            hint = did_you_mean(pid, pids)
            yield Conflict(at, f"PID {shown(pid)} is not in spec.pids (expected {one_of(pids)}){hint}")
    for index, pid in enumerate(critical):
        if pid in order:
            yield Conflict(
                (*canary, "critical", index),
                f"PID {shown(pid)} is in order too (expected it to go either first or last)",
            )


def _repeated(where: tuple[str, ...], pids: Sequence[str]) -> Iterator[Conflict]:
    first: dict[str, int] = {}
    for index, pid in enumerate(pids):
        earlier = first.setdefault(pid.casefold(), index)
        if earlier == index:
            continue
        if pids[earlier] == pid:
            message = f"PID {shown(pid)} is listed twice, first as item {earlier} (expected each PID once)"
        else:
            message = (
                f"PID {shown(pid)} differs only in case from {shown(pids[earlier])}, item {earlier} "
                "(expected PIDs that are different file names on every disk)"
            )
        yield Conflict((*where, index), message)


def weight_conflicts(weights: Sequence[int | None]) -> Iterator[Conflict]:
    """Yield the steps whose weight is smaller than one before; None stands for a pause. Relative to the spec."""
    highest = 0
    for index, weight in enumerate(weights):
        if weight is not None and weight < highest:
            yield Conflict(
                ("strategy", "canary", "steps", index, "setWeight"),
                f"{weight} is less than the {highest} of a step before (expected weights that do not decrease: "
                "a larger step contains the smaller)",
            )
        highest = max(highest, weight or 0)


def content_hash(document: object) -> str:
    """Return the SHA-256 hex digest of a JSON document in canonical form (sorted keys, no spaces)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
