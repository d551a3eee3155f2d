"""`pvctl resume`: end a pause or a hold."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Resume


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument(
        "subject", metavar="PID|DEPLOYMENT", type=name, help="A PID, or a deployment with all its PIDs."
    )


def run(arguments: Namespace, settings: Settings) -> int:
    """End a pause of a deployment's rollout, or the holds on its PIDs or on one PID.

    Examples:
      pvctl resume screw-check
      pvctl resume A01
    """
    return operate(settings, Resume(arguments.subject))
