"""Printing: documents as JSON or YAML for machines, lines and aligned columns for people, errors to stderr.

Everything that a command prints goes through here, so that text of strangers is escaped for whoever reads it on a
terminal, and is the same data as ever in a document.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

from controller.cli.settings import Settings
from controller.errors import CodedError, ControllerError, DesiredStateError, OtherTree, RefusedToListen
from controller.host.terminal import printable, printable_json, printable_lines, sayable

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from controller.cli.screen import Span


USAGE = 64
"""Exit code of a wrong usage."""


def show(text: str = "") -> None:
    """Print one line of the result for a person: whatever is in it, it stays one line."""
    print(printable(text))


def show_lines(text: str) -> None:
    """Print lines of the result for a person, with the ends that they have."""
    print(printable_lines(text), end="")


def show_painted(line: Iterable[Span], *, colour: bool) -> None:
    """Print one line of the result, of parts that are printable already, in colour or without."""
    from controller.cli.screen import painted

    print(painted(line, colour=colour))


@contextmanager
def own_screen() -> Iterator[None]:
    """Have the terminal's other screen for a while, and leave what stands in the first one as it was."""
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


def draw(lines: Iterable[Iterable[Span]], *, colour: bool) -> None:
    """Replace what the terminal shows by lines, of parts that are printable already."""
    from controller.cli.screen import painted

    frame = "\x1b[K\r\n".join(painted(line, colour=colour) for line in lines)
    sys.stdout.write(f"\x1b[H{frame}\x1b[K\x1b[J")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line that is not the result to stderr, after what was printed before it. Any thread may."""
    flush()
    if sys.stderr is not None:  # None: its owner closed it
        print(f"{printable(text)}\n", end="", file=sys.stderr, flush=True)  # one write: no line within another's


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
    first, *others = error.message.split("\n")
    say(f"error{code}: {first}")
    for line in others:
        say(f"  {line}")
    if error.next_step:
        say(f"  next: {error.next_step}")
    return USAGE if isinstance(error, OtherTree | RefusedToListen) else 1


def emit(settings: Settings, document: object, table: Callable[[], None]) -> None:
    """Print a document in the form that `-o` asks for; `table` prints it for a person."""
    if settings.output == "table":
        table()
    else:
        write(document, settings.output)


def write(document: object, form: str) -> None:
    """Print a document as `json` or `yaml`: with escapes of that form where a terminal, or stdout, needs them."""
    text = in_form(document, form, ascii_only=False)
    print(text if sayable(text, sys.stdout) else in_form(document, form, ascii_only=True))


def in_form(document: object, form: str, *, ascii_only: bool = False) -> str:
    """Return a document as the text of `json` or `yaml`, without an end of its last line."""
    if form == "json":
        import json

        return printable_json(json.dumps(document, indent=2, ensure_ascii=ascii_only, default=str))
    import yaml

    text: str = yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=not ascii_only).removesuffix("\n")
    if ascii_only or printable_lines(text) == text:
        return text
    return in_form(document, form, ascii_only=True)


def plain(document: object) -> object:
    """Return a document with nothing but JSON's own types."""
    import json

    return json.loads(json.dumps(document, default=str))


def columns(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns, as `kubectl get` does; an empty cell is a dash."""
    from controller.cli.screen import width_of

    shown = (tuple("-" if cell in {None, ""} else printable(str(cell)) for cell in row) for row in rows)
    lines = [tuple(headers), *shown]
    widths = [max(width_of(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        cells = (cell + " " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True))
        show("   ".join(cells).rstrip())
