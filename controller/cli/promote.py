"""`pvctl promote`: end a rollout's present pause."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Promote


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("deployment", metavar="DEPLOYMENT", type=name, help="Whose rollout.")
    parser.add_argument("--full", action="store_true", help="Skip all pauses to come as well.")


def run(arguments: Namespace, settings: Settings) -> int:
    """End the present pause of DEPLOYMENT's rollout.

    Example:
      pvctl promote screw-check
    """
    return operate(settings, Promote(arguments.deployment, full=arguments.full))
