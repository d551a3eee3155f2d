"""`pvctl uninstall`: remove an installed version that nothing needs."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import emit, say
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.packages import Uninstall


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("name", metavar="NAME", help="The package's name.")
    parser.add_argument("version", metavar="VERSION", help="Which of its versions.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Remove NAME VERSION from the store. Refused (2007) while a PID, a process or a deployment needs it.

    Example:
      pvctl uninstall screw-check 1.0.0
    """
    settings.execute(Uninstall(arguments.name, arguments.version))
    say(f"{arguments.name}@{arguments.version} is uninstalled; its zip stays in algorithms/zips")
    emit(settings, {"name": arguments.name, "version": arguments.version}, lambda: None)
    return 0
