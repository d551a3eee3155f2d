"""What every step of planning knows: the station as seen, how each rollout goes on, and what rests after a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.model.actions import Blocked, Waiting
from controller.model.desired import Revision
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import Failure, Observed
from controller.model.rollout import Instant
from controller.planning.part import Part
from controller.rollouts.progression import Progress, progress
from controller.rollouts.view import DeploymentView, StationView


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts of one pass. With `serve` false, processes are wanted only to prove a version before its switch."""

    station: StationView
    progress: Mapping[str, Progress]
    serve: bool

    @classmethod
    def of(cls, revision: Revision, observed: Observed, now: Instant, *, serve: bool) -> Situation:
        station = StationView(revision, observed, now)
        going_on = {each.name: progress(DeploymentView.of(station, each)) for each in revision.deployments}
        return cls(station, going_on, serve)

    @property
    def revision(self) -> Revision:
        return self.station.revision

    @property
    def observed(self) -> Observed:
        return self.station.observed

    def adopting(self, key: ProcessKey) -> bool:
        """Whether a process is there that has not answered yet: neither one to count on nor one to replace."""
        process = self.observed.processes.get(key)
        return process is not None and process.state == "adopting"

    def backs_off(self, object_: ObjectRef, deployment: str) -> bool:
        """Whether an object failed and is not to be tried again yet."""
        failure = self._failure(object_, deployment)
        return failure is not None and failure.retry_at > self.station.now.seconds

    def failed(self, object_: ObjectRef, deployment: str) -> Part:
        """What a plan says of an object's failure, tried again now or later; nothing where it has none."""
        failure = self._failure(object_, deployment)
        if failure is None:
            return Part()
        blocked = (Blocked(object_, deployment, failure.message, failure.code),)
        if not self.backs_off(object_, deployment):
            return Part(blocked=blocked)
        reason = f"attempt {failure.attempts} failed: {failure.message}"
        return Part(blocked=blocked, waiting=(Waiting(object_, deployment, failure.retry_at, reason),))

    def _failure(self, object_: ObjectRef, deployment: str) -> Failure | None:
        failure = self.observed.failures.get(object_)
        return None if failure is None or self._forgiven(failure, deployment) else failure

    def _forgiven(self, failure: Failure, deployment: str) -> bool:
        """Whether a process of a rollout's target failed before that rollout began: a retry tries once more, now."""
        going_on, key = self.progress.get(deployment), failure.object.name
        rollout = going_on.rollout if going_on is not None else None
        if rollout is None or not isinstance(key, ProcessKey):
            return False
        own = (key.deployment, key.ref) == (deployment, rollout.target)
        return own and failure.before(rollout.began, self.station.now)
