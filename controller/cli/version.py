"""`pvctl version`: which controller this is."""

from __future__ import annotations

import sys

import click

from controller import __version__
from controller.cli.output import emit
from controller.cli.settings import global_options


@click.command("version")
@global_options()
def command() -> int:
    """Print the versions of the controller and of the interpreter that runs it.

    \b
    Example:
      pvctl version -o json
    """
    python = ".".join(map(str, sys.version_info[:3]))
    emit({"version": __version__, "python": python}, lambda: click.echo(f"pvctl {__version__} (Python {python})"))
    return 0
