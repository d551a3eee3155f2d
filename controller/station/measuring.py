"""Answers about what calls came to over time, from the lines that the data plane's counts make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from controller.calls.series import INTERVAL, CallSeries
from controller.station.commands.measuring import DeploymentSeries, GetSeries, Role, VersionSeries
from controller.station.subjects import no_deployment

if TYPE_CHECKING:
    from controller.model.package import PackageRef
    from controller.model.rollout import Rollout
    from controller.reconciler.reconciler import Outcome

_ORDER: Mapping[Role, int] = {"stable": 0, "canary": 1, "other": 2}


def series(query: GetSeries, lines: CallSeries, outcome: Outcome, epoch: float) -> DeploymentSeries:
    """Return the lines of a deployment as of now (seconds since 1970). Raises CodedError 1003: there is none."""
    revision = outcome.desired.revision
    deployment = revision.by_name.get(query.deployment)
    if deployment is None:
        raise no_deployment(query.deployment, revision)
    record = outcome.plan.records.get(deployment.name)
    rollout = record.rollout if record is not None else None
    found = [
        VersionSeries(version=ref.version, role=_role(ref, deployment.spec.ref, rollout), package=ref.name,
                      points=points)
        for ref, points in lines.of(deployment.name, epoch - query.seconds).items()
    ]  # fmt: skip
    return DeploymentSeries(
        deployment.name, INTERVAL, tuple(sorted(found, key=lambda each: (_ORDER[each["role"]], each["version"])))
    )


def _role(ref: PackageRef, desired: PackageRef, rollout: Rollout | None) -> Role:
    """Say what a version is: until it is promoted, and once it has failed, the target is the canary."""
    judged = rollout is not None and (rollout.under_way or rollout.failed)
    if rollout is None or not judged:
        return "stable" if ref == desired else "other"
    if ref == rollout.target:
        return "canary"
    return "stable" if ref in {rollout.usual_stable, rollout.usual_back} else "other"
