"""Checking a zip in full beside everything else: `pvctl package validate` in a process that gives way to all others.

It works in the store's staging folder with caches of its own, so that it shares no lock with an installation; what is
left of it when it is ended goes at once, or by the next start's sweep.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from controller.errors import Code
from controller.host.capacity import capacity_of
from controller.host.environment import clean_environment
from controller.host.priority import give_way
from controller.model.package import Verdict
from controller.model.pressure import STORE
from controller.packages.leftovers import end_processes, mark

_PATIENCE_S = 5.0
"""How long a check may take to put itself away when it is told to end."""
_UNPACKED = 10
"""How many times its size a zip takes while it is checked, at most as a rule: unpacked, its wheels, the environment."""
_TRIAL = "pvctl-trial-*"
_JUDGED = 0, 4
"""The exit codes that say something of the zip; others are about this machine."""


class BackgroundCheck:
    """Checks zips, one at a time. `command` is the check's, to which the zip's path is added."""

    def __init__(self, command: Sequence[str], staging: Path) -> None:
        self._command = tuple(command)
        self._staging = staging.absolute()

    async def check(self, zip_path: Path) -> Verdict | None:
        """Return what a full check found; None where it came to no verdict on the zip, for reasons of this machine.

        May be cancelled: then everything of it is ended and removed. Raises OSError where it cannot be begun.
        """
        self._staging.mkdir(parents=True, exist_ok=True)
        self._require_room(zip_path)
        process = await asyncio.create_subprocess_exec(
            *self._command, str(zip_path.absolute()), cwd="/",
            env=clean_environment() | {"TMPDIR": str(self._staging)} | mark(self._staging),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        _give_way(process.pid)
        try:
            output, _ = await process.communicate()
        finally:
            await self._end(process)
        return _verdict(output) if process.returncode in _JUDGED else None

    def _require_room(self, zip_path: Path) -> None:
        """Raise OSError where a check could leave the store too little of its disk: nobody asked for one."""
        disk = capacity_of(self._staging, self._staging).store
        if disk and STORE.holds((disk[0] - _UNPACKED * zip_path.stat().st_size, disk[1]), before=False):
            most = _UNPACKED * zip_path.stat().st_size >> 20
            raise OSError(errno.ENOSPC, f"it may take {most} MiB for a while, and too little of the disk would be left")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End what still runs of a check, and remove what it left."""
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _PATIENCE_S)
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.to_thread(self._clean)

    def _clean(self) -> None:
        for left in self._staging.glob(_TRIAL):
            end_processes(left)
            shutil.rmtree(left, ignore_errors=True)


def _give_way(pid: int) -> None:
    """Let a process, and all that it starts, give way, at the disk too; one that has ended is left as it is."""
    give_way(pid)
    with suppress(OSError, psutil.Error):
        psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_IDLE)


def _verdict(output: bytes) -> Verdict | None:
    """Return what the document of `package validate` says of its one zip; None where it says nothing lasting."""
    try:
        [row] = json.loads(output)
        error = row["error"]
        if error is None:
            return Verdict(row["digest"], None, "")
        if _by_chance(error):
            return None
        return Verdict(row["digest"], int(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return None


def _by_chance(error: dict[str, Any]) -> bool:
    """Whether a proof ended without a word, by time or a signal: that may be because it gave way to all else."""
    status = error["details"].get("exit_status", 0)
    return error["code"] == Code.install_failed and (status is None or status < 0)
