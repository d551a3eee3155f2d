"""What a pass sees: the store, the zips and the running processes, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from controller.model.package import Installation, PackageRecord, PackageRef, package_ref
from controller.model.rollout import Hold, RolloutRecord
from controller.model.tally import Tally

ProcessState = Literal["starting", "ready", "busy", "draining", "broken", "exited"]


@dataclass(frozen=True, slots=True)
class ActiveMapping:
    """Content of `active/<pid>.json`: the version that answers the PID's calls. `activated_at` is RFC 3339 UTC."""

    name: str
    version: str
    activated_at: str

    @property
    def ref(self) -> PackageRef:
        return package_ref(self.name, self.version)


@dataclass(frozen=True, slots=True)
class BrokenMapping:
    """An `active/<pid>.json` that cannot be used, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of `history/<pid>.jsonl`. `name` None: the PID was deactivated. `deployment` None: nobody's PID."""

    at: str
    name: str | None
    version: str | None
    deployment: str | None
    revision: str
    actor: str
    reason: str
    digest: str | None = None

    @property
    def ref(self) -> PackageRef | None:
        return PackageRef(self.name, self.version) if self.name and self.version else None


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """Identity of a process slot: deployment, package version and replica number (from 0)."""

    deployment: str
    name: str
    version: str
    replica: int = 0

    @property
    def ref(self) -> PackageRef:
        return package_ref(self.name, self.version)

    def __str__(self) -> str:
        return f"{self.deployment}/{self.name}@{self.version}-{self.replica}"


@dataclass(frozen=True, slots=True)
class ObservedProcess:
    """One algorithm process. `digest` is that of the package it was started from; `detail` says why it is broken."""

    key: ProcessKey
    digest: str
    os_pid: int | None
    state: ProcessState
    sdk_version: str = ""
    started_at: str = ""
    restarts: int = 0
    rss_bytes: int | None = None
    cpu_percent: float | None = None
    detail: str = ""

    @property
    def serves(self) -> bool:
        """Whether calls can be given to it now or as soon as the present one ends."""
        return self.state in {"ready", "busy"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt at an object, or an unexpected exit. It is not tried before `retry_at` (the observer's clock).

    `crashed`: it had been ready before; `breaker`: it ended more often than its deployment's `restarts` tolerates.
    `blameless`: the controller's own failure, such as a full disk; the version did nothing wrong. `at` is when it was
    noted, by the observer's clock; `digest` is of the artefact that failed to install.
    """

    object: str
    message: str
    code: int | None
    attempts: int
    retry_at: float
    breaker: bool = False
    crashed: bool = False
    blameless: bool = False
    at: float = 0.0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that the planner may know beside the desired revision.

    `tallies` count calls per PID and version without end, `recent` those of the last window only; `last_words` are the
    last log lines of each deployment's version that failed.
    """

    zips: tuple[PackageRecord, ...] = ()
    installed: Mapping[PackageRef, Installation] = field(default_factory=lambda: MappingProxyType({}))
    active: Mapping[str, ActiveMapping | BrokenMapping] = field(default_factory=lambda: MappingProxyType({}))
    history: Mapping[str, tuple[HistoryEntry, ...]] = field(default_factory=lambda: MappingProxyType({}))
    processes: Mapping[ProcessKey, ObservedProcess] = field(default_factory=lambda: MappingProxyType({}))
    failures: Mapping[str, Failure] = field(default_factory=lambda: MappingProxyType({}))
    registry_lost: bool = False
    unmanaged: tuple[str, ...] = ()
    records: Mapping[str, RolloutRecord] = field(default_factory=lambda: MappingProxyType({}))
    holds: Mapping[str, Hold] = field(default_factory=lambda: MappingProxyType({}))
    tallies: Mapping[tuple[str, PackageRef], Tally] = field(default_factory=lambda: MappingProxyType({}))
    recent: Mapping[tuple[str, PackageRef], Tally] = field(default_factory=lambda: MappingProxyType({}))
    last_words: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
