"""`pvctl uninstall`: remove an installed version that nothing needs."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import emit, say
from controller.cli.parser import Parser
from controller.cli.progress import progress
from controller.cli.settings import Settings
from controller.station.commands.packages import Uninstall


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("name", metavar="NAME", help="The package's name.")
    parser.add_argument("version", metavar="VERSION", help="Which of its versions.")
    parser.add_argument("--force", action="store_true",
                        help="Deactivate its PIDs that no deployment has first; give up ways back to it.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Remove NAME VERSION from the store. Refused (2007) while a PID, a process or a deployment needs it.

    With --force, PIDs that it answers and no deployment has are deactivated first: their calls fail with 1012 until
    another version is activated. What a deployment wants, pins, holds or may roll back to is refused all the same.

    Examples:
      pvctl uninstall screw-check 1.0.0
      pvctl uninstall screw-check 1.0.0 --force
    """
    with progress() as notify:
        settings.execute(Uninstall(arguments.name, arguments.version, force=arguments.force), notify)
    say(f"{arguments.name}@{arguments.version} is uninstalled; its zip stays in algorithms/zips")
    emit(settings, {"name": arguments.name, "version": arguments.version}, lambda: None)
    return 0
