"""`pvctl rollout status`: how one rollout stands, and waiting for its end."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import emit, flush, say, show
from controller.cli.parameters import duration, name
from controller.cli.parser import Parser
from controller.cli.selection import deployment_row
from controller.cli.settings import Settings, add_global_options
from controller.station.commands.status import GetStatus

if TYPE_CHECKING:
    from controller.model.status_document import DeploymentRow, StatusDocument

_LOOK_SECONDS = 1.0
_EXIT = {"Healthy": 0, "Degraded": 5}
_UNDER_WAY = 3


def add_arguments(parser: Parser) -> None:
    """Add the command within this one."""
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    look = acts.add_parser("status", help="Show how a rollout stands, or wait for its end.", description=status.__doc__)
    look.add_argument("deployment", metavar="DEPLOYMENT", type=name, help="Whose rollout.")
    look.add_argument("--wait", action="store_true", help="Wait until it has ended, and say how it goes on.")
    look.add_argument("--timeout", type=duration, default=300.0, metavar="DURATION",
                      help="How long to wait at most [default: 5m].")  # fmt: skip
    add_global_options(look)


def run(arguments: Namespace, settings: Settings) -> int:
    """Look at one deployment's rollout, or wait for its end.

    Example:
      pvctl rollout status screw-check --wait --timeout 15m
    """
    return status(arguments, settings)


def status(arguments: Namespace, settings: Settings) -> int:
    """Show how DEPLOYMENT's rollout stands. Waiting changes nothing: it only looks.

    Exit code 0: the desired version is everywhere; 3: still under way, or the time ran out; 5: rolled back or blocked.

    Examples:
      pvctl rollout status screw-check
      pvctl rollout status screw-check --wait --timeout 15m
    """
    until, said, seen = time.monotonic() + arguments.timeout, "", None
    while True:
        document = settings.execute(GetStatus())
        row = deployment_row(arguments.deployment, document)
        code = _EXIT.get(row["phase"], _UNDER_WAY)
        # A tree that was saved a moment ago is not taken yet: an end is one when it was seen twice.
        found = document["revision"]["id"], code
        if not arguments.wait or (code != _UNDER_WAY and found == seen):
            break
        said, seen, left = _tell(settings, row, said), found, until - time.monotonic()
        if left <= 0 or not _goes_on(document):
            code = _UNDER_WAY if left <= 0 else code
            break
        time.sleep(min(_LOOK_SECONDS, left))
    if settings.output == "table":
        _tell(settings, row, said)
    else:
        emit(settings, row, lambda: None)
    return code


def _tell(settings: Settings, row: DeploymentRow, said: str) -> str:
    """Print how a rollout stands, unless that was said last; return it. Where a document is asked for, to stderr."""
    if (line := _line(row)) != said:
        (show if settings.output == "table" else say)(line)
        flush()
    return line


def _goes_on(document: StatusDocument) -> bool:
    """Whether somebody works on the station; says so where nobody does."""
    daemon = document.get("daemon")
    if daemon is None or daemon["alive"]:
        return True
    say("no daemon runs: nothing goes on until `pvctl reconcile --once --wait`, or `pvctl run`")
    return False


def _line(row: DeploymentRow) -> str:
    """Return how a deployment stands, in a line."""
    way = f"{row['actual_weight']}% of the PIDs"
    if row["actual_weight"] != row["desired_weight"]:
        way += f", of {row['desired_weight']}% in this step"
    message = f": {row['message']}" if row["message"] else ""
    return f"{row['name']}: {row['phase']}, {row['package']}@{row['target_version']} on {way}{message}"
