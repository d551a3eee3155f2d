"""What the operator's commands (`pvctl promote, pause, resume, abort, retry, rollback`) share; each has its module."""

from __future__ import annotations

from controller.cli.output import emit, show
from controller.cli.settings import Settings
from controller.station.commands.operator import OperatorCommand, Resume, Rollback


def operate(settings: Settings, command: OperatorCommand) -> int:
    """Have a command carried out, and print what will happen."""
    subject = command.subject if isinstance(command, Resume | Rollback) else command.deployment
    message = settings.execute(command).message
    document = {"verb": type(command).__name__.lower(), "subject": subject, "message": message}
    emit(settings, document, lambda: show(message))
    return 0
