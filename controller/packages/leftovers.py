"""Processes that work in a staging folder carry its path in their environment, and are found by it.

So a child that left its process group, or outlived a killed controller, is ended, and never a stranger.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

MARK = "PVCTL_STAGING"
_DEADLINE_S = 5.0


def mark(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment for a process that works in `folder`."""
    return {**environment, MARK: str(folder)}


def end_processes(folder: Path) -> None:
    """End every process that carries the mark of `folder`, and wait for their ends."""
    token = f"{MARK}={folder}".encode()
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are what is wanted
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):  # it ended meanwhile, or is another user's
                _end_if_marked(int(name), token)


def _end_if_marked(pid: int, token: bytes) -> None:
    process = os.pidfd_open(pid)  # held before it is looked at: the number cannot change hands in between
    try:
        if token in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], _DEADLINE_S)
    finally:
        os.close(process)
