"""`pvctl plan`: what a reconcile would do now, and why."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, say, show
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.reconciling import PreviewPlan

if TYPE_CHECKING:
    from pathlib import Path

    from controller.model.actions import Action
    from controller.reconciler.preview import Preview


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--allow-empty", action="store_true",
                        help="Let a tree without deployments remove everything.")  # fmt: skip
    parser.add_argument("--proposal", action="store_true",
                        help="Plan a tree that is not the station's yet, whatever the daemon keeps.")  # fmt: skip
    parser.add_argument("--out", type=path, metavar="FILE",
                        help="Also write the plan to FILE, for `reconcile --once --plan FILE`.")  # fmt: skip
    parser.add_argument("--no-serve", action="store_true", help="Plan for `reconcile --once --no-serve`.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Show what a reconcile would do now and why, and what has changed since the last applied revision.

    Changes nothing. Exit code 0: nothing to do; 2: changes pending; 4: the desired state is invalid; 5: something
    desired cannot be done.

    A tree that is not the running daemon's is refused (64), unless it is called a proposal.

    Examples:
      pvctl plan
      pvctl plan --desired pull-request/desired --proposal
      pvctl plan --out plan.json && pvctl reconcile --once --plan plan.json
      pvctl plan -o json | jq .actions
    """
    preview = settings.execute(PreviewPlan(arguments.allow_empty, not arguments.no_serve, arguments.proposal))
    emit(settings, _document(preview), lambda: _print(preview))
    if arguments.out:
        _write(arguments.out, preview)
    for problem in preview.problems:
        say(problem)
    return int(preview.exit)


def _document(preview: Preview) -> dict[str, object]:
    from controller.planning.summary import counts

    plan = preview.plan
    return {
        "revision": preview.revision_id,
        "summary": counts(plan),
        "errors": list(preview.problems),
        "changes": [asdict(change) for change in preview.changes],
        "actions": [_action(action) for action in plan.actions],
        "steps": [asdict(step) for step in plan.steps],
        "blocked": [{**asdict(each), "object": str(each.object)} for each in plan.blocked],
        "waiting": [{"what": str(each.object), "deployment": each.deployment, "reason": each.reason}
                    for each in plan.waiting],
    }  # fmt: skip


def _write(file: Path, preview: Preview) -> None:
    from controller.cli.plan_file import write_plan
    from controller.station.planned import planned

    write_plan(file, planned(preview))
    say(f"{file}: written; `pvctl reconcile --once --plan {file}` does this and nothing else")


def _action(action: Action) -> dict[str, object]:
    """Return an action; what it depends on also under `after`, the name that it had first."""
    depends_on = [str(each) for each in action.depends_on]
    about = {"kind": action.kind, "object": str(action.object)}
    return {**about, **_fields(action), "depends_on": depends_on, "after": depends_on}


def _fields(action: Action) -> dict[str, object]:
    """Return what an action says; a rollout in the words of its file."""
    from controller.model.actions import SaveRollout
    from controller.store.rollout_codec import record_document

    if isinstance(action, SaveRollout):
        memory = record_document(action.record)
        return {"deployment": action.deployment, "memory": memory, "reason": action.reason, "before": ""}
    return asdict(action)


def _print(preview: Preview) -> None:
    from controller.planning.summary import summary

    show(f"revision {preview.revision_id}")
    for change in preview.changes:
        show(f"  {change}")
    plan = preview.plan
    if plan.empty and not plan.blocked:
        show("nothing to do")
    if plan.actions:
        rows = [(action.kind, _object(action), action.reason) for action in plan.actions]
        columns(["ACTION", "OBJECT", "REASON"], rows)
    for step in plan.steps:
        show(f"{step.deployment}: {step.step}: {', '.join(step.pids)}")
    for wait in plan.waiting:
        show(f"waiting: {wait.object}: {wait.reason}")
    for each in plan.blocked:
        code = f" ({int(each.code)})" if each.code else ""
        show(f"blocked: {each.object}: {each.reason}{code}")
        if each.next_step:
            show(f"  next: {each.next_step}")
    if plan.actions or plan.blocked:
        show(summary(plan))


def _object(action: Action) -> str:
    from controller.model.actions import Switch

    moves = f" {action.before or 'nothing'} → {action.target}" if isinstance(action, Switch) else ""
    return f"{action.object}{moves}"
