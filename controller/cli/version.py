"""`pvctl version`: which controller this is."""

from __future__ import annotations

import sys
from argparse import Namespace

from controller import __version__
from controller.cli.output import emit, show
from controller.cli.parser import Parser
from controller.cli.settings import Settings


def add_arguments(parser: Parser) -> None:
    """This command takes only the global options."""


def run(arguments: Namespace, settings: Settings) -> int:
    """Print the versions of the controller and of the interpreter that runs it.

    Example:
      pvctl version -o json
    """
    python = ".".join(map(str, sys.version_info[:3]))
    emit(settings, {"version": __version__, "python": python}, lambda: show(f"pvctl {__version__} (Python {python})"))
    return 0
