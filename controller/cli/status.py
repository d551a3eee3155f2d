"""`pvctl status`: what is deployed, active and running."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import emit, flush, say, show_painted
from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.screen import Line, has_colour, screen_width, wrapped
from controller.cli.selection import about
from controller.cli.settings import Settings
from controller.cli.status_view import View
from controller.errors import ControllerError
from controller.station.commands.status import GetStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.model.status_document import StatusDocument
    from controller.station.port import Report

_WATCH_SECONDS = 1.0


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("name", metavar="DEPLOYMENT|PID", nargs="?", type=name, help="Only what is about this one.")
    parser.add_argument("-w", "--watch", action="store_true",
                        help="Show it again every second, until interrupted.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show deployments, PIDs, processes and packages as of the last pass, what needs somebody first.

    Without a daemon, processes, the desired tree and the host are looked at now, and the age of the rest is said. The
    table fits the screen (80 columns where there is none); -o wide shows every field in full. Exit code 0, whatever the
    status says; 1 where the store has none yet.

    Examples:
      pvctl status
      pvctl status screw-check
      pvctl status -o wide
      pvctl status -o json | jq '.deployments[] | {name, phase}'
    """

    def status(report: Report | None = None) -> StatusDocument:
        document = settings.execute(GetStatus(), report)
        return about(arguments.name, document) if arguments.name else document

    if arguments.watch:
        return _watch(status, settings)
    document = status(say)
    emit(settings, document, lambda: print_status(document, wide=settings.wide))
    return 0


def _watch(status: Callable[[], StatusDocument], settings: Settings) -> int:
    """Show the status again and again: live on a terminal, one document after another otherwise."""
    if not sys.stdout.isatty() or settings.output != "table":
        return _repeat(lambda: emit(settings, document := status(), lambda: print_status(document, wide=settings.wide)))
    from controller.cli.watching import fitted, watch

    def view(width: int, height: int) -> list[Line]:
        at = time.strftime("%H:%M:%S")
        try:
            sections = View(status(), width, time.time(), wide=settings.wide).sections()
        except ControllerError as error:  # a daemon that is being restarted, say: it is looked for again
            return [[(line, "bad")] for line in wrapped(f"{at} error: {error.message}", width)]
        return [[(at, "head")], *fitted(sections, width, height - 1)]

    return watch(view)


def _repeat(show: Callable[[], None]) -> int:
    try:
        while True:
            show()
            flush()
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def print_status(document: StatusDocument, *, wide: bool = False) -> None:
    """Print a status document for a person."""
    colour = has_colour()
    for index, section in enumerate(View(document, screen_width(), time.time(), wide=wide).sections()):
        if index:
            show_painted([], colour=False)
        for line in section.lines:
            show_painted(line, colour=colour)
