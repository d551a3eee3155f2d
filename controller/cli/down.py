"""`pvctl down`: end every algorithm process of the store."""

from __future__ import annotations

import click

from controller.cli.output import emit, settings
from controller.cli.settings import global_options


@click.command("down")
@global_options()
def command() -> int:
    """End every algorithm process of the store; mappings stay, so that the next reconcile starts the same versions.

    \b
    Example:
      pvctl down
    """
    ended: tuple[str, ...] = settings().station.down()
    for process in ended:
        click.echo(f"{process}: ended", err=True)
    emit({"ended": list(ended)}, lambda: None if ended else click.echo("no process of this store runs", err=True))
    return 0
