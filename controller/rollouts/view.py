"""One deployment in one pass: what the rollout's rules need to know of the station, each question answered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from controller.model.desired import Deployment, Revision
from controller.model.observed import ActiveMapping, Failure, Observed, ObservedProcess
from controller.model.package import PackageRef
from controller.model.rollout import Instant, RolloutRecord
from controller.rollouts.resolution import Resolution, resolve, unsupported_pids


@dataclass(frozen=True)
class StationView:
    """What all deployments share, with an index of what belongs to which."""

    revision: Revision
    observed: Observed
    now: Instant

    @cached_property
    def processes(self) -> dict[tuple[str, PackageRef], list[ObservedProcess]]:
        """The processes by deployment and version."""
        found = defaultdict(list)
        for key, process in self.observed.processes.items():
            found[key.deployment, key.ref].append(process)
        return found

    @cached_property
    def process_failures(self) -> dict[str, list[Failure]]:
        """The failures of processes by deployment and version, as `deployment/name@version`."""
        found = defaultdict(list)
        for name, failure in self.observed.failures.items():
            if name.startswith("process/"):
                found[name.removeprefix("process/").rpartition("-")[0]].append(failure)
        return found

    @cached_property
    def _active(self) -> dict[str, PackageRef]:
        good = ((pid, each.ref) for pid, each in self.observed.active.items() if isinstance(each, ActiveMapping))
        return {pid: ref for pid, ref in good if ref in self.observed.installed}

    def active(self, pid: str) -> PackageRef | None:
        """The installed version that a PID's mapping names; None where it has none that can be used."""
        return self._active.get(pid)

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
    def recorded(self) -> dict[str, PackageRef | None]:
        """The version that each free PID has by its history: a mapping that was edited by hand changes no version.

        None where it has none, or one that can be had no more.
        """
        return {pid: self._recorded(pid) for pid in self.free}

    def _recorded(self, pid: str) -> PackageRef | None:
        history, mapping = self.observed.history.get(pid, ()), self.observed.active.get(pid)
        written = mapping.ref if isinstance(mapping, ActiveMapping) else None
        for ref in (history[-1].ref if history else None, written):
            if ref is not None and (ref in self.observed.installed or not self.resolution_of(ref).problem):
                return ref
        return None

    def resolution_of(self, package: PackageRef) -> Resolution:
        return resolve(package, None, self.observed)

    def joined(self, pid: str) -> bool:
        """Whether a PID's version was given to it by another deployment, or by none."""
        history = self.observed.history.get(pid, ())
        return bool(history) and history[-1].deployment != self.name

    def processes(self, package: PackageRef) -> Iterable[ObservedProcess]:
        return self.station.processes.get((self.name, package), ())

    def failures(self, package: PackageRef) -> Iterable[Failure]:
        """What went wrong with the processes of a version, where it is the version's fault."""
        noted = self.station.process_failures.get(f"{self.name}/{package}", ())
        return (failure for failure in noted if not failure.blameless)

    def fit(self, package: PackageRef) -> bool:
        """Whether a version could serve: installed, not in quarantine, and its processes start."""
        installation = self.observed.installed.get(package)
        if installation is None or self.record.quarantined(package, installation.receipt.digest) is not None:
            return False
        if any(process.serves for process in self.processes(package)):
            return True
        return not any(failure.breaker or not failure.crashed for failure in self.failures(package))
