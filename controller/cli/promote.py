"""`pvctl promote`: end a rollout's present pause, or pass its replay or shadow."""

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
    parser.add_argument("--full", action="store_true", help="Pass all pauses, replays and shadows to come as well.")
    parser.add_argument("--reason", metavar="TEXT", help="Why, for the audit.")


def run(arguments: Namespace, settings: Settings) -> int:
    """End the present pause of DEPLOYMENT's rollout, or pass the replay or the shadow that it is in.

    Examples:
      pvctl promote screw-check
      pvctl promote screw-check --reason "the 3 differing pictures were looked at"
    """
    return operate(settings, Promote(arguments.deployment, full=arguments.full, reason=arguments.reason or ""))
