"""`pvctl install`: install a zip by hand."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import emit, show, show_error
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.progress import progress
from controller.cli.settings import Settings
from controller.errors import PackageError
from controller.station.commands.packages import Install


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("zip_path", metavar="ZIP", type=path, help="The package.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Install ZIP into the store and keep the zip there. It serves no PID until a deployment names it, or
    `pvctl activate` does.

    Exit code 0; 4 where the zip is not a valid package.

    Example:
      pvctl install deliveries/screw-check-1.1.0.zip
    """
    try:
        with progress() as notify:
            installed = settings.execute(Install(arguments.zip_path), notify)
    except PackageError as error:
        show_error(error, settings.output)
        return 4
    emit(settings, asdict(installed), lambda: show(f"{installed.name}@{installed.version} is installed"))
    return 0
