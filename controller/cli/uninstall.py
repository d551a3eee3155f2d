"""`pvctl uninstall`: remove an installed version that nothing needs."""

from __future__ import annotations

import click

from controller.cli.output import emit, settings
from controller.cli.settings import global_options


@click.command("uninstall")
@click.argument("name")
@click.argument("version")
@global_options()
def command(name: str, version: str) -> int:
    """Remove NAME VERSION from the store. Refused (2007) while a PID, a process or a deployment needs it.

    \b
    Example:
      pvctl uninstall screw-check 1.0.0
    """
    settings().station.uninstall(name, version)
    click.echo(f"{name}@{version} is uninstalled; its zip stays in algorithms/zips", err=True)
    emit({"name": name, "version": version}, lambda: None)
    return 0
