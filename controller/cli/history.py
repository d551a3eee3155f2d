"""`pvctl history`: which versions answered a PID, or the PIDs of a deployment."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import columns, emit
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.errors import CallError, Code
from controller.station.commands.records import GetHistory


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("subject", metavar="PID|DEPLOYMENT", help="A PID, or a deployment with all its PIDs.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Show which versions answered a PID, since when, why, and by whose act; oldest first.

    Of a deployment: what it made answer each of its PIDs.

    Examples:
      pvctl history A01
      pvctl history screw-check
    """
    subject = arguments.subject
    found = settings.execute(GetHistory(subject))
    if not found:
        raise CallError(
            Code.invalid_pid, f"no PID and no deployment {subject} has a history in this store",
            next_step="see `pvctl status`",
        )  # fmt: skip
    rows = [(each.at, pid, each.ref, each.deployment, each.revision[:12], each.actor, each.reason)
            for pid, each in found]  # fmt: skip
    emit(
        settings,
        [{"pid": pid, **asdict(each)} for pid, each in found],
        lambda: columns(["SINCE", "PID", "VERSION", "DEPLOYMENT", "REVISION", "ACTOR", "REASON"], rows),
    )
    return 0
