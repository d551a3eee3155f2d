"""`pvctl abort`: roll a rollout back."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Abort


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("deployment", metavar="DEPLOYMENT", type=name, help="Whose rollout.")
    parser.add_argument("--reason", metavar="TEXT", help="Why, for the audit.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Roll DEPLOYMENT's rollout back and put the version into quarantine.

    Example:
      pvctl abort screw-check --reason "operators see false alarms"
    """
    return operate(settings, Abort(arguments.deployment, reason=arguments.reason or ""))
