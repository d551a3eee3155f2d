"""Commands in namespaces of their own, where limits of the kernel and mounts are nobody else's."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

import pytest


@cache
def _possible(first: str) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(_apart(first, ["true"]), capture_output=True, check=False).returncode == 0


def _apart(first: str, command: list[str]) -> list[str]:
    """Return a command that does `first` in namespaces of its own, and then becomes another one."""
    return ["unshare", "-Urm", "sh", "-ec", f'{first}; exec "$@"', "sh", *command]


def on_small_disk(folder: Path, command: list[str], *, size: str, inodes: int) -> list[str]:
    """Return a command that runs another one where a folder is a small memory-backed disk; skip where none can be."""
    if not _possible(f"mount -t tmpfs -o size=1M none {shlex.quote(str(folder))}"):
        pytest.skip("this machine has no namespaces in which a test may mount")
    return _apart(f"mount -t tmpfs -o size={size},nr_inodes={inodes} none {shlex.quote(str(folder))}", command)


@contextmanager
def filled(folder: Path, *, inodes: bool = False) -> Iterator[None]:
    """Have a small disk full to its last byte, or with `inodes` to its last file, for the duration of the block."""
    filler = folder / "filler"
    filler.mkdir()
    with suppress(OSError):
        for number in count() if inodes else ():
            (filler / str(number)).touch()
    for size in () if inodes else (1 << 16, 1 << 10, 1):
        with suppress(OSError), (filler / "bytes").open("ab", buffering=0) as file:
            while file.write(bytes(size)):
                pass
    yield
    shutil.rmtree(filler)


def with_inotify(command: list[str], *, instances: int = 128, watches: int = 8192) -> list[str]:
    """Return a command that runs another one where only so much of inotify is to be had; skip where none can be."""
    if not _possible("echo 7 > /proc/sys/user/max_inotify_instances"):
        pytest.skip("this machine has no user namespaces of which a test may set the limits")
    limits = {"instances": instances, "watches": watches}
    first = "; ".join(f"echo {most} > /proc/sys/user/max_inotify_{name}" for name, most in limits.items())
    return _apart(first, command)
