"""Printing: documents as JSON or YAML for machines, aligned columns for people, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from controller.cli.settings import Settings


def settings() -> Settings:
    """Return the global options of the running command."""
    return click.get_current_context().ensure_object(Settings)


def emit(document: Any, table: Callable[[], None]) -> None:
    """Print a document in the form that `-o` asks for; `table` prints it for a person."""
    form = settings().output
    if form == "table":
        table()
    else:
        write(document, form)


def write(document: Any, form: str) -> None:
    """Print a document as `json` or `yaml`."""
    if form == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))
        return
    import yaml

    click.echo(yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True), nl=False)


def plain(document: Any) -> Any:
    """Return a document with nothing but JSON's own types."""
    return json.loads(json.dumps(document, default=str))


def columns(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns, as `kubectl get` does; an empty cell is a dash."""
    lines = [tuple(headers), *(tuple("-" if cell in {None, ""} else str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("   ".join(cells).rstrip())


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done: live on a terminal, one plain line each otherwise.

    A line reads `object: what`; one that ends in … is a step under way, shown until that object's next line.
    """
    if sys.stderr is None or not sys.stderr.isatty():  # None: its owner closed it
        yield lambda line: click.echo(line, err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bars = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    running: dict[str, TaskID] = {}

    def show(line: str) -> None:
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
