"""`pvctl retry`: lift a quarantine, or begin a replay anew."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Retry


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("deployment", metavar="DEPLOYMENT", type=name, help="Whose rollout.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Lift the quarantine of DEPLOYMENT's version: it is rolled out once more.

    Where its rollout is in a replay step, the replay begins anew with the recorded calls that are there now.

    Example:
      pvctl retry screw-check
    """
    return operate(settings, Retry(arguments.deployment))
