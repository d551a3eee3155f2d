"""`pvctl whoami`: who asks, as the station sees it."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import emit, show
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.present import GetIdentity, Identity


def add_arguments(_parser: Parser) -> None:
    """Add what this command takes: nothing."""


def run(_arguments: Namespace, settings: Settings) -> int:
    """Say who you are to the station, and what you may do: viewer, operator or admin, and see recorded calls.

    Examples:
      pvctl whoami
    """
    found = settings.execute(GetIdentity())
    emit(settings, asdict(found), lambda: _print(found))
    return 0


def _print(found: Identity) -> None:
    show(f"{found.name}: {found.access}{', sees recorded calls' if found.recordings else ''}")
