"""What stands in place of a deployment for PIDs that none has, and that a version answers all the same.

Somebody activated it by hand. Their processes are those of a deployment that is in no tree, one for each package, with
the policy's defaults.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.desired import Deployment, DeploymentSpec, Metadata, PackageSelector, Revision
from controller.model.objects import is_unmanaged, unmanaged_name


def serving_deployment(revision: Revision, name: str) -> Deployment | None:
    """Return the deployment of that name, or what stands in its place; None where neither is there."""
    if not is_unmanaged(name):
        return revision.by_name.get(name)
    return stand_in(revision, name.removeprefix(unmanaged_name("")))


def stand_in(revision: Revision, package: str, pids: Iterable[str] = ()) -> Deployment:
    """Return what stands in place of a deployment for the PIDs of a package that none has."""
    defaults = revision.policy.defaults
    spec = DeploymentSpec.model_construct(
        package=PackageSelector.model_construct(name=package, version=""),
        pids=tuple(pids),
        health=defaults.health,
        timeouts=defaults.timeouts,
        recording=defaults.recording,
    )
    return Deployment.model_construct(metadata=Metadata.model_construct(name=unmanaged_name(package)), spec=spec)
