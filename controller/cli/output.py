"""Printing: documents as JSON or YAML for machines, aligned columns for people, errors to stderr."""

from __future__ import annotations

import sys

from controller.cli.settings import Settings
from controller.errors import CodedError, ControllerError, DesiredStateError

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def say(text: str) -> None:
    """Print a line that is not the result to stderr, after what was printed before it."""
    flush()
    if sys.stderr is not None:  # None: its owner closed it
        print(text, file=sys.stderr, flush=True)


def flush() -> None:
    """Hand over what was printed to stdout, if it is open. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def show_error(error: ControllerError, output: str = "table") -> int:
    """Print what is wrong and what to do next; return the exit code that goes with it.

    An error with a code goes to stdout where a machine asked for a document, as the same object as everywhere.
    """
    if isinstance(error, CodedError) and output != "table":
        write({"error": error.to_document()}, output)
        return 1
    if isinstance(error, DesiredStateError):
        for problem in error.problems:
            say(problem)
        return 4
    code = f" [{int(error.code)} {error.code.name}]" if isinstance(error, CodedError) else ""
    say(f"error{code}: {error.message}")
    if error.next_step:
        say(f"  next: {error.next_step}")
    return 1


def emit(settings: Settings, document: object, table: Callable[[], None]) -> None:
    """Print a document in the form that `-o` asks for; `table` prints it for a person."""
    if settings.output == "table":
        table()
    else:
        write(document, settings.output)


def write(document: object, form: str) -> None:
    """Print a document as `json` or `yaml`."""
    if form == "json":
        import json

        print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
        return
    import yaml

    print(yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True), end="")


def plain(document: object) -> object:
    """Return a document with nothing but JSON's own types."""
    import json

    return json.loads(json.dumps(document, default=str))


def columns(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns, as `kubectl get` does; an empty cell is a dash."""
    lines = [tuple(headers), *(tuple("-" if cell in {None, ""} else str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("   ".join(cells).rstrip())
