"""Processes that work in a staging folder carry its path in their environment, and are found by it.

So a child that left its process group, or outlived a killed controller, is ended, and never a stranger.
"""

from __future__ import annotations

from pathlib import Path

from controller.host.environment import STAGING_VARIABLE
from controller.host.identity import kill_processes


def mark(folder: Path) -> dict[str, str]:
    """Return what the environment of a process that works in `folder` has to hold."""
    return {STAGING_VARIABLE: str(folder)}


def end_work(staging: Path) -> None:
    """End every process that works in a folder below `staging`, by whatever name the store is called there."""
    place = staging.resolve()
    kill_processes(STAGING_VARIABLE, "", lambda marked: Path(marked).resolve().is_relative_to(place))


def end_processes(folder: Path) -> None:
    """End every process that carries the mark of `folder`, and wait for their ends."""
    kill_processes(STAGING_VARIABLE, str(folder), lambda marked: marked == str(folder))
