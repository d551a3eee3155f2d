"""What `pvctl activate` and `pvctl switch` share; each has its module."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import columns, emit
from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.progress import progress
from controller.cli.settings import Settings
from controller.station.commands.activating import Activate, Switch


def add_what_moves(parser: Parser) -> None:
    """Add the version, its PIDs, and whether they are held."""
    parser.add_argument("name", metavar="NAME", help="The package's name.")
    parser.add_argument("version", metavar="VERSION", help="Which of its installed versions.")
    parser.add_argument("--pid", metavar="PID", type=name, action="append", required=True, help="May be repeated.")
    parser.add_argument("--hold", action="store_true",
                        help="Hold PIDs of deployments there until `pvctl resume`; needs --reason.")  # fmt: skip
    parser.add_argument("--reason", metavar="TEXT", default="", help="Why, for the audit.")


def move(settings: Settings, command: type[Activate | Switch], arguments: Namespace) -> int:
    """Have PIDs moved, and print what became of each."""
    wanted = command(arguments.name, arguments.version, tuple(arguments.pid), arguments.reason or "", arguments.hold)
    with progress() as notify:
        done = settings.execute(wanted, notify)
    rows = [(each.pid, each.outcome, each.message) for each in done.pids]
    emit(settings, asdict(done), lambda: columns(["PID", "OUTCOME", "WHAT"], rows))
    return 1 if any(each.error is not None for each in done.pids) else 0
