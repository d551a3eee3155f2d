"""A reconcile that may do what was planned, and nothing else."""

from __future__ import annotations

from controller.errors import Code, CodedError
from controller.planning.summary import change_lines
from controller.reconciler.preview import Preview
from controller.station.commands.reconciling import PlanDocument, PlannedChanges


def planned(preview: Preview) -> PlannedChanges:
    """Return what a preview promises."""
    return PlannedChanges(preview.revision_id, dict(preview.generations), change_lines(preview.plan))


def promised(document: PlanDocument) -> PlannedChanges:
    """Return what a plan promises, by its document."""
    return PlannedChanges(document["revision"], document["generations"], tuple(document["promises"]))


def require_planned(promised: PlannedChanges, now: Preview) -> None:
    """Let a reconcile go on that does not do more than was planned. What was done meanwhile is no difference.

    Raises:
        CodedError: 1003, the desired state is another one, or something else would be done.
    """
    present = planned(now)
    names = sorted({*promised.generations, *present.generations})
    changed = [each for each in names if promised.generations.get(each) != present.generations.get(each)]
    others = sorted({*present.changes} - {*promised.changes})
    why = [f"deployment {each} is not as it was planned" for each in changed]
    why += [f"it would also {each}" for each in others]
    if why:
        raise CodedError(
            Code.invalid_params,
            f"this is not what was planned (revision {promised.revision}, now {present.revision}): {'; '.join(why)}",
            next_step="nothing was done; look at `pvctl plan`, and plan again with --out",
            details={"deployments": changed, "changes": others},
        )
