"""`pvctl history`: which versions answered a PID, or the PIDs of a deployment."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import columns, emit
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.records import GetHistory


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("subject", metavar="PID|DEPLOYMENT", help="A PID, or a deployment with all its PIDs.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Show which versions answered a PID, since when, why, and by whose act; oldest first.

    Of a deployment: what it made answer each of its PIDs. What leaves the version as it is, such as a hold or a resume
    that moves nothing, stands in the audit: `pvctl audit --object A01`.

    Examples:
      pvctl history A01
      pvctl history screw-check
    """
    found = settings.execute(GetHistory(arguments.subject))
    rows = [(each.at, each.pid, f"{each.name}@{each.version}" if each.name else None, each.deployment,
             each.revision[:12], each.actor, each.reason) for each in found]  # fmt: skip
    emit(
        settings,
        [asdict(each) for each in found],
        lambda: columns(["SINCE", "PID", "VERSION", "DEPLOYMENT", "REVISION", "ACTOR", "REASON"], rows),
    )
    return 0
