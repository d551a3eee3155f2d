"""What a process uses, by the kernel's own files."""

from __future__ import annotations

import os
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_AFTER_NAME = 3
"""The number (proc_pid_stat(5)) of the first field behind the name, which may hold blanks and parentheses."""


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """Resident memory now; processor time so far, of the process and of its children that were waited for."""

    rss_bytes: int
    cpu_seconds: float
    cpu_seconds_of_children: float


def used_by(os_pid: int) -> ResourceUse:
    """Return what a process uses. Raises OSError where there is none."""
    fields = _read(os_pid, "stat").rpartition(b")")[2].split()
    user, system, user_of_children, system_of_children = map(int, fields[14 - _AFTER_NAME : 18 - _AFTER_NAME])
    pages = int(_read(os_pid, "statm").split()[1])
    return ResourceUse(pages * _PAGE, (user + system) / _TICKS, (user_of_children + system_of_children) / _TICKS)


def _read(os_pid: int, name: str) -> bytes:
    with open(f"/proc/{os_pid}/{name}", "rb") as file:  # noqa: PTH123 - once a second for every process, for ever
        return file.read()
