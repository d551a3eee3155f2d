"""What a pass sees: the store, the zips and the running processes, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from controller.model.comparison import Agreement
from controller.model.objects import ObjectRef
from controller.model.objects import ProcessKey as ProcessKey  # noqa: PLC0414 - where other rooms look for it
from controller.model.package import Installation, PackageRecord, PackageRef, package_ref
from controller.model.replay import DifferingPicture, ReplayReport
from controller.model.rollout import HOLDS, Hold, Instant, Proven, RolloutRecord
from controller.model.tally import Tally

Tallies = Mapping[tuple[str, PackageRef], Tally]
"""What calls came to, by PID and version."""
ProcessState = Literal["adopting", "starting", "ready", "busy", "draining", "broken", "exited"]


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


HELD_BY = "held by "
"""How the reason of a switch begins that a hold asks for."""


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
    def held(self) -> bool:
        """Whether a hold gave the version to the PID, not the desired state: its reason begins so in every release."""
        return self.reason.startswith(HELD_BY)

    @property
    def ref(self) -> PackageRef | None:
        return PackageRef(self.name, self.version) if self.name and self.version else None


@dataclass(frozen=True, slots=True)
class ObservedProcess:
    """One algorithm process. `digest` is that of the package it was started from; `detail` says why it is broken.

    `adopting`: an earlier controller started it, and it has not answered this one yet. `doubt` says what its smoke call
    came to, where it was no answer and did not fail it either.
    """

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
    doubt: str = ""

    @property
    def serves(self) -> bool:
        """Whether calls can be given to it now or as soon as the present one ends."""
        return self.state in {"ready", "busy"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt at an object, or an unexpected exit. It is not tried before `retry_at` (the observer's clock).

    `crashed`: it had been ready before; `breaker`: it ended more often than its deployment's `restarts` tolerates.
    `blameless`: the controller's own failure, such as a full disk; the version did nothing wrong. `at` is when it was
    noted, by the observer's clock; `digest` is of the artefact that failed to install, and `others` are the failures of
    other artefacts of the same name and version. `condition` is what the host lacks, where that alone was why.
    """

    object: ObjectRef
    message: str
    code: int | None
    attempts: int
    retry_at: float
    breaker: bool = False
    crashed: bool = False
    blameless: bool = False
    at: float = 0.0
    digest: str = ""
    others: tuple[Failure, ...] = ()
    condition: str = ""

    def of(self, digest: str) -> Failure | None:
        """Return the failure of one artefact; what failed without one failed for each."""
        return next((each for each in (self, *self.others) if each.digest in {"", digest}), None)

    def before(self, moment: Instant, now: Instant) -> bool:
        """Whether it was noted before a moment, as far as that can be told: both of the present boot."""
        return moment.boot == now.boot and self.at < moment.seconds


@dataclass(frozen=True, slots=True)
class RecentCalls:
    """What calls came to lately, per PID and version: for each window that was asked for (seconds), since it began."""

    by_window: Mapping[float, Tallies] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return any(self.by_window.values())

    def over(self, window: float) -> Tallies:
        """Return what came within the last `window` seconds; nothing where that window was not asked for."""
        return self.by_window.get(window, MappingProxyType({}))


@dataclass(frozen=True)
class Observed:
    """Everything that the planner may know beside the desired revision, and the answers that follow from it alone.

    `tallies` count calls per PID and version without end, `recent` those of the limits' last windows only; `last_words`
    are the last log lines of each deployment's version that failed. `restored` and `lost` are those of `Memory`, and
    `lost_history` says by PID why its history cannot be read; `kept` are processes that a command is about to need.
    `shadows` count, per PID and shadowed version, how its answers agree with those of the line, without end, and
    `shadow_differences` are the latest pictures on which they do not, by deployment. `replays` are the latest replay of
    each deployment's rollout.
    """

    zips: tuple[PackageRecord, ...] = ()
    installed: Mapping[PackageRef, Installation] = field(default_factory=lambda: MappingProxyType({}))
    active: Mapping[str, ActiveMapping | BrokenMapping] = field(default_factory=lambda: MappingProxyType({}))
    history: Mapping[str, tuple[HistoryEntry, ...]] = field(default_factory=lambda: MappingProxyType({}))
    processes: Mapping[ProcessKey, ObservedProcess] = field(default_factory=lambda: MappingProxyType({}))
    failures: Mapping[ObjectRef, Failure] = field(default_factory=lambda: MappingProxyType({}))
    registry_lost: bool = False
    unmanaged: tuple[str, ...] = ()
    records: Mapping[str, RolloutRecord] = field(default_factory=lambda: MappingProxyType({}))
    holds: Mapping[str, Hold] = field(default_factory=lambda: MappingProxyType({}))
    tallies: Tallies = field(default_factory=lambda: MappingProxyType({}))
    recent: RecentCalls = RecentCalls()
    last_words: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    restored: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lost: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lost_history: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    kept: frozenset[ProcessKey] = frozenset()
    shadows: Mapping[tuple[str, PackageRef], Agreement] = field(default_factory=lambda: MappingProxyType({}))
    shadow_differences: Mapping[str, tuple[DifferingPicture, ...]] = field(default_factory=lambda: MappingProxyType({}))
    replays: Mapping[str, ReplayReport] = field(default_factory=lambda: MappingProxyType({}))

    def unknown(self, deployment: str) -> str:
        """Why it is not known how a deployment's rollout stands, or which PIDs are held; empty where it is."""
        return self.lost.get(deployment) or self.lost.get(HOLDS, "")

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Everything that cannot be read, and why: what it might name is not known."""
        return (*self.lost.values(), *self.lost_history.values())

    def mapped_ref(self, pid: str) -> PackageRef | None:
        """The version that a PID's mapping names, whether it is installed or not; None where none can be read."""
        mapping = self.active.get(pid)
        return mapping.ref if isinstance(mapping, ActiveMapping) else None

    def active_ref(self, pid: str) -> PackageRef | None:
        """The installed version that a PID's mapping names; None where it has none that can be used."""
        return self._active.get(pid)

    def answers(self, package: PackageRef, deployment: str | None = None) -> bool:
        """Whether a version has a process that calls of the line can be given to: of that deployment, else of any."""
        return (deployment, package) in self._answering

    def proven(self, package: PackageRef) -> bool:
        """Whether an installed version has ever answered a call. One that was only started and promoted has not."""
        return package in self.proven_versions

    @cached_property
    def proven_versions(self) -> frozenset[PackageRef]:
        """The installed versions that have answered a call: on record, or counted since."""
        recorded = {each for record in self.records.values() for each in record.proven}
        counted = {ref for (_, ref), tally in self.tallies.items() if tally.answered}
        return frozenset(
            ref
            for ref, installation in self.installed.items()
            if ref in counted or Proven(ref, installation.receipt.digest) in recorded
        )

    def processes_of(self, deployment: str, package: PackageRef) -> tuple[ObservedProcess, ...]:
        """The processes that a deployment has of a version."""
        return self._processes.get((deployment, package), ())

    def failures_of(self, deployment: str, package: PackageRef) -> tuple[tuple[ProcessKey, Failure], ...]:
        """What went wrong with the processes that a deployment has, or had, of a version."""
        return self._failures.get((deployment, package), ())

    def managed(self, pid: str) -> bool:
        """Whether a PID's latest version was given to it by a deployment."""
        history = self.history.get(pid, ())
        return bool(history) and history[-1].deployment is not None

    def activated_by_hand(self, pid: str) -> PackageRef | None:
        """The version that somebody gave a PID by hand; None where a deployment did, or it was deactivated since."""
        history = self.history.get(pid, ())
        return history[-1].ref if history and history[-1].deployment is None else None

    @cached_property
    def _active(self) -> dict[str, PackageRef]:
        good = ((pid, each.ref) for pid, each in self.active.items() if isinstance(each, ActiveMapping))
        return {pid: ref for pid, ref in good if ref in self.installed}

    @cached_property
    def _answering(self) -> frozenset[tuple[str | None, PackageRef]]:
        found = {
            (key.deployment, key.ref) for key, process in self.processes.items() if process.serves and not key.shadow
        }
        return frozenset((*found, *((None, ref) for _, ref in found)))

    @cached_property
    def _processes(self) -> dict[tuple[str, PackageRef], tuple[ObservedProcess, ...]]:
        found: dict[tuple[str, PackageRef], tuple[ObservedProcess, ...]] = {}
        for key, process in self.processes.items():
            found[key.deployment, key.ref] = (*found.get((key.deployment, key.ref), ()), process)
        return found

    @cached_property
    def _failures(self) -> dict[tuple[str, PackageRef], tuple[tuple[ProcessKey, Failure], ...]]:
        found: dict[tuple[str, PackageRef], tuple[tuple[ProcessKey, Failure], ...]] = {}
        for failure in self.failures.values():
            if isinstance(key := failure.object.name, ProcessKey):
                found[key.deployment, key.ref] = (*found.get((key.deployment, key.ref), ()), (key, failure))
        return found
