"""`pvctl validate`: check a desired tree or a file."""

from __future__ import annotations

import sys
from argparse import Namespace

from controller.cli.output import emit, say, show
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.errors import DesiredStateError


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("path", metavar="PATH", nargs="?", type=path,
                        help="A desired tree or one file, - for stdin [default: what --desired says].")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Check a desired tree or one file of it; no store is needed.

    Every problem is printed as file:line:column, what is wrong and what was expected. Exit code 0 or 4. Keys that begin
    with x- (a place for anchors), annotations and creationTimestamp are ignored; of a namespace that is said.

    Examples:
      pvctl validate
      pvctl validate desired/line-a.yaml
      pvctl validate -o json desired
      kustomize build overlays/line-a | pvctl validate -
    """
    where = arguments.path or settings.desired
    checks = settings.product.checks()
    try:
        revision, notes = checks.text(_stdin(), "<stdin>") if str(where) == "-" else checks.tree(where)
    except DesiredStateError as error:
        problems = error.problems
        emit(settings, {"valid": False, "errors": list(problems)}, lambda: None)
        if settings.output == "table":
            raise
        return 4
    for note in notes:
        say(f"warning: {note}")
    document = {
        "valid": True,
        "errors": [],
        "warnings": list(notes),
        "revision": revision.id,
        "deployments": [each.name for each in revision.deployments],
    }
    pids, where = len(revision.by_pid), "<stdin>" if str(where) == "-" else where
    emit(settings, document, lambda: show(f"{where}: valid, {len(revision.deployments)} deployments, {pids} PIDs"))
    return 0


def _stdin() -> bytes:
    """Return the text of stdin, as far as it may be read; nothing where it is closed."""
    from controller.sources.yaml_text import DEFAULT_LIMITS

    return b"" if sys.stdin is None else sys.stdin.buffer.read(DEFAULT_LIMITS.size + 1)
