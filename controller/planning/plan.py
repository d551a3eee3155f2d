"""The plan of one pass: state and `now` go in, typed actions with reasons come out. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from controller.errors import Code
from controller.model.actions import (
    Action,
    Blocked,
    Deactivate,
    Install,
    Plan,
    Preheat,
    RebuildRegistry,
    Retire,
    SaveRollout,
    StepPreview,
    Switch,
    Waiting,
)
from controller.model.desired import Deployment, Revision
from controller.model.observed import ActiveMapping, Failure, Observed, ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.planning.reasons import in_quarantine, why_preheat, why_switch
from controller.planning.retention import surplus
from controller.rollouts.cohorts import cohort
from controller.rollouts.progression import Progress, progress
from controller.rollouts.resolution import Resolution, resolve, unsupported_pids, unsupported_reason
from controller.rollouts.view import DeploymentView, StationView


def plan(revision: Revision, observed: Observed, now: Instant, *, serve: bool = True) -> Plan:
    """Return what a pass does now to make the station match the revision.

    With `serve` false, processes are wanted only to prove a version before its switch, not to stay up.
    """
    draft = _Draft(StationView(revision, observed, now), serve)
    for deployment in revision.deployments:
        draft.progress[deployment.name] = progress(DeploymentView.of(draft.station, deployment))
    for deployment in revision.deployments:
        _keep_serving(draft, deployment)
    if observed.registry_lost:
        draft.add(RebuildRegistry("registry.json is lost or damaged"))
    _deactivate_removed(draft)
    _forget_rollouts(draft)
    for deployment in revision.deployments:
        _remember(draft, deployment)
        if not deployment.spec.suspend:
            _move(draft, deployment)
    _retire_unneeded(draft)
    for removal in surplus(revision, observed):
        if removal.object not in draft.planned and not draft.backs_off(removal.object, ""):
            draft.add(removal)
    return Plan(
        tuple(draft.actions), tuple(draft.blocked), tuple(draft.waiting), tuple(draft.steps), draft.targets,
        {name: progress.record for name, progress in draft.progress.items()},
    )  # fmt: skip


def _remember(draft: _Draft, deployment: Deployment) -> None:
    going_on = draft.progress[deployment.name]
    if going_on.note:
        draft.add(SaveRollout(deployment.name, going_on.record, going_on.note))
    if going_on.waits_for:
        draft.waiting.append(
            Waiting(f"rollout/{deployment.name}", deployment.name, going_on.until, going_on.waits_for)
        )  # fmt: skip
    if going_on.degraded:
        reason = f"{going_on.degraded}; it is too late to roll anything back by itself"
        next_step = f"`pvctl rollback {deployment.name}`, or deploy another version"
        draft.blocked.append(Blocked(f"deployment/{deployment.name}", deployment.name, reason, next_step=next_step))


def _forget_rollouts(draft: _Draft) -> None:
    """End the rollouts of deployments that are gone; what is in quarantine stays there."""
    for name, record in draft.observed.records.items():
        if name not in draft.station.revision.by_name and record.rollout is not None:
            draft.add(SaveRollout(name, record.with_rollout(None), "no deployment has this name any more"))


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    station: StationView
    serve: bool
    progress: dict[str, Progress] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    steps: list[StepPreview] = field(default_factory=list)
    targets: dict[str, PackageRef] = field(default_factory=dict)
    needed: set[ProcessKey] = field(default_factory=set)
    failing: dict[str, bool] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)

    @property
    def observed(self) -> Observed:
        return self.station.observed

    def active_ref(self, pid: str) -> PackageRef | None:
        """The installed version that a PID's mapping names; None where it has none that can be used."""
        return self.station.active(pid)

    def serves(self, deployment: str, ref: PackageRef) -> bool:
        """Whether a deployment has a process of that version to which calls can be given."""
        return any(process.serves for process in self.station.processes.get((deployment, ref), ()))

    def add(self, action: Action) -> None:
        self.actions.append(action)
        self.planned.add(action.object)

    def backs_off(self, object_: str, deployment: str) -> bool:
        """Whether an object failed and is not to be tried again yet; says so in the plan, once."""
        if object_ not in self.failing:
            self.failing[object_] = self._note_failure(object_, deployment)
        return self.failing[object_]

    def _note_failure(self, object_: str, deployment: str) -> bool:
        failure = self.observed.failures.get(object_)
        if failure is None or self._forgiven(failure, deployment):
            return False
        self.blocked.append(Blocked(object_, deployment, failure.message, failure.code))
        if failure.retry_at <= self.station.now.seconds:
            return False
        reason = f"attempt {failure.attempts} failed: {failure.message}"
        self.waiting.append(Waiting(object_, deployment, failure.retry_at, reason))
        return True

    def _forgiven(self, failure: Failure, deployment: str) -> bool:
        """Whether a process of a rollout's target failed before that rollout began: a retry tries once more, now."""
        going_on = self.progress.get(deployment)
        rollout = going_on.rollout if going_on is not None else None
        if rollout is None or not failure.object.startswith(f"process/{deployment}/{rollout.target}-"):
            return False
        return rollout.began.boot == self.station.now.boot and failure.at < rollout.began.seconds


def _keep_serving(draft: _Draft, deployment: Deployment) -> None:
    """Make what is active ready again before anything else: a killed process must not wait for an install."""
    if not draft.serve:
        return
    for ref in dict.fromkeys(_answering(draft, deployment, pid) for pid in deployment.spec.pids):
        if ref is not None:
            _preheat(draft, deployment, ref, after=())


def _answering(draft: _Draft, deployment: Deployment, pid: str) -> PackageRef | None:
    """The version that this deployment must keep ready for a PID until it moves; None where it need not.

    It need not where the PID's target is ready already (it moves in this very pass), nor where the PID comes from
    another deployment whose process still answers.
    """
    ref = draft.active_ref(pid)
    target = draft.progress[deployment.name].targets[pid]
    if ref is None or target is None or ref == target:
        return ref
    if draft.serves(deployment.name, target) and not deployment.spec.suspend:
        return None
    return ref if draft.serves(deployment.name, ref) or not _others_serve(draft, ref) else None


def _others_serve(draft: _Draft, ref: PackageRef) -> bool:
    return any(key.ref == ref and process.serves for key, process in draft.observed.processes.items())


def _preheat(draft: _Draft, deployment: Deployment, ref: PackageRef, after: tuple[str, ...]) -> tuple[str, ...] | None:
    """Plan the processes of a version; return the objects to wait for, None where one cannot be had now."""
    objects = []
    for replica in range(deployment.spec.replicas):
        key = ProcessKey(deployment.name, ref.name, ref.version, replica)
        draft.needed.add(key)
        reason = why_preheat(draft.station, key)
        if not reason:
            continue
        action = Preheat(key, reason, after)
        if action.object not in draft.planned:
            if draft.backs_off(action.object, deployment.name):
                return None
            draft.add(action)
        objects.append(action.object)
    return tuple(objects)


def _deactivate_removed(draft: _Draft) -> None:
    for pid in draft.observed.active:
        history = draft.observed.history.get(pid, ())
        managed = bool(history) and history[-1].deployment is not None
        if pid not in draft.station.revision.by_pid and managed:
            draft.add(Deactivate(pid, draft.active_ref(pid), "no deployment names this PID any more"))


def _move(draft: _Draft, deployment: Deployment) -> None:
    """Bring a deployment's PIDs to their versions: install, preheat, switch."""
    going_on = draft.progress[deployment.name]
    groups: dict[PackageRef, list[str]] = defaultdict(list)
    for pid, wanted in going_on.targets.items():
        if wanted is not None:
            draft.targets[pid] = wanted
        goal = _restored(draft, deployment, pid) or wanted
        if goal is not None:
            groups[goal].append(pid)
    if going_on.quarantined is not None:
        draft.blocked.append(in_quarantine(deployment, going_on.quarantined))
    else:
        groups.setdefault(deployment.spec.ref, [])
    for ref, pids in groups.items():
        _bring_to(draft, deployment, ref, pids)
    _preview_steps(draft, deployment)


def _restored(draft: _Draft, deployment: Deployment, pid: str) -> PackageRef | None:
    """The version that a PID with a damaged mapping goes back to first: the last one in its history that is here.

    A pinned or held PID goes to nothing but its pin or hold, and none to what is in quarantine.
    """
    if pid not in draft.observed.active or draft.active_ref(pid) is not None:
        return None
    if pid in deployment.spec.pinned or pid in draft.observed.holds:
        return None
    record = draft.progress[deployment.name].record
    for entry in reversed(draft.observed.history.get(pid, ())):
        if entry.ref is None:
            return None
        installation = draft.observed.installed.get(entry.ref)
        if installation is not None and not record.quarantined(entry.ref, installation.receipt.digest):
            resolution = resolve(entry.ref, None, draft.observed)
            return entry.ref if draft.station.supports(resolution, pid) else None
    return None


def _bring_to(draft: _Draft, deployment: Deployment, ref: PackageRef, pids: list[str]) -> None:
    digest = deployment.spec.package.digest if ref == deployment.spec.ref else None
    resolution = resolve(ref, digest, draft.observed)
    if resolution.problem:
        draft.blocked.append(
            Blocked(f"package/{ref}", deployment.name, resolution.problem, resolution.code, resolution.next_step)
        )  # fmt: skip
        return
    supported = _supported(draft, deployment, resolution, pids)
    switching = [pid for pid in supported if draft.active_ref(pid) != ref]
    if (pids and not supported) or (resolution.installed and not (switching or draft.serve)):
        return
    after = _install(draft, deployment, resolution)
    if after is None or not supported:
        return
    ready = _preheat(draft, deployment, ref, after)
    decided = tuple({f"rollout/{deployment.name}"} & draft.planned)
    for pid in switching:
        if _is_emergency(draft, deployment, pid):
            _switch(draft, deployment, pid, ref, after=(*after, *decided))
        elif ready is not None:
            _switch(draft, deployment, pid, ref, after=(*after, *decided, *ready))


def _is_emergency(draft: _Draft, deployment: Deployment, pid: str) -> bool:
    """Whether a PID's mapping goes first and its calls wait for the process: nothing answers them now anyhow."""
    hold = draft.observed.holds.get(pid)
    return draft.progress[deployment.name].emergency if hold is None else hold.emergency


def _supported(draft: _Draft, deployment: Deployment, resolution: Resolution, pids: list[str]) -> list[str]:
    allow = draft.station.revision.policy.allow_undeclared_pids
    refused = unsupported_pids(resolution, pids, allow_undeclared=allow)
    if refused:
        reason, next_step = unsupported_reason(resolution, refused)
        draft.blocked.extend(
            Blocked(f"pid/{pid}", deployment.name, reason, Code.activation_conflict, next_step) for pid in refused
        )
    return [pid for pid in pids if pid not in refused]


def _install(draft: _Draft, deployment: Deployment, resolution: Resolution) -> tuple[str, ...] | None:
    """Plan the installation, if one is needed; return the objects to wait for, None where it is failing."""
    if resolution.installed:
        return ()
    reason = f"deployment {deployment.name} wants it"
    action = Install(resolution.package, resolution.zip_name, resolution.digest, reason)
    if action.object not in draft.planned:
        failure = draft.observed.failures.get(action.object)
        another = failure is not None and failure.digest not in {"", resolution.digest}
        if not another and draft.backs_off(action.object, deployment.name):
            return None
        draft.add(action)
    return (action.object,)


def _switch(draft: _Draft, deployment: Deployment, pid: str, ref: PackageRef, after: tuple[str, ...]) -> None:
    reason = why_switch(draft.station, deployment, draft.progress[deployment.name], pid, ref)
    installation = draft.observed.installed.get(ref)
    digest = installation.receipt.digest if installation is not None else ""
    action = Switch(pid, deployment.name, draft.active_ref(pid), ref, reason, after, digest)
    if not draft.backs_off(action.object, deployment.name):
        draft.add(action)


def _preview_steps(draft: _Draft, deployment: Deployment) -> None:
    """Name the PIDs of every step of the rollout that is under way, or begins as soon as its package is installed."""
    rollout = draft.progress[deployment.name].rollout
    if rollout is not None and rollout.under_way and deployment.spec.strategy.canary is not None:
        weights = (step.weight for step in rollout.strategy.steps if step.kind == "weight")
        draft.steps.extend(
            StepPreview(deployment.name, f"setWeight {weight}", cohort(rollout.strategy.sequence, weight))
            for weight in weights
        )


def _suspended(draft: _Draft, key: ProcessKey) -> bool:
    deployment = draft.station.revision.by_name.get(key.deployment)
    return draft.serve and deployment is not None and deployment.spec.suspend


def _retire_unneeded(draft: _Draft) -> None:
    """End the processes that neither a deployment wants, nor a PID is still answered by, nor a way back needs.

    What answers goes on until a wanted process of its version is ready, also where its files are damaged or gone.
    """
    processes, mappings = draft.observed.processes, draft.observed.active.values() if draft.serve else ()
    active = {mapping.ref for mapping in mappings if isinstance(mapping, ActiveMapping)}
    answered = {key.ref for key in draft.needed if key in processes and processes[key].serves}
    for key, process in processes.items():
        still_answers = key.ref in active and key.ref not in answered and process.serves
        going_on = draft.progress.get(key.deployment)
        warm = draft.serve and going_on is not None and key.ref in going_on.warm
        if key not in draft.needed and not still_answers and not warm and not _suspended(draft, key):
            draft.add(Retire(key, "no PID needs it any more"))
