"""What the operator's verbs (`pvctl promote, pause, resume, abort, retry, rollback`) share; each has its own module."""

from __future__ import annotations

from typing import Any

from controller.cli.output import emit
from controller.cli.settings import Settings


def operate(settings: Settings, verb: str, subject: str, **arguments: Any) -> int:
    """Have a verb carried out, with the arguments that were given, and print what will happen."""
    given = {name: value for name, value in arguments.items() if value}
    message = settings.station.operate(verb, subject, given)
    emit(settings, {"verb": verb, "subject": subject, "message": message}, lambda: print(message))
    return 0
