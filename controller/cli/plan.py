"""`pvctl plan`: what a reconcile would do now, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from controller.cli.output import columns, emit, settings
from controller.cli.settings import global_options

if TYPE_CHECKING:
    from controller.reconciler.preview import Preview


@click.command("plan")
@click.option("--allow-empty", is_flag=True, help="Let a tree without deployments remove everything.")
@click.option("--no-serve", is_flag=True, help="Plan for `reconcile --once --no-serve`.")
@global_options()
def command(allow_empty: bool, no_serve: bool) -> int:
    """Show what a reconcile would do now and why, and what has changed since the last applied revision.

    Changes nothing. Exit code 0: nothing to do; 2: changes pending; 4: the desired state is invalid; 5: something
    desired cannot be done.

    \b
    Examples:
      pvctl plan
      pvctl plan -o json | jq .actions
    """
    preview = settings().station.preview(allow_empty=allow_empty, serve=not no_serve)
    emit(_document(preview), lambda: _print(preview))
    for problem in preview.problems:
        click.echo(problem, err=True)
    return int(preview.exit)


def _document(preview: Preview) -> dict[str, Any]:
    plan = preview.plan
    return {
        "revision": preview.revision_id,
        "errors": list(preview.problems),
        "changes": [asdict(change) for change in preview.changes],
        "actions": [{"kind": type(action).__name__.lower(), "object": action.object, **asdict(action)}
                    for action in plan.actions],
        "steps": [asdict(step) for step in plan.steps],
        "blocked": [asdict(each) for each in plan.blocked],
        "waiting": [asdict(each) for each in plan.waiting],
    }  # fmt: skip


def _print(preview: Preview) -> None:
    click.echo(f"revision {preview.revision_id}")
    for change in preview.changes:
        click.echo(f"  {change}")
    plan = preview.plan
    if plan.empty:
        click.echo("nothing to do")
    if plan.actions:
        rows = [(type(action).__name__.lower(), _object(action), action.reason) for action in plan.actions]
        columns(["ACTION", "OBJECT", "REASON"], rows)
    for step in plan.steps:
        click.echo(f"{step.deployment}: {step.step}: {', '.join(step.pids)}")
    for each in plan.blocked:
        code = f" ({int(each.code)})" if each.code else ""
        click.echo(f"blocked: {each.object}: {each.reason}{code}")
        if each.next_step:
            click.echo(f"  next: {each.next_step}")


def _object(action: Any) -> str:
    moves = f" {action.before or 'nothing'} → {action.target}" if hasattr(action, "target") else ""
    return f"{action.object}{moves}"
