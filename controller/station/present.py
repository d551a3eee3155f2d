"""How a station stands, part by part: made of the status document, what is remembered of rollouts, and the revision.

The same in a daemon and without one; nothing here reads or decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from controller.errors import Code, NotFound
from controller.model.desired import Deployment, Revision
from controller.model.document import did_you_mean
from controller.model.package import PackageRef
from controller.model.rollout import Hold, Instant, Memory, PictureTerms, Quarantine, Rollout, RolloutRecord, Step
from controller.model.status_document import DeploymentRow, PidRow, StatusDocument
from controller.model.timestamps import format_timestamp
from controller.rollouts.cohorts import cohort
from controller.rollouts.steps import pin_strategy
from controller.sources.nodes import Problem
from controller.station.commands.present import (
    DeploymentDocument,
    HoldRow,
    PictureTermsRow,
    PidDocument,
    ProblemRow,
    QuarantineRow,
    RefusedRevision,
    RevisionInForce,
    Revisions,
    RolloutRow,
    StepRow,
)
from controller.store.refused import Refusal


class Present:
    """The parts of a station as of one moment, by the documents of the commands in `commands/present.py`."""

    def __init__(self, status: StatusDocument, memory: Memory, revision: Revision | None, now: Instant) -> None:
        self._status = status
        self._memory = memory
        self._revision = revision
        self._now = now

    def deployments(self) -> list[DeploymentDocument]:
        """Return every deployment of the status document."""
        pids: dict[str | None, list[str]] = {}
        for each in self._status["pids"]:
            pids.setdefault(each["deployment"], []).append(each["pid"])
        return [self._deployment(row, pids.get(row["name"], [])) for row in self._status["deployments"]]

    def deployment(self, name: str) -> DeploymentDocument:
        """Return one deployment. Raises NotFound."""
        rows = {each["name"]: each for each in self._status["deployments"]}
        if name not in rows:
            raise _not_found("deployment", name, rows)
        pids = [each["pid"] for each in self._status["pids"] if each["deployment"] == name]
        return self._deployment(rows[name], pids)

    def pids(self) -> list[PidDocument]:
        """Return every PID of the status document."""
        return [self._pid(row) for row in self._status["pids"]]

    def pid(self, name: str) -> PidDocument:
        """Return one PID. Raises NotFound."""
        rows = {each["pid"]: each for each in self._status["pids"]}
        if name not in rows:
            raise _not_found("PID", name, rows)
        return self._pid(rows[name])

    def _pid(self, row: PidRow) -> PidDocument:
        hold = self._memory.holds.get(row["pid"])
        owner = self._revision.by_pid.get(row["pid"]) if self._revision else None
        pinned = owner.spec.pinned.get(row["pid"]) if owner else None
        more = {"hold": _hold(hold) if hold else None, "pinned_to": pinned}
        return cast(PidDocument, {**row, **more})

    def _deployment(self, row: DeploymentRow, pids: Sequence[str]) -> DeploymentDocument:
        record = self._memory.records.get(row["name"], RolloutRecord())
        desired = self._revision.by_name.get(row["name"]) if self._revision else None
        more: dict[str, Any] = {
            "pids": list(pids),
            "steps": self._steps(record.rollout, desired),
            "rollout": _rollout(record.rollout, self._now) if record.rollout else None,
            "quarantine": [_quarantine(each) for each in record.quarantine],
        }
        return cast(DeploymentDocument, {**row, **more})

    def _steps(self, rollout: Rollout | None, desired: Deployment | None) -> list[StepRow]:
        """Return the steps of the rollout to the desired version; before it begins, those that it would have."""
        if rollout is not None and (desired is None or rollout.target == desired.spec.ref):
            return _steps(rollout.strategy.steps, rollout.strategy.sequence, rollout)
        if desired is None:
            return []
        strategy = pin_strategy(desired, self._memory.holds)
        return _steps(strategy.steps, strategy.sequence, None)


def revisions(in_force: Revision | None, refused: Sequence[Refusal]) -> Revisions:
    """Return the document of revisions."""
    row = None if in_force is None else RevisionInForce(
        id=in_force.id, source=in_force.source, loaded_at=in_force.loaded_at,
        deployments=[each.name for each in in_force.deployments], pids=len(in_force.by_pid),
    )  # fmt: skip
    return Revisions(
        row,
        tuple(
            RefusedRevision(at=each.at, source=each.source, errors=[problem_row(text) for text in each.problems])
            for each in refused
        ),
    )


def problem_row(text: str) -> ProblemRow:
    """Return a problem of a tree with its place, where its text names one."""
    problem = Problem.told(text)
    if problem is None:
        return {"message": text}
    mark = problem.mark
    row: ProblemRow = {"file": mark.file, "line": mark.line, "column": mark.column, "message": problem.message}
    return {**row, "path": problem.path} if problem.path else row


def _steps(steps: Sequence[Step], sequence: tuple[str, ...], rollout: Rollout | None) -> list[StepRow]:
    rows, weight = [], 0
    for index, step in enumerate(steps):
        weight = step.weight if step.kind == "weight" else weight
        row = StepRow(
            index=index, kind="setWeight" if step.kind == "weight" else step.kind,
            set_weight=step.weight if step.kind == "weight" else None, pause_s=step.pause, weight=weight,
            pids=list(cohort(sequence, _takes(step, weight))), state=_state(index, rollout),
        )  # fmt: skip
        rows.append({**row, "pictures": _terms(step, step.pictures)} if step.pictures is not None else row)
    return rows


def _takes(step: Step, weight: int) -> int:
    """Return the percent of the PIDs that a step is about."""
    return 100 if step.kind == "replay" else step.weight if step.kind == "shadow" else weight


def _terms(step: Step, terms: PictureTerms) -> PictureTermsRow:
    row = PictureTermsRow(max_newly_ok=terms.max_newly_ok, max_newly_ng=terms.max_newly_ng, iou=terms.iou)
    if step.kind == "replay":
        return {**row, "last": terms.last}
    return {
        **row, "weight": step.weight, "duration_s": terms.duration, "min_samples": terms.min_samples,
        "sample": terms.sample,
    }  # fmt: skip


def _state(index: int, rollout: Rollout | None) -> Literal["done", "current", "ahead"]:
    if rollout is None:
        return "ahead"
    if rollout.state in {"promoted", "completed"} or index < rollout.step:
        return "done"
    return "current" if index == rollout.step else "ahead"


def _rollout(rollout: Rollout, now: Instant) -> RolloutRow:
    timer = rollout.timer if rollout.under_way else None
    remaining = None if timer is None else round(timer.remaining(now), 3)
    runs = timer is not None and timer.since is not None and remaining is not None
    return RolloutRow(
        target=str(rollout.target), state=rollout.state, step=rollout.step, started_at=rollout.started_at,
        bake_until=format_timestamp(now.epoch + remaining) if runs and remaining is not None else None,
        remaining_s=remaining, progress_deadline_s=round(rollout.progress.remaining(now), 3),
        paused_by=rollout.paused_by, suspended_because=rollout.suspended_because, aborted=rollout.aborted,
        reason=rollout.reason, stable=_versions(rollout.stable), back=_versions(rollout.back),
    )  # fmt: skip


def _versions(refs: Mapping[str, PackageRef]) -> dict[str, str]:
    return {pid: ref.version for pid, ref in refs.items()}


def _hold(hold: Hold) -> HoldRow:
    return HoldRow(
        version=hold.package.version, reason=hold.reason, by=hold.actor, at=hold.at, emergency=hold.emergency
    )


def _quarantine(found: Quarantine) -> QuarantineRow:
    return QuarantineRow(
        package=found.package.name, version=found.package.version, digest=found.digest, at=found.at, reason=found.reason
    )


def _not_found(what: str, name: str, known: Mapping[str, object]) -> NotFound:
    return NotFound(
        Code.invalid_pid if what == "PID" else Code.invalid_params,
        f"there is no {what} {name[:80]} in the desired state{did_you_mean(name[:80], known)}",
        next_step="see `pvctl status`",
    )
