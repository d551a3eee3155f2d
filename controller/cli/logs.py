"""`pvctl logs`: the log of a deployment's processes, or of those that answer a PID; or the controller's own."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import flush, say, show_lines
from controller.cli.parameters import count
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings
from controller.station.commands.records import ReadLogs

if TYPE_CHECKING:
    from controller.station.commands.events import Feed
    from controller.station.commands.records import LogPiece


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("which", metavar="DEPLOYMENT[@VERSION]|PID", nargs="?", default="",
                        help="Whose log: of all its versions, or of one; of a PID, of what answers it.")  # fmt: skip
    parser.add_argument("--controller", action="store_true", help="The log of the controller itself.")
    parser.add_argument("-n", "--lines", type=count, default=100, metavar="N",
                        help="How many of the last lines of each process [default: %(default)s].")  # fmt: skip
    parser.add_argument("-f", "--follow", action="store_true",
                        help="Go on with what is added, also by processes that start meanwhile.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show what the algorithm processes of DEPLOYMENT wrote to stderr (and to stdout, where the SDK diverts it).

    Examples:
      pvctl logs screw-check
      pvctl logs screw-check@1.1.0 -f
      pvctl logs A01
      pvctl logs --controller -n 20
    """
    from controller.station.port import finish

    deployment, _, version = arguments.which.partition("@")
    if bool(deployment) == arguments.controller:
        raise WrongUsage("name a deployment or a PID, or say --controller", "pvctl logs")
    feed = settings.execute(ReadLogs(deployment, version or None, arguments.lines, arguments.follow))
    try:
        finish(_print(feed))
    except KeyboardInterrupt:
        if not arguments.follow:
            raise
    finally:
        finish(feed.aclose())
    return 0


async def _print(feed: Feed[tuple[LogPiece, ...]]) -> None:
    last, several = "", False
    async for batch in feed:
        several = several or len(batch) > 1
        for piece in batch:
            if piece.log != last and (several or last):
                say(f"==> {piece.log} <==")
            last = piece.log
            show_lines(piece.text)
        flush()
