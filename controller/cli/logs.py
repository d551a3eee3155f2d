"""`pvctl logs`: the log of a deployment's processes, or of those that answer a PID."""

from __future__ import annotations

import time
from argparse import Namespace
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from controller.cli.output import flush, say, show_lines
from controller.cli.parameters import count
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.errors import StoreError
from controller.station.commands.records import FindLogs

_POLL_SECONDS = 0.2


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("which", metavar="DEPLOYMENT[@VERSION]|PID",
                        help="Whose log: of all its versions, or of one; of a PID, of what answers it.")  # fmt: skip
    parser.add_argument("-n", "--lines", type=count, default=100, metavar="N",
                        help="How many of the last lines of each process [default: %(default)s].")  # fmt: skip
    parser.add_argument("-f", "--follow", action="store_true",
                        help="Go on printing what is added, until interrupted.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show what the algorithm processes of DEPLOYMENT wrote to stderr (and to stdout, where the SDK diverts it).

    Examples:
      pvctl logs screw-check
      pvctl logs screw-check@1.1.0 -f
      pvctl logs A01
    """
    which = arguments.which
    deployment, _, version = which.partition("@")
    paths = settings.execute(FindLogs(deployment, version or None))
    if not paths:
        raise StoreError(f"no process of {which} has written a log", next_step="see `pvctl status` for deployments")
    for path in paths:
        if len(paths) > 1:
            say(f"==> {path.stem} <==")
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, maxlen=arguments.lines):
                show_lines(line)
    if arguments.follow:
        _follow(paths)
    return 0


def _follow(paths: Sequence[Path]) -> None:
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
                        show_lines(file.read().decode(errors="replace"))
                        flush()
                    seen[path] = path.stat()
    except KeyboardInterrupt:
        return
