"""`pvctl down`: end every algorithm process of the store."""

from __future__ import annotations

import click

from controller.cli.output import settings
from controller.cli.settings import global_options


@click.command("down")
@global_options()
def command() -> int:
    """End every algorithm process of the store; mappings stay, so that the next reconcile starts the same versions.

    \b
    Example:
      pvctl down
    """
    for process in settings().station.down():
        click.echo(f"{process}: ended", err=True)
    return 0
