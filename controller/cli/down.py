"""`pvctl down`: end the daemon and every algorithm process of the store."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import emit, say
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.reconciling import Down


def add_arguments(parser: Parser) -> None:
    """This command takes only the global options."""


def run(arguments: Namespace, settings: Settings) -> int:
    """End the daemon, if one runs, and every algorithm process of the store.

    Mappings stay, so that the next reconcile starts the same versions.

    Example:
      pvctl down
    """
    ended = settings.execute(Down()).ended
    for process in ended:
        say(f"{process}: ended")
    emit(settings, {"ended": list(ended)}, lambda: None if ended else say("no process of this store runs"))
    return 0
