"""What the daemon's imports hold in memory: how much more is resident after each, in the order in which they come.

In an interpreter of its own. A module counts with whatever first needs it, so that the order matters: ssl, for one, is
asyncio's here, and uvicorn and uvloop need it, too. Compiled modules are used where there are any.

usage: python -m benchmarks.imports
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

from benchmarks.table import Row, megabytes, print_table

_STEPS = {
    "argparse": "argparse, of the command line",
    "asyncio": "asyncio, with ssl",
    "uvloop": "uvloop",
    "pydantic.type_adapter": "pydantic",
    "starlette.routing": "starlette",
    "controller.http.uvicorn_parts": "uvicorn",
    "yaml": "YAML",
    "watchdog.observers": "watchdog",
    "controller.__main__ controller.daemon controller.sources.folder controller.packages.deferred": "our own modules",
    "controller.station.metrics.exposition": "prometheus_client, once scraped",
}
_PROGRAM = """
import sys, os
from importlib import import_module

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

print(resident())
for step in sys.argv[1:]:
    for name in step.split():
        import_module(name)
    print(resident())
"""


def run() -> list[Row]:
    """Measure once: a repetition gives the same within a tenth of a megabyte."""
    command = [sys.executable, "-c", _PROGRAM, *_STEPS]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    sizes = [int(line) for line in said.stdout.split()]
    grown = [after - before for before, after in pairwise(sizes)]
    whole = megabytes(sizes[-1])
    return [
        Row("the interpreter", megabytes(sizes[0]), whole),
        *(Row(what, megabytes(size), whole) for what, size in zip(_STEPS.values(), grown, strict=True)),
    ]


if __name__ == "__main__":
    sys.exit(0 if print_table(run()) else 1)
