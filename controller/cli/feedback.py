"""`pvctl feedback`: report what a part really was."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import emit, show
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.feedback import FeedbackCounted, GiveFeedback

_WORDS = {"right": "the verdict was right", "escape": "an escape: a bad part passed",
          "overkill": "overkill: a good part was thrown away"}  # fmt: skip


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add = parser.add_argument
    add("request_id", metavar="REQUEST_ID", help="The request_id of the detection's answer.")
    add("truth", choices=("OK", "NG"), help="What the part was.")
    add("--source", default="", metavar="TEXT", help="Who says so, such as a station or a person [default: you].")


def run(arguments: Namespace, settings: Settings) -> int:
    """Report what the part of a detection really was, as found out later: at re-inspection, or by a customer.

    Counted for the version that gave the verdict; `health.escapes` and `health.overkill` judge it. Told again, it
    counts once. The daemon must run.

    Examples:
      pvctl feedback 3f0c9d1e NG --source "final inspection"
    """
    found = settings.execute(GiveFeedback(arguments.request_id, arguments.truth, arguments.source))
    emit(settings, asdict(found), lambda: _print(found))
    return 0


def _print(found: FeedbackCounted) -> None:
    show(f"{found.pid}: {found.name}@{found.version} said {found.verdict}, the part was {found.truth}: "
         f"{_WORDS[found.counted]}")  # fmt: skip
