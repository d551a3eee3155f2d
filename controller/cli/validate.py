"""`pvctl validate`: check a desired tree or a file."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import emit, show
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.errors import DesiredStateError


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("path", metavar="PATH", nargs="?", type=path,
                        help="A desired tree or one file [default: what --desired says].")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Check a desired tree or one file of it; no store is needed.

    Every problem is printed as file:line:column, what is wrong and what was expected. Exit code 0 or 4.

    Examples:
      pvctl validate
      pvctl validate desired/line-a.yaml
      pvctl validate -o json desired
    """
    where = arguments.path or settings.desired
    try:
        revision = settings.product.checks().tree(where)
    except DesiredStateError as error:
        problems = error.problems
        emit(settings, {"valid": False, "errors": list(problems)}, lambda: None)
        if settings.output == "table":
            raise
        return 4
    document = {
        "valid": True,
        "errors": [],
        "revision": revision.id,
        "deployments": [each.name for each in revision.deployments],
    }
    pids = len(revision.by_pid)
    emit(settings, document, lambda: show(f"{where}: valid, {len(revision.deployments)} deployments, {pids} PIDs"))
    return 0
