"""`pvctl validate`: check a desired tree or a file."""

from __future__ import annotations

from pathlib import Path

import click

from controller.cli.output import emit, settings
from controller.cli.settings import global_options
from controller.errors import DesiredStateError


@click.command("validate")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@global_options()
def command(path: Path | None) -> int:
    """Check a desired tree or one file of it; no store is needed.

    Every problem is printed as file:line:column, what is wrong and what was expected. Exit code 0 or 4.

    \b
    Examples:
      pvctl validate
      pvctl validate desired/line-a.yaml
      pvctl validate -o json desired
    """
    where = path or settings().desired
    try:
        revision = settings().station.source(where).load()
    except DesiredStateError as error:
        problems = error.problems
        emit({"valid": False, "errors": list(problems)}, lambda: None)
        if settings().output == "table":
            raise
        return 4
    document = {
        "valid": True,
        "errors": [],
        "revision": revision.id,
        "deployments": [each.name for each in revision.deployments],
    }
    pids = len(revision.by_pid)
    emit(document, lambda: click.echo(f"{where}: valid, {len(revision.deployments)} deployments, {pids} PIDs"))
    return 0
