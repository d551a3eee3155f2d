"""`pvctl pause`: stop a rollout where it is."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Pause


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("deployment", metavar="DEPLOYMENT", type=name, help="Whose rollout.")
    parser.add_argument("--reason", metavar="TEXT", help="Why, for the audit.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Stop DEPLOYMENT's rollout where it is, until `pvctl resume`. A failing version is still rolled back.

    Example:
      pvctl pause screw-check
    """
    return operate(settings, Pause(arguments.deployment, reason=arguments.reason or ""))
