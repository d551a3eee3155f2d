"""Text that fits a screen: how wide it is there, tables that give up columns before names, wrapping, colour.

A line is a list of spans, each a text and a style. Texts are printable already; nothing here knows what they are about.
"""

from __future__ import annotations

import os
import sys

from controller.host.terminal import printable, sayable

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import NamedTuple

    class Column(NamedTuple):
        """A column of a table: the higher `rank`, the sooner it is given up where there is no room; 0: never."""

        header: str
        rank: int = 0

else:
    from collections import namedtuple

    Column = namedtuple("Column", ("header", "rank"), defaults=(0,))

Span = tuple[str, str]
Line = list[Span]

USUAL = 80
"""Columns of a screen where nobody can say: what is printed into a file or a pipe fits there, too."""
_GAP = 2
_SHORTEST = 6
_COLOURS = {"bad": "31", "warn": "33", "good": "32", "head": "1", "": ""}


def screen_width() -> int:
    """Return how many columns there are to print to: what COLUMNS says, else what the terminal has."""
    return max(20, screen_size()[0])


def screen_size() -> tuple[int, int]:
    """Return columns and lines, as `shutil.get_terminal_size` does, which would cost every command 5 ms."""
    said = [os.environ.get(name, "") for name in ("COLUMNS", "LINES")]
    columns, lines = (int(text) if text.isdecimal() else 0 for text in said)
    if not (columns and lines):
        try:
            there = os.get_terminal_size(sys.stdout.fileno())
        except (AttributeError, ValueError, OSError):  # closed, no file, or no terminal
            there = os.terminal_size((USUAL, 24))
        columns, lines = columns or there.columns, lines or there.lines
    return columns or USUAL, lines or 24


def has_colour() -> bool:
    """Whether stdout is a terminal that is to be coloured (https://no-color.org)."""
    out = sys.stdout
    return bool(out and out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def glyph(text: str, instead: str) -> str:
    """Return a text where stdout can say it, else another one."""
    return text if sayable(text, sys.stdout) else instead


def width_of(text: str) -> int:
    """Return how many columns a text takes: two for a wide (East Asian) character, none for one that combines."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(each) else 2 if east_asian_width(each) in {"W", "F"} else 1 for each in text)


def clipped(text: str, width: int) -> str:
    """Return a text cut in its middle where it is wider: names often differ at their ends."""
    if width_of(text) <= width:
        return text
    dots = glyph("…", "~")
    if width <= 1:
        return dots[:width]
    tail = _head(text[::-1], (width - 1) // 2)[::-1]
    return _head(text, width - 1 - width_of(tail)) + dots + tail


def _head(text: str, width: int) -> str:
    """Return as much of a text's beginning as fits."""
    if text.isascii():
        return text[:width]
    taken = ""
    for each in text:
        if width_of(taken + each) > width:
            break
        taken += each
    return taken


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text as lines of at most `width` columns, broken between words; a long path breaks behind a slash.

    The lines after the first one are two columns further in.
    """
    lines: list[str] = []
    line = ""
    for word, spaced in _words(printable(text), max(1, width - len(indent) - 2)):
        longer = f"{line} {word}" if line and spaced else line + word
        if line and width_of(longer) > width - len(indent) - (2 if lines else 0):
            lines.append(line)
            line = word
        else:
            line = longer
    return [indent + ("  " if index else "") + each for index, each in enumerate((*lines, line)) if each]


def _words(text: str, room: int) -> Iterator[tuple[str, bool]]:
    """Yield the words of a text and whether a space comes before them; one that is too long comes in pieces."""
    for word in text.split():
        spaced = True
        if width_of(word) <= room:
            yield word, spaced
            continue
        for part in word.replace("/", "/\0").split("\0"):
            rest = part
            while width_of(rest) > room:
                piece = _head(rest, room) or rest[0]
                yield piece, spaced
                rest, spaced = rest[len(piece) :], False
            if rest:
                yield rest, spaced
            spaced = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[Span]], width: int) -> list[Line]:
    """Return the lines of a table, its headers first. Columns in which nothing stands are left out.

    Where there is no room, columns go by their rank; then the widest texts are cut in their middle.
    """
    kept = [index for index in range(len(columns)) if any(row[index][0] for row in rows) or not columns[index].rank]
    widths = {index: max(width_of(columns[index].header), *(width_of(row[index][0]) for row in rows)) for index in kept}
    while _total(widths) > width and (ranked := [index for index in widths if columns[index].rank]):
        del widths[max(ranked, key=lambda index: columns[index].rank)]
    while _total(widths) > width and (long := [index for index in widths if widths[index] > _SHORTEST]):
        widest = max(long, key=widths.__getitem__)
        widths[widest] -= 1
    lines = [_row([(columns[index].header, "head") for index in widths], list(widths.values()), width)]
    return lines + [_row([row[index] for index in widths], list(widths.values()), width) for row in rows]


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _row(cells: Sequence[Span], widths: Sequence[int], width: int) -> Line:
    line: Line = []
    left = width
    for index, ((text, style), room) in enumerate(zip(cells, widths, strict=True)):
        shown = clipped(text or "-", min(room, left))
        last = index == len(cells) - 1
        line.append((shown, style))
        if not last:
            line.append((" " * (room - width_of(shown) + _GAP), ""))
        left -= room + _GAP
        if left <= 0:
            break
    return line


def painted(line: Iterable[Span], *, colour: bool) -> str:
    """Return a line as it is written to a terminal, or without colour."""
    if not colour:
        return "".join(text for text, _ in line).rstrip()
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if (code := _COLOURS[style]) else text for text, style in line)
