"""`pvctl run`: the daemon."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parser import Parser
from controller.cli.settings import Settings


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--socket-group", metavar="GROUP",
                        help="Also let this group call the station over its socket.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Keep the station as desired and answer detections at <store>/run/runner.sock, until SIGTERM.

    SIGTERM leaves the algorithm processes running for the next controller; `pvctl down` ends them. SIGHUP reads the
    desired tree again at once. The log goes to stderr and <store>/logs/controller.log as JSON lines.

    Examples:
      pvctl run
      curl --unix-socket runtime_store/run/runner.sock -F image=@part.png http://station/v1/pids/A01/execute
    """
    settings.product.run_daemon(arguments.socket_group)
    return 0
