"""`pvctl history`: which versions answered a PID."""

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
    parser.add_argument("pid", metavar="PID", help="The processing unit.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Show which versions answered PID, since when, why, and by whose act; oldest first.

    Example:
      pvctl history A01
    """
    pid = arguments.pid
    entries = settings.execute(GetHistory(pid))
    if not entries:
        raise CallError(Code.invalid_pid, f"PID {pid} has no history in this store", next_step="see `pvctl status`")
    rows = [(each.at, each.ref, each.deployment, each.revision[:12], each.actor, each.reason) for each in entries]
    emit(
        settings,
        [asdict(each) for each in entries],
        lambda: columns(["SINCE", "VERSION", "DEPLOYMENT", "REVISION", "ACTOR", "REASON"], rows),
    )
    return 0
