"""Exclusive locks on files (`flock`): waited for until a deadline, never for ever, and who holds one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_SHORTEST, _LONGEST = 0.001, 0.05
"""Seconds between two attempts: the kernel has no wait with a deadline."""


def lock_within(descriptor: int, seconds: float) -> bool:
    """Lock an open file exclusively; return whether that came about within `seconds`. Raises OSError."""
    deadline, pause = time.monotonic() + seconds, _SHORTEST
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(_LONGEST, pause * 2)
        else:
            return True


def holders(descriptor: int) -> str:
    """Return a phrase that names who holds locks on an open file, as far as the system tells."""
    found = {os_pid for _, os_pid in _locks(descriptor)}
    return " and ".join(map(_named, sorted(found - {0}))) or "another process"


def held_by_readers(descriptor: int) -> bool:
    """Whether the system tells of shared locks on an open file: then nobody has an exclusive one."""
    return any(kind == "READ" for kind, _ in _locks(descriptor))


def held_by_writer(descriptor: int) -> bool:
    """Whether the system tells of an exclusive lock on an open file."""
    return any(kind == "WRITE" for kind, _ in _locks(descriptor))


def _locks(descriptor: int) -> Iterator[tuple[str, int]]:
    """Yield kind (READ, WRITE) and holder of each lock on an open file; locks that are only waited for are none."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    status = os.fstat(descriptor)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for fields in map(str.split, lines):
        if fields[1] != "->" and fields[5] == place:
            yield fields[3], int(fields[4])


def _named(os_pid: int) -> str:
    try:
        name = Path(f"/proc/{os_pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {os_pid}"
    return f"`{name}` (process {os_pid})"
