"""One deployment in one pass: what the rollout's rules need to know of the station, each question answered once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from controller.model.desired import Deployment, Revision
from controller.model.objects import ProcessKey
from controller.model.observed import Failure, Observed, ObservedProcess
from controller.model.package import PackageRef
from controller.model.rollout import Instant, RolloutRecord
from controller.rollouts.resolution import Resolution, resolve, unsupported_pids
from controller.rollouts.ways_back import earlier_versions, trials


@dataclass(frozen=True)
class StationView:
    """What all deployments share. What follows from the observation alone is answered by it (`Observed`)."""

    revision: Revision
    observed: Observed
    now: Instant

    def supports(self, resolution: Resolution, pid: str) -> bool:
        allow = self.revision.policy.allow_undeclared_pids
        return not unsupported_pids(resolution, [pid], allow_undeclared=allow)


@dataclass(frozen=True)
class DeploymentView:
    """One deployment of a station, and where its package can be had."""

    station: StationView
    deployment: Deployment
    resolution: Resolution

    @classmethod
    def of(cls, station: StationView, deployment: Deployment) -> DeploymentView:
        resolution = resolve(deployment.spec.ref, deployment.spec.package.digest, station.observed)
        return cls(station, deployment, resolution)

    @property
    def name(self) -> str:
        return self.deployment.name

    @property
    def observed(self) -> Observed:
        return self.station.observed

    @property
    def now(self) -> Instant:
        return self.station.now

    @property
    def target(self) -> PackageRef:
        return self.deployment.spec.ref

    @property
    def digest(self) -> str | None:
        """The digest of the package where it can be had."""
        return self.resolution.digest or None

    @property
    def record(self) -> RolloutRecord:
        return self.observed.records.get(self.name, RolloutRecord())

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The PIDs that neither a pin nor a hold keeps where they are."""
        spec, holds = self.deployment.spec, self.observed.holds
        return tuple(pid for pid in spec.pids if pid not in spec.pinned and pid not in holds)

    @cached_property
    def rolled_back(self) -> PackageRef | None:
        """The version that an operator has the deployment as a whole on, until it is resumed; None where none has."""
        holds = (self.observed.holds.get(pid) for pid in self.deployment.spec.pids)
        usual = Counter(hold.package for hold in holds if hold is not None and hold.deployment == self.name)
        return usual.most_common(1)[0][0] if usual else None

    @cached_property
    def recorded(self) -> dict[str, PackageRef | None]:
        """The version that each free PID has by its history: a mapping that was edited by hand changes no version.

        None where it has none, or one that can be had no more.
        """
        return {pid: self._recorded(pid) for pid in self.free}

    @cached_property
    def deployed(self) -> dict[str, PackageRef | None]:
        """Like `recorded`, but the version before where it has one that only a hold gave it: that was a trial."""
        return {pid: self._deployed(pid, here) for pid, here in self.recorded.items()}

    def _recorded(self, pid: str) -> PackageRef | None:
        history = self.observed.history.get(pid, ())
        return self._to_be_had((history[-1].ref if history else None, self.observed.mapped_ref(pid)))

    def _deployed(self, pid: str, here: PackageRef | None) -> PackageRef | None:
        history = self.observed.history.get(pid, ())
        return here if here not in trials(history) else self._to_be_had(earlier_versions(history))

    def _to_be_had(self, candidates: Iterable[PackageRef | None]) -> PackageRef | None:
        """Return the first version that is here, or can be installed."""
        for ref in candidates:
            if ref is not None and (ref in self.observed.installed or not self.resolution_of(ref).problem):
                return ref
        return None

    def resolution_of(self, package: PackageRef) -> Resolution:
        return resolve(package, None, self.observed)

    def joined(self, pid: str) -> bool:
        """Whether a PID's version was given to it by another deployment, or by none."""
        history = self.observed.history.get(pid, ())
        return bool(history) and history[-1].deployment != self.name

    def processes(self, package: PackageRef) -> tuple[ObservedProcess, ...]:
        return self.observed.processes_of(self.name, package)

    def failures(self, package: PackageRef) -> Iterator[tuple[ProcessKey, Failure]]:
        """What went wrong with the processes of a version, where it is the version's fault."""
        return ((key, each) for key, each in self.observed.failures_of(self.name, package) if not each.blameless)

    def refused_by_host(self, package: PackageRef) -> bool:
        """Whether the host does not let a process of a version start."""
        return any(each.condition for _, each in self.observed.failures_of(self.name, package))

    def fit(self, package: PackageRef) -> bool:
        """Whether a version could serve: installed, not in quarantine, and its processes start."""
        installation = self.observed.installed.get(package)
        if installation is None or self.record.quarantined(package, installation.receipt.digest) is not None:
            return False
        if self.observed.answers(package, self.name):
            return True
        return not any(failure.breaker or not failure.crashed for _, failure in self.failures(package))
