"""A machine with room, whatever the one has on which tests run: nearly full disks and short memory change what a
daemon does, and must not change what a test comes to. `tests/host_limits.py` has real disks that are full.

Run as a script, with the arguments of `pvctl`, it is `pvctl` on such a machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.host import capacity

_EMPTY = 2**40
"""Bytes and inodes that every disk has and that are free, and bytes of memory."""


@contextmanager
def room() -> Iterator[None]:
    """Let this process see disks and memory that are large and empty."""
    statvfs = os.statvfs

    def empty(path: str | int | os.PathLike[str]) -> os.statvfs_result:
        found = statvfs(path)
        blocks = _EMPTY // found.f_frsize
        return os.statvfs_result([*found[:2], *[blocks] * 3, *[_EMPTY] * 3, *found[8:10]])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", empty)
        patch.setattr(capacity, "_memory", lambda: (_EMPTY, _EMPTY))
        yield


def with_room(command: list[str]) -> list[str]:
    """Return a command of `pvctl` as one that sees such a machine."""
    return [sys.executable, "-P", str(Path(__file__).resolve()), *command[1:]]


if __name__ == "__main__":
    from controller.__main__ import main

    with room():
        main()
