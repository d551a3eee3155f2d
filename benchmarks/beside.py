"""Calls at the line while any process works beside it, with a shadow's priority but nothing to do with calls.

What this machine makes of that is what a shadow (`shadow.py`) cannot be better than. The process copies a picture and
computes for as long as the algorithm does, again and again; it stands still in every other block. See `line.py` for
what is compared, and `group.py` for where it runs.

usage: python -m benchmarks.beside [ROUNDS]
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.group import own_group
from benchmarks.line import KINDS, Block, another_process, images, rows, running
from benchmarks.table import Row, print_table

_LITTLE = 0.0005
"""Seconds that a call of an algorithm costs that does nothing."""
_WORKING = """
import os, sys, time
import numpy as np
from controller.host.priority import give_way_to_the_line
give_way_to_the_line(os.getpid())
picture, seconds = np.zeros(tuple(map(int, sys.argv[2:])), np.uint8), float(sys.argv[1])
while True:
    picture.copy()
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    time.sleep(0.002)
"""


def run(rounds: int = 12) -> list[Row]:
    """Measure in `rounds` alternating rounds for each picture and kind of algorithm."""
    found: list[Row] = []
    with ExitStack() as stack:
        line = stack.enter_context(running(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for (size, image), (kind, seconds) in itertools.product(images().items(), KINDS.items()):
            taken: list[list[Block]] = [[], [], []]
            line.block(image, seconds)
            with another_process(_WORKING, seconds or _LITTLE, *image.shape) as other:
                for turn in range(rounds):
                    for index in sorted(range(3), key=lambda each, turn=turn: (each + turn) % 3):  # type: ignore[misc]
                        if not index:
                            other.send_signal(signal.SIGCONT)
                        taken[index].append(line.block(image, seconds))
                        other.send_signal(signal.SIGSTOP)
                        time.sleep(0.05)
            found += rows(f"{size}, {kind}", *taken)
    return found


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}")
    with own_group():
        print_table(run(*map(int, sys.argv[1:])))
