"""`pvctl run`: the daemon."""

from __future__ import annotations

import click

from controller.cli.output import settings
from controller.cli.settings import global_options


@click.command("run")
@click.option("--socket-group", metavar="GROUP", help="Also let this group call the station over its socket.")
@global_options()
def command(socket_group: str | None) -> int:
    """Keep the station as desired and answer detections at <store>/run/runner.sock, until SIGTERM.

    SIGTERM leaves the algorithm processes running for the next controller; `pvctl down` ends them. SIGHUP reads the
    desired tree again at once. The log goes to stderr and <store>/logs/controller.log as JSON lines.

    \b
    Examples:
      pvctl run
      curl --unix-socket runtime_store/run/runner.sock -F image=@part.png http://station/v1/pids/A01/execute
    """
    settings().station.run(socket_group)
    return 0
