"""`pvctl revisions`: the revision in force, and the trees that were refused lately."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from controller.cli.output import emit, show
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.present import GetRevisions

if TYPE_CHECKING:
    from controller.station.commands.present import ProblemRow, Revisions


def add_arguments(_parser: Parser) -> None:
    """Add what this command takes: nothing."""


def run(_arguments: Namespace, settings: Settings) -> int:
    """Show the revision in force, and the trees that were refused lately, with file and line of each error.

    A tree is taken or refused as a whole; while it is refused, the last valid one stays in force.

    Examples:
      pvctl revisions
      pvctl revisions -o json | jq .refused
    """
    found = settings.execute(GetRevisions())
    emit(settings, asdict(found), lambda: _print(found))
    return 0


def _print(found: Revisions) -> None:
    if (row := found.in_force) is not None:
        show(f"in force: {row['id']} from {row['source']}, loaded {row['loaded_at']}: "
             f"{len(row['deployments'])} deployments, {row['pids']} PIDs")  # fmt: skip
    else:
        show("in force: none")
    for refused in found.refused:
        show(f"refused {refused['at']}: {refused['source']}")
        for error in refused["errors"]:
            show(f"  {_line(error)}")


def _line(error: ProblemRow) -> str:
    place = f"{error['file']}:{error['line']}:{error['column']}" if "file" in error else ""
    return ": ".join(filter(None, (place, error.get("path", ""), error["message"])))
