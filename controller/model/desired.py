"""The desired state: what operators write (design section 3.1), as frozen pydantic models.

Field names on the wire are camelCase, as in Kubernetes. Every scalar may arrive as text (see `model.units`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from controller.model.package import PackageRef
from controller.model.units import Boolean, Duration, Integer, Name, Pid, Ratio, Size, Text, Version

API_VERSION = "procvision.dev/v1"


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False)


class Metadata(_Spec):
    """A document's name and its free labels."""

    name: Name
    labels: dict[str, Text] = Field(default_factory=dict)
    annotations: dict[str, Text] = Field(default_factory=dict)


class PackageSelector(_Spec):
    """Which package a deployment wants; with `digest`, exactly that zip."""

    name: Name
    version: Version
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None

    @property
    def ref(self) -> PackageRef:
        return PackageRef(self.name, self.version)


class Pause(_Spec):
    """A pause of a canary: for `duration` (seconds), or until `pvctl promote` when there is none."""

    duration: Duration | None = None


class Step(_Spec):
    """One step of a canary: either `setWeight` (percent of the unpinned PIDs) or `pause`."""

    set_weight: Integer | None = Field(default=None, ge=0, le=100)
    pause: Pause | None = None

    @field_validator("set_weight", mode="before")
    @classmethod
    def _percent_sign_is_optional(cls, value: object) -> object:
        return value.removesuffix("%") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.set_weight is None) == (self.pause is None):
            raise ValueError("a step is either setWeight or pause, exactly one of them")
        return self


class Analysis(_Spec):
    """How the canary is judged while it bakes."""

    initial_delay: Duration = 0.0
    min_samples: Integer = Field(default=50, ge=1)
    on_inconclusive: Literal["wait", "promote", "revert"] = "wait"


class Canary(_Spec):
    """PIDs that go first and last, and the steps between."""

    order: tuple[Pid, ...] = ()
    critical: tuple[Pid, ...] = ()
    steps: tuple[Step, ...] = ()
    analysis: Analysis = Analysis()


class Strategy(_Spec):
    """How a new version reaches the PIDs. Without `canary`: all at once."""

    canary: Canary | None = None
    min_healthy_time: Duration = 0.0
    progress_deadline: Duration = 600.0
    auto_promote: Boolean = True
    auto_revert: Boolean = True


class RateLimit(_Spec):
    """A share of calls that may go wrong within a window."""

    max: Ratio
    window: Duration = 300.0
    min_samples: Integer = Field(default=50, ge=1)


class LatencyLimit(_Spec):
    """A quantile of the call latency, in seconds, within a window."""

    max: Duration
    window: Duration = 300.0
    min_samples: Integer = Field(default=50, ge=1)


class ChangeLimit(_Spec):
    """How far a share may move, either way, against the stable PIDs over the same time."""

    max_change: Ratio
    min_samples: Integer = Field(default=50, ge=1)


class MemoryLimit(_Spec):
    """Resident memory of a process and its descendants, in bytes."""

    max: Size


class CpuLimit(_Spec):
    """Share of one core over a window."""

    max: Ratio
    window: Duration = 60.0


class Heartbeat(_Spec):
    """Ping every `interval`; `max_missed` pongs later than `grace` in a row are a lost heartbeat."""

    interval: Duration = Field(default=5.0, gt=0)
    grace: Duration = Field(default=2.0, gt=0)
    max_missed: Integer = Field(default=2, ge=1)


class RestartLimit(_Spec):
    """More than `max` restarts within `window` open the breaker."""

    max: Integer = Field(default=5, ge=0)
    window: Duration = Field(default=60.0, gt=0)


class Health(_Spec):
    """What is watched on every PID. Without a limit a metric is not judged; the four with defaults always are."""

    error_rate: RateLimit = RateLimit.model_construct(max=0.05, window=300.0, min_samples=50)
    timeout_rate: RateLimit = RateLimit.model_construct(max=0.01, window=300.0, min_samples=50)
    latency_p95: LatencyLimit | None = Field(default=None, alias="latencyP95")
    ng_rate: ChangeLimit | None = None
    memory: MemoryLimit | None = None
    cpu: CpuLimit | None = None
    heartbeat: Heartbeat = Heartbeat()
    restarts: RestartLimit = RestartLimit()


class Timeouts(_Spec):
    """Deadlines in seconds: becoming ready, one call, and finishing the calls in flight of an old version."""

    start: Duration = Field(default=30.0, gt=0)
    call: Duration = Field(default=5.0, gt=0)
    drain: Duration = Field(default=30.0, ge=0)


class Preheat(_Spec):
    """What a process must do before it gets traffic, beside answering a ping."""

    smoke: Boolean = False
    image: Text | None = None


class Retention(_Spec):
    """How many installed versions of each package are kept."""

    versions: Integer = Field(default=3, ge=1)


class DeploymentSpec(_Spec):
    """Which package version serves which PIDs, and how it gets there."""

    package: PackageSelector
    pids: tuple[Pid, ...] = Field(min_length=1)
    pinned: dict[Pid, Version] = Field(default_factory=dict)
    replicas: Integer = Field(default=1, ge=1, le=64)
    suspend: Boolean = False
    strategy: Strategy = Strategy()
    health: Health = Health()
    timeouts: Timeouts = Timeouts()
    preheat: Preheat = Preheat()
    rollback_window: Duration = 86400.0
    retention: Retention | None = None

    @field_validator("pids")
    @classmethod
    def _no_pid_twice(cls, pids: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({pid for pid in pids if pids.count(pid) > 1})
        if twice:
            raise ValueError(f"PID listed more than once: {', '.join(twice)}")
        return pids

    @model_validator(mode="after")
    def _names_only_own_pids(self, info: ValidationInfo) -> Self:
        canary = self.strategy.canary or Canary()
        for where, pids in (
            ("pinned", self.pinned),
            ("strategy.canary.order", canary.order),
            ("strategy.canary.critical", canary.critical),
        ):
            if strangers := [pid for pid in pids if pid not in self.pids]:
                raise ValueError(f"{where} names {', '.join(strangers)}, which is not in pids")
        if both := sorted(set(canary.order) & set(canary.critical)):
            raise ValueError(f"{', '.join(both)} stands in both strategy.canary.order and critical")
        return self

    @property
    def ref(self) -> PackageRef:
        return self.package.ref

    def pinned_ref(self, pid: str) -> PackageRef | None:
        version = self.pinned.get(pid)
        return PackageRef(self.package.name, version) if version is not None else None


class Deployment(_Spec):
    """One `AlgorithmDeployment` document."""

    api_version: Literal["procvision.dev/v1"]
    kind: Literal["AlgorithmDeployment"]
    metadata: Metadata
    spec: DeploymentSpec

    @property
    def name(self) -> str:
        return self.metadata.name

    @cached_property
    def generation(self) -> str:
        """Hash of the spec, by which a status says what it has observed."""
        return content_hash(self.spec.model_dump(mode="json", by_alias=True))[:12]


class StationRetention(_Spec):
    """Station-wide retention. `zips` None keeps all."""

    versions: Integer = Field(default=3, ge=1)
    zips: Integer | None = Field(default=None, ge=0)


class Defaults(_Spec):
    """Health and timeouts for deployments that do not say: merged below each deployment's own."""

    health: dict[str, Any] = Field(default_factory=dict)
    timeouts: dict[str, Any] = Field(default_factory=dict)

    @field_validator("health")
    @classmethod
    def _health_is_valid(cls, value: dict[str, Any]) -> dict[str, Any]:
        Health.model_validate(value)
        return value

    @field_validator("timeouts")
    @classmethod
    def _timeouts_are_valid(cls, value: dict[str, Any]) -> dict[str, Any]:
        Timeouts.model_validate(value)
        return value


class PolicySpec(_Spec):
    """What holds for the whole station."""

    retention: StationRetention = StationRetention()
    pythons: tuple[Text, ...] = ()
    allow_undeclared_pids: Boolean = False
    defaults: Defaults = Defaults()


class StationPolicy(_Spec):
    """The one `StationPolicy` document that a tree may have."""

    api_version: Literal["procvision.dev/v1"]
    kind: Literal["StationPolicy"]
    metadata: Metadata
    spec: PolicySpec = PolicySpec()


def _kind_of(document: object) -> str:
    kind = document.get("kind") if isinstance(document, Mapping) else getattr(document, "kind", None)
    return kind if isinstance(kind, str) else ""


Document = Annotated[
    Annotated[Deployment, Tag("AlgorithmDeployment")] | Annotated[StationPolicy, Tag("StationPolicy")],
    Discriminator(_kind_of),
]


class Revision(_Spec):
    """One valid state of the whole desired tree. `id` is a git commit (`-dirty` when changed) or a content hash."""

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
        """Return the plain form that `Revision.model_validate` reads back."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=False)


def content_hash(document: object) -> str:
    """Return the SHA-256 hex digest of a JSON document in canonical form (sorted keys, no spaces)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
