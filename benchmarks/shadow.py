"""Calls at the line while every picture of it is also shown to a shadowed version, against calls without a shadow.

Three daemons with the same package, whose calls alternate in blocks: one whose deployment is in a shadow step (100 % of
the PIDs, 100 % of the calls), one without, and a second one without, which says how far two equal stations lie apart:
the noise. One caller calls without a pause, which is more than a line does: on two cores, caller, daemon, algorithm and
shadow never rest. Compared are the percentiles of all calls of either kind; the range is that of 95 % of what drawing
the rounds anew makes of it (the bootstrap, Efron 1979). An algorithm that does nothing is the worst case: what a shadow
costs the daemon is held against calls that take as long as calling takes; the other one computes for 10 ms. All of it
runs in one scheduling group, as a service or a container does (`group.py`).

`--priorities` measures instead what the line feels of a shadow under other priorities than its own.

usage: python -m benchmarks.shadow [ROUNDS] [--priorities]
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.group import own_group
from benchmarks.line import KINDS, Block, Line, images, rows, running
from benchmarks.table import Row, print_table
from controller.host.priority import give_way_to_the_line
from tests.waiting import eventually

_SHADOW = {"duration": "0s", "minSamples": 10_000_000, "maxNewlyOK": "100%", "maxNewlyNG": "100%"}


def _lines(stack: ExitStack) -> list[Line]:
    """Return three lines: the first is shadowed, until the end of the stack."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    found = [stack.enter_context(running(root / name)) for name in ("shadowed", "plain", "control")]
    canary: Mapping[str, Any] = {"steps": [{"shadow": _SHADOW}]}
    found[0].station.desire("bench", "bench", "1.1.0", ["A01"], strategy={"canary": canary})
    eventually(lambda: _shadow(found[0]), "a shadow")
    return found


def _shadow(line: Line) -> int:
    """Return the operating system's number of the shadow process; 0 where there is none yet."""
    each = (row for row in line.daemon.status()["processes"] if row.get("shadow") and row["state"] == "ready")
    return next((row["os_pid"] for row in each), 0)


def _counts(line: Line) -> Mapping[str, float]:
    """Return how many pictures were compared, and dropped by reason, since the daemon began."""
    _, _, body = line.daemon.fetch("/metrics")
    found = {}
    for text in body.decode().splitlines():
        name, _, value = text.rpartition(" ")
        if "ok_ok" in name or name.startswith("procvision_shadow_dropped_total"):
            found["compared" if "ok_ok" in name else name.rpartition('reason="')[2].rstrip('"}')] = float(value)
    return found


def run(rounds: int = 12) -> list[Row]:
    """Measure in `rounds` alternating rounds for each picture and kind of algorithm."""
    with ExitStack() as stack:
        lines = _lines(stack)
        return [
            row
            for (size, image), (kind, seconds) in itertools.product(images().items(), KINDS.items())
            for row in _measure(f"{size}, {kind}", image, seconds, lines, rounds)
        ]


def _measure(
    what: str, image: npt.NDArray[np.uint8], seconds: float, lines: Sequence[Line], rounds: int
) -> Iterator[Row]:
    """Yield p50 and p99 of a call, what the daemon works for one, and how many pictures were shown."""
    for line in lines:
        line.block(image, seconds)
    time.sleep(0.2)
    taken: list[list[Block]] = [[] for _ in lines]
    before = _counts(lines[0])
    for turn in range(rounds):
        for index in sorted(range(len(lines)), key=lambda each: (each + turn) % len(lines)):
            taken[index].append(lines[index].block(image, seconds))
            time.sleep(0.05)  # so that no block has what waited for the shadow in the block before
    yield from rows(what, *taken)
    found = {name: count - before.get(name, 0) for name, count in _counts(lines[0]).items()}
    calls = sum(len(each.calls) for each in taken[0])
    told = ", ".join(f"{name} {count / calls:.0%}" for name, count in found.items() if count)
    yield Row(f"  of {calls} calls at the line shown to the shadow: {told}", "", "")


# What the line feels of other priorities.


def _as_others(os_pid: int) -> None:
    _weigh(os_pid, os.SCHED_OTHER, 0, 0)


def _nice(os_pid: int) -> None:
    _weigh(os_pid, os.SCHED_BATCH, 19, 19)


def _nice_in_its_session(os_pid: int) -> None:
    _weigh(os_pid, os.SCHED_BATCH, 19, 0)


def _idle_in_its_session(os_pid: int) -> None:
    _weigh(os_pid, os.SCHED_IDLE, 19, 0)


def _weigh(os_pid: int, policy: int, nice: int, session: int) -> None:
    os.sched_setscheduler(os_pid, policy, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, os_pid, nice)
    with suppress(OSError):
        Path(f"/proc/{os_pid}/autogroup").write_text(str(session))


_PRIORITIES: Mapping[str, Callable[[int], None]] = {
    "as the line's": _as_others,
    "nice 19, batch, in its session": _nice_in_its_session,
    "nice 19, batch, and its session": _nice,
    "idle, in its session": _idle_in_its_session,
    "idle, and its session (ours)": give_way_to_the_line,
}


def priorities(rounds: int = 12) -> list[Row]:
    """Measure the same calls with shadows under other priorities."""
    with ExitStack() as stack:
        lines = _lines(stack)
        image = images()["1920×1200"]
        found: list[Row] = []
        for (name, weigh), (kind, seconds) in itertools.product(_PRIORITIES.items(), KINDS.items()):
            weigh(_shadow(lines[0]))
            found += _measure(f"{name}; {kind}", image, seconds, lines, rounds)
        return found


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}")
    arguments = [each for each in sys.argv[1:] if each != "--priorities"]
    measure = priorities if "--priorities" in sys.argv else run
    with own_group():
        met = print_table(measure(*map(int, arguments)))
    sys.exit(not met)
