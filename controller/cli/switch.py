"""`pvctl switch`: have another installed version answer PIDs that one answers now."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.activating import add_what_moves, move
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.activating import Switch


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add_what_moves(parser)


def run(arguments: Namespace, settings: Settings) -> int:
    """Have NAME VERSION, which is installed, answer PIDs that another version answers now. No call is lost to it.

    As `pvctl activate`, but a PID that no version answers is refused (2006): there is nothing to switch from.

    Examples:
      pvctl switch screw-check 1.1.0 --pid T01
      pvctl switch screw-check 1.0.0 --pid A01 --hold --reason "scrap since this morning"
    """
    return move(settings, Switch, arguments)
