"""`pvctl activate`: have an installed version answer PIDs."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.activating import add_what_moves, move
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.activating import Activate


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add_what_moves(parser)


def run(arguments: Namespace, settings: Settings) -> int:
    """Have NAME VERSION, which is installed, answer PIDs by hand, whether or not a version answers them now.

    Its process is started and proven first; what answers a PID goes on until then. A PID that a deployment has is
    refused (2006), unless with --hold and --reason: then it is held on this version until `pvctl resume`. A PID that
    none has stays on it until somebody moves it, or a deployment takes it. Exit code 1 where a PID was refused.

    Examples:
      pvctl activate screw-check 1.1.0 --pid T01
      pvctl activate screw-check 1.1.0 --pid A01 --pid A02 --hold --reason "trial on line A"
    """
    return move(settings, Activate, arguments)
