"""`pvctl install`: install a zip by hand."""

from __future__ import annotations

from pathlib import Path

import click

from controller.cli.app import show_error
from controller.cli.output import emit, progress, settings
from controller.cli.settings import global_options
from controller.errors import PackageError


@click.command("install")
@click.argument("zip_path", metavar="ZIP", type=click.Path(path_type=Path))
@global_options()
def command(zip_path: Path) -> int:
    """Install ZIP into the store and keep the zip there. It serves no PID until a deployment says so.

    Exit code 0; 4 where the zip is not a valid package.

    \b
    Example:
      pvctl install deliveries/screw-check-1.1.0.zip
    """
    try:
        with progress() as notify:
            receipt = settings().station.install(zip_path, notify)
    except PackageError as error:
        show_error(error, settings().output)
        return 4
    document = {"name": receipt.name, "version": receipt.version, "digest": receipt.digest}
    emit(document, lambda: click.echo(f"{receipt.ref} is installed"))
    return 0
