"""Why something is done: the sentences that stand in a plan, the audit and a PID's history. No decisions."""

from __future__ import annotations

from controller.model.actions import Blocked
from controller.model.desired import Deployment
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import HELD_BY, ActiveMapping
from controller.model.package import PackageRef
from controller.model.rollout import Quarantine
from controller.rollouts.progression import Progress
from controller.rollouts.view import StationView


def why_preheat(station: StationView, key: ProcessKey) -> str:
    """Return why a process must be started or replaced; empty where it is there and right."""
    process = station.observed.processes.get(key)
    if process is None:
        return "no process runs for it"
    if not process.serves:
        return f"its process is {process.state}" + (f": {process.detail}" if process.detail else "")
    installation = station.observed.installed.get(key.ref)
    if installation is not None and installation.receipt.digest != process.digest:
        return "its process runs another artefact of the same version"
    return ""


def in_quarantine(deployment: Deployment, quarantine: Quarantine) -> Blocked:
    """Return that a deployment's package is not tried."""
    return Blocked(
        ObjectRef("package", quarantine.package),
        deployment.name,
        f"{quarantine.package} is in quarantine since {quarantine.at}: {quarantine.reason}",
        next_step=f"deploy another version, or `pvctl retry {deployment.name}`",
    )


def too_late(deployment: Deployment, failing: str) -> Blocked:
    """Return that versions fail which nobody judges for a rollout any more."""
    return Blocked(
        ObjectRef("deployment", deployment.name),
        deployment.name,
        f"{failing}; it is too late to roll anything back by itself",
        next_step=f"`pvctl rollback {deployment.name}`, or deploy another version",
    )


def not_known(deployment: Deployment, why: str) -> Blocked:
    """Return that a deployment stands still, because what is remembered of it cannot be read."""
    return Blocked(
        ObjectRef("rollout", deployment.name),
        deployment.name,
        f"its rollout stands still: {why}, and there is no copy",
        next_step="make the file readable, or move it aside to give up what it guards against: a version that failed "
        "may then be tried again",
    )


def no_history(pid: str, deployment: str, why: str) -> Blocked:
    """Return that a PID's history cannot be read."""
    return Blocked(
        ObjectRef("pid", pid),
        deployment,
        f"{why}: its ways back are not known, and no version is removed",
        next_step="make the file readable, or move it aside to give up what it tells",
    )


def why_switch(station: StationView, deployment: Deployment, going_on: Progress, pid: str, ref: PackageRef) -> str:
    """Return why a PID gets a version."""
    mapping = station.observed.active.get(pid)
    if mapping is None:
        history = station.observed.history.get(pid, ())
        if all(entry.ref is None for entry in history):
            return f"first version of {pid}"
        return f"deployment {deployment.name} serves it and it has no active version"
    if not isinstance(mapping, ActiveMapping):
        return f"active/{pid}.json is damaged ({mapping.reason}); restored from its history"
    if mapping.ref not in station.observed.installed:
        return f"active/{pid}.json names {mapping.ref}, which is not installed"
    if (hold := station.observed.holds.get(pid)) is not None:
        return f"{HELD_BY}{hold.actor}: {hold.reason}"
    return _why_moved(station, deployment, going_on, pid, ref)


def diverges(station: StationView, going_on: Progress, pid: str, ref: PackageRef) -> bool:
    """Whether a PID gets a version otherwise than forward to the desired state: a way back, a hold, a repair."""
    mapping, history = station.observed.active.get(pid), station.observed.history.get(pid, ())
    if mapping is None:
        return False
    damaged = not isinstance(mapping, ActiveMapping) or mapping.ref not in station.observed.installed
    if damaged or pid in station.observed.holds:
        return True
    reverting = going_on.rollout is not None and going_on.rollout.state == "reverting"
    return reverting or bool(history and history[-1].ref == ref)


def _why_moved(station: StationView, deployment: Deployment, going_on: Progress, pid: str, ref: PackageRef) -> str:
    """Return why a PID with a good mapping leaves its version."""
    rollout = going_on.rollout
    history = station.observed.history.get(pid, ())
    if rollout is not None and rollout.state == "reverting":
        return f"{rollout.target} is rolled back: {rollout.reason}"
    if history and history[-1].ref == ref:
        return f"active/{pid}.json was changed outside the controller; put back"
    resumed = "no longer held: " if history and history[-1].held else ""
    if rollout is not None and rollout.under_way:
        return f"{resumed}rollout of {rollout.target}: {rollout.strategy.steps[rollout.step]}"
    pinned = " (pinned)" if pid in deployment.spec.pinned else ""
    return f"{resumed}deployment {deployment.name} wants {ref}{pinned}"
