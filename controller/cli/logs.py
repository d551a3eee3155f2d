"""`pvctl logs`: the log of a deployment's processes."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import click

from controller.cli.output import settings
from controller.cli.settings import global_options
from controller.errors import StoreError

_POLL_SECONDS = 0.2


@click.command("logs")
@click.argument("which", metavar="DEPLOYMENT[@VERSION]")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="How many of the last lines of each process.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added, until interrupted.")
@global_options()
def command(which: str, lines: int, follow: bool) -> int:
    """Show what the algorithm processes of DEPLOYMENT wrote to stderr (and to stdout, where the SDK diverts it).

    \b
    Examples:
      pvctl logs screw-check
      pvctl logs screw-check@1.1.0 -f
    """
    deployment, _, version = which.partition("@")
    paths: list[Path] = settings().station.log_paths(deployment, version or None)
    if not paths:
        raise StoreError(f"no process of {which} has written a log", next_step="see `pvctl status` for deployments")
    for path in paths:
        if len(paths) > 1:
            click.echo(f"==> {path.stem} <==", err=True)
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, maxlen=lines):
                click.echo(line, nl=False)
    if follow:
        _follow(paths)
    return 0


def _follow(paths: list[Path]) -> None:
    """Print what is added to the logs, across their rotation, until the user interrupts."""
    seen = {path: path.stat() for path in paths}
    try:
        while True:
            time.sleep(_POLL_SECONDS)
            for path in paths:
                if path.exists():
                    start = seen[path].st_size if path.stat().st_ino == seen[path].st_ino else 0
                    with path.open("rb") as file:
                        file.seek(start)
                        click.echo(file.read().decode(errors="replace"), nl=False)
                    seen[path] = path.stat()
    except KeyboardInterrupt:
        return
