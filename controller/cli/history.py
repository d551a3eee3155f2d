"""`pvctl history`: which versions answered a PID."""

from __future__ import annotations

from dataclasses import asdict

import click

from controller.cli.output import columns, emit, settings
from controller.cli.settings import global_options
from controller.errors import CallError, Code


@click.command("history")
@click.argument("pid")
@global_options()
def command(pid: str) -> int:
    """Show which versions answered PID, since when, why, and by whose act; oldest first.

    \b
    Example:
      pvctl history A01
    """
    entries = settings().station.history(pid)
    if not entries:
        raise CallError(Code.invalid_pid, f"PID {pid} has no history in this store", next_step="see `pvctl status`")
    rows = [(each.at, each.ref, each.deployment, each.revision[:12], each.actor, each.reason) for each in entries]
    emit(
        [asdict(each) for each in entries],
        lambda: columns(["SINCE", "VERSION", "DEPLOYMENT", "REVISION", "ACTOR", "REASON"], rows),
    )
    return 0
