"""`pvctl restart`: restart a deployment's processes."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.cli.verbs import operate
from controller.station.commands.operator import Restart


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("deployment", metavar="DEPLOYMENT", type=name, help="Whose processes.")
    parser.add_argument("--reason", metavar="TEXT", help="Why, for the audit.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Restart DEPLOYMENT's processes one after the other. Each answers until its successor is ready: no call is lost.

    A successor that does not become ready leaves the old process as it is, and is tried again. For a moment one process
    more needs its memory. `pvctl rollout status DEPLOYMENT` says how it stands.

    Example:
      pvctl restart screw-check --reason "leaks memory; the vendor knows"
    """
    return operate(settings, Restart(arguments.deployment, reason=arguments.reason or ""))
