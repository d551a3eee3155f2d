"""`pvctl metrics`: everything that is measured."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import emit, show_lines
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.measuring import GetMetrics


def add_arguments(parser: Parser) -> None:
    """This command takes only the global options."""


def run(arguments: Namespace, settings: Settings) -> int:
    """Print everything that the daemon measures, in the text format of Prometheus. The daemon must run.

    Examples:
      pvctl metrics | grep evidence_progress
    """
    found = settings.execute(GetMetrics())
    emit(settings, {"content_type": found.content_type, "text": found.text}, lambda: show_lines(found.text))
    return 0
