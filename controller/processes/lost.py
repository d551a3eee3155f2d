"""Shims whose store lost its `run` folder: no record and no socket leads to them any more, but their token does.

A token names the folder that it was made in, and a shim keeps that folder open. Where the folder was removed, and
stood in this store as this process's own mount namespace sees it, the shim is this store's. One whose folder still
stands somewhere (the store was moved, or is another's) is not.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.host.environment import TOKEN_VARIABLE
from controller.host.identity import ProcessIdentity, find_processes
from controller.model.observed import ProcessKey

_MOUNTS = "/proc/{}/ns/mnt"


@dataclass(frozen=True, slots=True)
class LostShim:
    """A shim that only its token leads to. `key` None: what it was started with cannot be read."""

    shim: ProcessIdentity
    token: str
    key: ProcessKey | None


def lost_shims(run: Path) -> Iterator[LostShim]:
    """Yield the shims that were started from folders which stood at `run` and are removed."""
    for identity, token in find_processes(TOKEN_VARIABLE):
        if _stood_at(run, identity.os_pid, token):
            yield LostShim(identity, token, _key_of(identity.os_pid, token))


def _stood_at(run: Path, os_pid: int, token: str) -> bool:
    """Whether a process keeps the folder open that its token names, and that was removed from `run`."""
    removed = f"{os.path.realpath(run.parent)}/{run.name} (deleted)"
    try:
        if Path(_MOUNTS.format(os_pid)).readlink() != Path(_MOUNTS.format("self")).readlink():
            return False
        for entry in Path(f"/proc/{os_pid}/fd").iterdir():
            if os.readlink(entry) == removed:  # noqa: PTH115 - the kernel's text, no path
                status = entry.stat()
                own = token.startswith(f"{status.st_dev:x}-{status.st_ino:x}-")
                return own and stat.S_ISDIR(status.st_mode) and status.st_nlink == 0
    except OSError:  # it has ended, or is somebody else's
        return False
    return False


def _key_of(os_pid: int, token: str) -> ProcessKey | None:
    """Return the key in a shim's command line: `shim.py TITLE RUN TOKEN RECORD …`."""
    try:
        arguments = Path(f"/proc/{os_pid}/cmdline").read_bytes().split(b"\0")
        record = json.loads(arguments[arguments.index(token.encode()) + 1])
        return ProcessKey.from_document(record["spec"]["key"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
