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
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.group import own_group
from benchmarks.table import Row, milliseconds, print_table
from controller.client import Client
from controller.host.priority import give_way_to_the_line
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.waiting import eventually

_AIM = 1.1
_BLOCK = 0.7
"""Seconds of calls on one station, then the next has its turn."""
_DRAWS = 400
_WORKING = Algorithm(
    body="""
end = time.process_time() + float(params.get("seconds", 0))
while time.process_time() < end:
    pass
return ok()
"""
)
_SHADOW = {"duration": "0s", "minSamples": 10_000_000, "maxNewlyOK": "100%", "maxNewlyNG": "100%"}
_KINDS = {"does nothing": 0.0, "computes for 10 ms": 0.01}


class _Block(NamedTuple):
    """What each call of a block took, and the daemon's processor time for each, in seconds."""

    calls: npt.NDArray[np.float64]
    used: float


@dataclass
class _Line:
    """A caller of one station, each time with another picture."""

    client: Client
    daemon: Daemon
    shadow: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def block(self, image: npt.NDArray[np.uint8], seconds: float) -> _Block:
        took: list[float] = []
        before, end = self._cpu(), time.perf_counter() + _BLOCK
        while (began := time.perf_counter()) < end or len(took) < 2:
            image[0, :400] = next(self._numbers) % 251
            self.client.execute("A01", image, guide_info=[{"seconds": seconds}])
            took.append(time.perf_counter() - began)
        return _Block(np.array(took), (self._cpu() - before) / len(took))

    def _cpu(self) -> float:
        tasks = Path(f"/proc/{self.daemon.os_pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def counts(self) -> Mapping[str, float]:
        """Return how many pictures were compared, and dropped by reason, since the daemon began."""
        _, _, body = self.daemon.fetch("/metrics")
        found = {}
        for line in body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if "ok_ok" in name or name.startswith("procvision_shadow_dropped_total"):
                found["compared" if "ok_ok" in name else name.rpartition('reason="')[2].rstrip('"}')] = float(value)
        return found


@contextmanager
def _running(root: Path, *, shadow: bool) -> Iterator[_Line]:
    station = Station(root)
    daemon = Daemon(station)
    try:
        for version in ("1.0.0", "1.1.0"):
            build_package(station.zips, name="bench", version=version, supported_pids=["A01"], source=_WORKING)
        station.desire("bench", "bench", "1.0.0", ["A01"])
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        os_pid = _begin_shadow(station, daemon) if shadow else 0
        with Client(store=station.store) as client:
            yield _Line(client, daemon, os_pid)
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def _begin_shadow(station: Station, daemon: Daemon) -> int:
    """Begin a shadow step that does not end; return the operating system's number of the shadow process."""
    canary: Mapping[str, Any] = {"steps": [{"shadow": _SHADOW}]}
    station.desire("bench", "bench", "1.1.0", ["A01"], strategy={"canary": canary})

    def ready() -> int:
        rows = (each for each in daemon.status()["processes"] if each.get("shadow") and each["state"] == "ready")
        return next((each["os_pid"] for each in rows), 0)

    return eventually(ready, "a shadow")


def _images() -> dict[str, npt.NDArray[np.uint8]]:
    noise = np.random.default_rng(7)
    shapes = {"640×480": (480, 640, 3), "1920×1200": (1200, 1920, 3)}
    return {name: noise.integers(0, 255, shape, np.uint8) for name, shape in shapes.items()}


def run(rounds: int = 12) -> list[Row]:
    """Measure in `rounds` alternating rounds for each picture and kind of algorithm."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines = [
            stack.enter_context(_running(root / name, shadow=name == "shadowed"))
            for name in ("shadowed", "plain", "control")
        ]
        return [
            row
            for (size, image), (kind, seconds) in itertools.product(_images().items(), _KINDS.items())
            for row in _measure(f"{size}, {kind}", image, seconds, lines, rounds)
        ]


def _measure(
    what: str, image: npt.NDArray[np.uint8], seconds: float, lines: Sequence[_Line], rounds: int
) -> Iterator[Row]:
    """Yield p50 and p99 of a call, what the daemon works for one, and how many pictures were shown."""
    for line in lines:
        line.block(image, seconds)
    time.sleep(0.2)
    taken: list[list[_Block]] = [[] for _ in lines]
    before = lines[0].counts()
    for turn in range(rounds):
        for index in sorted(range(len(lines)), key=lambda each: (each + turn) % len(lines)):
            taken[index].append(lines[index].block(image, seconds))
            time.sleep(0.05)  # so that no block has what waited for the shadow in the block before
    shadowed, plain, control = taken
    for percent in (50, 99):
        (low, high), noise = _range(percent, shadowed, plain), _ratio(percent, control, plain)
        yield Row(
            f"{what}: p{percent} at the line (noise {noise:.2f}; range {low:.2f} to {high:.2f})",
            milliseconds(_percentile(percent, shadowed)), milliseconds(_percentile(percent, plain)),
            _ratio(percent, shadowed, plain), _AIM * max(noise, 1.0),
        )  # fmt: skip
    used, without = ([each.used for each in blocks] for blocks in (shadowed, plain))
    yield Row("  processor time of the daemon for a call", milliseconds(used), milliseconds(without),
              median(used) / median(without))  # fmt: skip
    found = {name: count - before.get(name, 0) for name, count in lines[0].counts().items()}
    calls = sum(len(each.calls) for each in shadowed)
    told = ", ".join(f"{name} {count / calls:.0%}" for name, count in found.items() if count)
    yield Row(f"  of {calls} calls at the line shown to the shadow: {told}", "", "")


def _percentile(percent: float, blocks: Iterable[_Block]) -> float:
    return float(np.percentile(np.concatenate([each.calls for each in blocks]), percent))


def _ratio(percent: float, ours: Sequence[_Block], bare: Sequence[_Block]) -> float:
    return _percentile(percent, ours) / _percentile(percent, bare)


def _range(percent: float, ours: Sequence[_Block], bare: Sequence[_Block]) -> tuple[float, float]:
    """Return between what `_ratio` lies in 95 % of as many rounds drawn from these."""
    draw, pairs = random.Random(1), list(zip(ours, bare, strict=True))  # noqa: S311 - the same range of the same rounds
    drawn = (draw.choices(pairs, k=len(pairs)) for _ in range(_DRAWS))
    found = sorted(_ratio(percent, *map(list, zip(*each, strict=True))) for each in drawn)
    return found[_DRAWS // 40], found[-_DRAWS // 40 - 1]


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
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines = [
            stack.enter_context(_running(root / name, shadow=name == "shadowed"))
            for name in ("shadowed", "plain", "control")
        ]
        image, rows = _images()["1920×1200"], []
        for (name, weigh), (kind, seconds) in itertools.product(_PRIORITIES.items(), _KINDS.items()):
            weigh(lines[0].shadow)
            rows += _measure(f"{name}; {kind}", image, seconds, lines, rounds)
        return rows


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}")
    arguments = [each for each in sys.argv[1:] if each != "--priorities"]
    measure = priorities if "--priorities" in sys.argv else run
    with own_group():
        met = print_table(measure(*map(int, arguments)))
    sys.exit(not met)
