"""`pvctl rollback`: hold a PID or a deployment on an older version."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Rollback


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("subject", metavar="PID|DEPLOYMENT", type=name, help="A PID, or a deployment.")
    parser.add_argument("--to", metavar="VERSION", help="Which version [default: the one before].")
    parser.add_argument("--emergency", action="store_true",
                        help="Switch at once, without waiting for the process to be ready.")  # fmt: skip
    parser.add_argument("--reason", required=True, metavar="TEXT", help="Why, for the audit.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Hold a PID or a deployment on an older version. It outranks the desired state until `pvctl resume`.

    Of a deployment only the PIDs on the version that is left move; the others are held where they are. A pinned PID
    moves only by its pin. Without --to, a version that has answered calls is preferred to one that was only promoted.

    Examples:
      pvctl rollback screw-check --reason "scrap on line A"
      pvctl rollback A01 --to 1.0.0 --emergency --reason "line stopped"
    """
    return operate(
        settings,
        Rollback(arguments.subject, to=arguments.to, emergency=arguments.emergency, reason=arguments.reason or ""),
    )
