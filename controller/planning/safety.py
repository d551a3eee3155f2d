"""Whether an installed package may be removed: never one that something still depends on."""

from __future__ import annotations

from controller.model.desired import Revision
from controller.model.observed import ActiveMapping, Observed
from controller.model.package import PackageRef


def why_needed(package: PackageRef, revision: Revision | None, observed: Observed) -> tuple[str, ...]:
    """Return everything that still needs an installed package; empty where it may be uninstalled."""
    reasons = [
        f"it answers PID {pid}"
        for pid, mapping in observed.active.items()
        if isinstance(mapping, ActiveMapping) and mapping.ref == package
    ]
    reasons += [f"process {key} runs it" for key in observed.processes if key.ref == package]
    for deployment in revision.deployments if revision else ():
        if deployment.spec.ref == package:
            reasons.append(f"deployment {deployment.name} desires it")
        reasons += [
            f"deployment {deployment.name} pins {pid} to it"
            for pid in deployment.spec.pinned
            if deployment.spec.pinned_ref(pid) == package
        ]
    return tuple(reasons)
