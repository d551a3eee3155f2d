"""`make bench-peers`: install what is missing, measure all servers in turns, and print the tables.

Each round starts every server anew, calls it by each of its ways with pictures of both sizes, and ends it, so that one
server is there at a time; who comes first changes from round to round. Every answer is checked against the very
pictures that were sent. In the last round, versions are switched under load where a server can. At last ours and Triton
are measured side by side, in short turns, for the aims that name it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import FrameType
from typing import NoReturn

from benchmarks.peers.environments import NotInstalled, python_of
from benchmarks.peers.figures import (
    CLIENT,
    COMPARISONS,
    OURS,
    SHAPES,
    SHARED_MEMORY,
    TRITON,
    ZERO_COPY,
    Case,
    Figures,
    call_tables,
    compared,
    comparison_table,
    server_table,
    switch_table,
)
from benchmarks.peers.running import Cannot, Driver, Failed, load_average, machine

_START, _MEASURE, _SWITCH, _STOP = 120.0, 90.0, 240.0, 90.0
"""Seconds after which each counts as failed."""
_PAIR = {"calls": 20, "seconds": 1.0}
"""The bounds of one turn side by side."""
_QUIET = 0.5
"""The load average up to which a machine counts as one that has nothing else to do."""
_BOTH_ROLES = {(OURS, CLIENT), (OURS, ZERO_COPY), (TRITON, SHARED_MEMORY)}
"""Who is measured with one picture in both roles as well."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    module: str
    kind: str
    group: str | None
    """The dependency group of its environment; None: this one."""


_ENTRIES = (
    _Entry(OURS, "ours", "Ours", None),
    _Entry(TRITON, "triton", "Triton", "peer-triton"),
    _Entry("mosec", "mosec", "Mosec", "peer-mosec"),
    _Entry("Ray Serve", "ray_serve", "RayServe", "peer-ray"),
    _Entry("LitServe", "litserve", "LitServe", "peer-litserve"),
    _Entry("BentoML", "bentoml", "BentoML", "peer-bentoml"),
)


class Run:
    """One run over some servers; as a context, it leaves none of their processes."""

    def __init__(self, folder: Path, calls: int, seconds: float) -> None:
        self.figures = Figures()
        self._folder = folder
        self._limits = {"calls": calls, "seconds": seconds}
        self._drivers: dict[str, Driver] = {}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for name in tuple(self._drivers):
            self._end(name)

    def prepare(self, entry: _Entry) -> None:
        """Install a server and prepare it; where that fails, it has no part in the run, and the tables say why."""
        try:
            python = Path(sys.executable) if entry.group is None else python_of(entry.group)
            self._drivers[entry.name] = Driver(python, entry.module, entry.kind, self._folder / entry.module)
            self._drivers[entry.name].ask("prepare", _START)
        except (NotInstalled, Failed) as error:
            self._give_up(entry.name, error)

    def take_turns(self, entries: Sequence[_Entry], rounds: int, *, switch: bool) -> None:
        for number in range(rounds):
            first = number % len(entries)
            for entry in (*entries[first:], *entries[:first]):
                if entry.name in self._drivers:
                    _say(f"round {number + 1} of {rounds}: {entry.name}")
                    try:
                        self._turn(entry.name, number, switch=switch and number == rounds - 1)
                    except Failed as error:
                        self._give_up(entry.name, error)

    def _turn(self, name: str, number: int, *, switch: bool) -> None:
        driver, figures = self._drivers[name], self.figures
        started = driver.ask("start", _START)
        figures.starts.setdefault(name, []).append(started["seconds"])
        figures.versions[name] = started["versions"]
        for way in started["ways"]:
            for same in (False, True) if (name, way) in _BOTH_ROLES else (False,):
                for size in SHAPES:
                    case = Case(name, way, size, same)
                    figures.add(case, number, self._measure(case, self._limits))
        if switch:
            _say(f"switching versions under load: {name}")
            try:
                figures.switches[name] = driver.ask("switch", _SWITCH, shape=SHAPES["640×480"])
            except Cannot as reason:
                figures.unswitchable[name] = str(reason)
        driver.ask("stop", _STOP)
        driver.sweep()

    def side_by_side(self, pairs: int) -> None:
        """Measure ours and Triton while both are there, in short turns: what disturbs one of a pair disturbs both."""
        if not {OURS, TRITON} <= self._drivers.keys():
            return
        name = OURS
        try:
            ways = {}
            for name in (OURS, TRITON):
                ways[name] = self._drivers[name].ask("start", _START)["ways"]
            for comparison in (each for each in COMPARISONS if each.ours.way in ways[OURS]):
                _say(f"side by side with {TRITON}: {comparison.ours.way}, {comparison.ours.size}")
                for number in range(pairs):
                    took = {}
                    both = (comparison.ours, comparison.triton)
                    for case in both if number % 2 else reversed(both):
                        name = case.peer
                        took[name] = median(self._measure(case, _PAIR))
                    self.figures.pairs.setdefault(comparison, []).append((took[OURS], took[TRITON]))
            for name in (OURS, TRITON):
                self._drivers[name].ask("stop", _STOP)
                self._drivers[name].sweep()
        except Failed as error:
            self._give_up(name, error)

    def _measure(self, case: Case, limits: Mapping[str, float]) -> list[float]:
        order = {"way": case.way, "shape": SHAPES[case.size], "same": case.same, **limits}
        driver = self._drivers[case.peer]
        before = driver.processor_s()
        measured = driver.ask("measure", _MEASURE, **order)
        after = driver.processor_s()
        used = measured["used"] + sum(after[pid] - before[pid] for pid in after.keys() & before.keys())
        self.figures.processor.setdefault(case, []).append(used / measured["made"])
        seconds: list[float] = measured["took"]
        return seconds

    def _give_up(self, name: str, error: Exception) -> None:
        _say(f"{name} is out: {error}")
        self.figures.missing[name] = str(error)
        self._end(name)

    def _end(self, name: str) -> None:
        driver = self._drivers.pop(name, None)
        if driver is not None:
            driver.end()


def _say(text: str) -> None:
    print(f"bench-peers: {text}", file=sys.stderr, flush=True)


def _print(figures: Figures, rounds: int, calls: int, began: float, load: str) -> bool:
    print(f"{machine()}.")
    print(f"{rounds} rounds of up to {calls} calls in {(time.monotonic() - began) / 60:.1f} minutes; "
          f"load average {load} before, {load_average()} after (the run itself included).")  # fmt: skip
    if float(load) > _QUIET:
        print("The machine had other work before the run: compare ratios of a row's rounds, not milliseconds.")
    print()
    tables = [*server_table(figures), "", *call_tables(figures)]
    if figures.switches or figures.unswitchable:
        tables += ["Another version, while two callers call (three times):", "", *switch_table(figures), ""]
    print("\n".join(tables))
    for peer, one in figures.switches.items():
        for why in one["why"]:
            print(f"{peer}, lost: {why}")
    print("\n".join(comparison_table(figures)))
    return all(row.met for row in compared(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds over all servers [default: 5]")
    parser.add_argument(
        "--calls", type=int, default=150, help="calls of a way and size in a round, at most [default: 150]"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for them, at most [default: 2]")
    parser.add_argument("--pairs", type=int, default=15, help="turns side by side with Triton [default: 15]")
    parser.add_argument("--only", metavar="NAME", action="append", help="a server; may be given again [default: all]",
                        choices=[entry.module for entry in _ENTRIES])  # fmt: skip
    parser.add_argument("--no-switch", action="store_true", help="leave out the switches of versions")
    return parser.parse_args()


def _ended(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    """Return 0, or 1 where an aim was missed."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _ended)
    entries = [entry for entry in _ENTRIES if not arguments.only or entry.module in arguments.only]
    began, load = time.monotonic(), load_average()
    with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder:
        with Run(Path(folder), arguments.calls, arguments.seconds) as run:
            for entry in entries:
                run.prepare(entry)
            run.take_turns(entries, arguments.rounds, switch=not arguments.no_switch)
            run.side_by_side(arguments.pairs)
        met = _print(run.figures, arguments.rounds, arguments.calls, began, load)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
