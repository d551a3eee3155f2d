"""A preview as a document: what `pvctl plan -o json` prints and `GET /v1/plan` answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import orjson

from controller.model.actions import SaveRollout
from controller.planning.summary import change_lines, counts, summary
from controller.station.commands.reconciling import PlanDocument
from controller.store.rollout_codec import record_document

if TYPE_CHECKING:
    from controller.model.actions import Action
    from controller.reconciler.preview import Preview


def plan_document(preview: Preview) -> PlanDocument:
    """Return a preview in the form in which it leaves the station."""
    plan = preview.plan
    return cast(PlanDocument, _plain(PlanDocument(
        revision=preview.revision_id,
        summary=counts(plan),
        errors=list(preview.problems),
        changes=[{**asdict(change), "text": str(change)} for change in preview.changes],
        actions=[_action(action) for action in plan.actions],
        steps=[asdict(step) for step in plan.steps],
        blocked=[{**asdict(each), "object": str(each.object)} for each in plan.blocked],
        waiting=[{"what": str(each.object), "deployment": each.deployment, "reason": each.reason}
                 for each in plan.waiting],
        generations=dict(preview.generations),
        promises=list(change_lines(plan)),
        text=summary(plan),
        exit=int(preview.exit),
    )))  # fmt: skip


def _plain(document: object) -> object:
    """Return a document with nothing but JSON's own types."""
    return orjson.loads(orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS))


def _action(action: Action) -> dict[str, Any]:
    """Return an action; what it depends on also under `after`, the name that it had first."""
    depends_on = [str(each) for each in action.depends_on]
    about = {"kind": action.kind, "object": str(action.object)}
    return {**about, **_fields(action), "depends_on": depends_on, "after": depends_on}


def _fields(action: Action) -> dict[str, Any]:
    """Return what an action says; a rollout in the words of its file."""
    if isinstance(action, SaveRollout):
        memory = record_document(action.record)
        return {"deployment": action.deployment, "memory": memory, "reason": action.reason, "before": ""}
    return asdict(action)
