"""`pvctl plan`: what a reconcile would do now, and why."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, say, show
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.reconciling import PreviewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from controller.station.commands.reconciling import PlanDocument


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
    plan = settings.execute(PreviewPlan(arguments.allow_empty, not arguments.no_serve, arguments.proposal))
    emit(settings, plan, lambda: _print(plan))
    if arguments.out:
        _write(arguments.out, plan)
    for problem in plan["errors"]:
        say(problem)
    return plan["exit"]


def _write(file: Path, plan: PlanDocument) -> None:
    from controller.cli.plan_file import write_plan
    from controller.station.planned import promised

    write_plan(file, promised(plan))
    say(f"{file}: written; `pvctl reconcile --once --plan {file}` does this and nothing else")


def _print(plan: PlanDocument) -> None:
    show(f"revision {plan['revision']}")
    for change in plan["changes"]:
        show(f"  {change['text']}")
    actions, blocked = plan["actions"], plan["blocked"]
    if not actions and not blocked:
        show("nothing to do")
    if actions:
        rows = [(action["kind"], _object(action), action["reason"]) for action in actions]
        columns(["ACTION", "OBJECT", "REASON"], rows)
    for step in plan["steps"]:
        show(f"{step['deployment']}: {step['step']}: {', '.join(step['pids'])}")
    for wait in plan["waiting"]:
        show(f"waiting: {wait['what']}: {wait['reason']}")
    for each in blocked:
        code = f" ({each['code']})" if each["code"] else ""
        show(f"blocked: {each['object']}: {each['reason']}{code}")
        if each["next_step"]:
            show(f"  next: {each['next_step']}")
    if actions or blocked:
        show(plan["text"])


def _object(action: Mapping[str, Any]) -> str:
    if action["kind"] != "switch":
        return str(action["object"])
    return f"{action['object']} {_package(action['before'])} → {_package(action['target'])}"


def _package(ref: Mapping[str, str] | None) -> str:
    return f"{ref['name']}@{ref['version']}" if ref else "nothing"
