"""Durable renames by bare system calls, in a process of their own: what a switch and the way back are measured by.

In a process of their own they can be timed at any moment of a benchmark, beside the same load, and share no
interpreter with what makes that load.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

_CONTENT = b'{\n  "name": "bench",\n  "version": "1.0.0",\n  "activated_at": "2026-01-01T00:00:00.000000Z"\n}\n'
_SERVE = "from benchmarks.renames import serve; serve()"
_TIMES = 5


def durable_rename(path: Path) -> None:
    """Replace a file as bare system calls do it durably."""
    temporary = path.with_name(path.name + ".bare")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(descriptor, _CONTENT)
    os.fsync(descriptor)
    os.close(descriptor)
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def timed_renames(folder: Path, count: int) -> float:
    """Return the seconds of `count` durable renames, one after the other."""
    began = time.perf_counter()
    for number in range(count):
        durable_rename(folder / f"bare-{number}")
    return time.perf_counter() - began


def serve() -> None:
    """Time renames in the working folder: for each line a count comes in, and the seconds go out."""
    for line in sys.stdin:
        print(timed_renames(Path.cwd(), int(line)), flush=True)


class Renamer:
    """A process that times durable renames when it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def seconds(self, count: int) -> float:
        """Return the seconds of `count` durable renames now: the median of a few times."""
        return median(self._once(count) for _ in range(_TIMES))

    def _once(self, count: int) -> float:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def renaming(folder: Path) -> Iterator[Renamer]:
    """A process that renames in a folder, which has to be on the store's disk."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with process:
        yield Renamer(process)
        assert process.stdin
        process.stdin.close()
