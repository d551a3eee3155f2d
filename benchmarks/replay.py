"""Calls at the line while recorded pictures are shown to another version (`pvctl replay`), against calls without that.

Three daemons with the same package, whose calls alternate in blocks: a block of the first lasts as long as a replay of
all that it has recorded, the start of its processes included; a block of the others as long as that. The third one says
how far two equal stations lie apart. One caller calls without a pause, which is more than a line does. See
`line.py` for what is compared, and `group.py` for where it runs.

usage: python -m benchmarks.replay [ROUNDS]
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks.group import own_group
from benchmarks.line import KINDS, Block, Line, images, rows, running
from benchmarks.table import Row, print_table
from tests.waiting import eventually

_RECORDED = 100
_EVERY = {"keep": _RECORDED, "only": ["sample"], "sample": "100%"}
_NOTHING = {"keep": _RECORDED, "only": []}


def run(rounds: int = 6) -> list[Row]:
    """Measure in `rounds` alternating rounds for each picture and kind of algorithm."""
    found: list[Row] = []
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines = [stack.enter_context(running(root / name)) for name in ("replaying", "plain", "control")]
        [newer] = lines[0].station.zips.glob("*1.1.0*.zip")
        lines[0].station.pvctl("install", newer)
        for (size, image), (kind, seconds) in itertools.product(images().items(), KINDS.items()):
            _record(lines[0], image, seconds)
            found += _measure(f"{size}, {kind}", image, seconds, lines, rounds)
    return found


def _record(line: Line, image: npt.NDArray[np.uint8], seconds: float) -> None:
    """Have the station record calls with such a picture, and then none any more."""
    line.station.pvctl("recordings", "delete", "--all", "--yes")
    line.station.desire("bench", "bench", "1.0.0", ["A01"], recording=_EVERY)

    def recorded() -> bool:
        line.block(image, seconds, 0.2)
        time.sleep(0.5)  # they are written down
        return len(line.station.json("recordings", "list", "--last", str(_RECORDED))) == _RECORDED

    eventually(recorded, "recorded calls")
    line.station.desire("bench", "bench", "1.0.0", ["A01"], recording=_NOTHING)


def _measure(
    what: str, image: npt.NDArray[np.uint8], seconds: float, lines: Sequence[Line], rounds: int
) -> Iterator[Row]:
    for line in lines:
        line.block(image, seconds)
    taken: list[list[Block]] = [[] for _ in lines]
    lengths: list[float] = []
    for turn in range(rounds):
        began = time.perf_counter()
        taken[0].append(_beside(lines[0], image, seconds))
        lengths.append(time.perf_counter() - began)
        for index in (1, 2) if turn % 2 else (2, 1):
            taken[index].append(lines[index].block(image, seconds, lengths[-1]))
    yield from rows(what, *taken)
    yield Row(f"  {rounds} replays of {_RECORDED} pictures, each {median(lengths):.1f} s", "", "")


def _beside(line: Line, image: npt.NDArray[np.uint8], seconds: float) -> Block:
    """Call for as long as a replay takes. Raises AssertionError where it showed not everything."""
    command = line.station.command("replay", "bench", "--version", "1.1.0", "-o", "json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        block = line.block(image, seconds, 0.0, lambda: process.poll() is None)
        assert process.stdout is not None
        said = json.load(process.stdout)
    assert process.returncode == 0, said
    return block


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}")
    with own_group():
        met = print_table(run(*map(int, sys.argv[1:])))
    sys.exit(not met)
