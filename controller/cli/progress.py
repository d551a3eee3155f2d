"""Progress on stderr: live on a terminal, one plain line each otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controller.cli.output import say
from controller.host.terminal import printable


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done: live on a terminal, one plain line each otherwise.

    A line reads `object: what`; one that ends in … is a step under way, shown until that object's next line.
    """
    if sys.stderr is None or not sys.stderr.isatty():  # None: its owner closed it
        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bars = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    running: dict[str, TaskID] = {}

    def show(line: str) -> None:
        line = printable(line)
        subject, _, step = line.partition(": ")
        if step.endswith("…"):
            if subject not in running:
                running[subject] = bars.add_task(line, total=None)
            bars.update(running[subject], description=line)
            return
        if subject in running:
            bars.remove_task(running.pop(subject))
        console.print(line, highlight=False, markup=False)

    with bars:
        yield show
