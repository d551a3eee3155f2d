"""A live view in a terminal: redrawn every second, as much as fits, and a last line that says what does not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from controller.cli.output import draw, own_screen
from controller.cli.screen import Line, glyph, has_colour, screen_size, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controller.cli.status_view import Section

SECONDS = 1.0
"""Between two looks."""
_SHARE = 3
"""Items of each section that are shown before one section may have more."""


def fitted(sections: Sequence[Section], width: int, height: int) -> list[Line]:
    """Return at most `height` lines: every section's first items, then more of them in the order of the sections.

    Where something is left out, the last line says how much of what.
    """
    whole = _joined(sections, [len(each.items) for each in sections])
    if len(whole) <= height:
        return whole
    shown = [0] * len(sections)
    for most in (1, _SHARE, max(len(each.items) for each in sections)):
        for index, section in enumerate(sections):
            while shown[index] < min(most, len(section.items)):
                shown[index] += 1
                if len(_joined(sections, shown)) > height - 1:
                    shown[index] -= 1
                    break
    lines = _joined(sections, shown)
    cut = [
        _counted(len(section.items) - count, section.noun)
        for section, count in zip(sections, shown, strict=True)
        if count < len(section.items)
    ]
    lines += [[("", "")] for _ in range(height - 1 - len(lines))]
    dots, total = glyph("…", "..."), sum(len(each.items) for each in sections) - sum(shown)
    sign = f"{dots} not shown: {', '.join(cut)}"
    signs = (f"{sign}; `pvctl status` shows all", sign, f"{dots} {total} rows are not shown")
    return [*lines, [(next((each for each in signs if width_of(each) <= width), signs[-1][:width]), "warn")]]


def _joined(sections: Sequence[Section], shown: Sequence[int]) -> list[Line]:
    """Return the first so many items of each section, with an empty line between two sections."""
    lines: list[Line] = []
    for section, count in zip(sections, shown, strict=True):
        if count:
            lines += [[("", "")]] if lines else []
            lines += [*section.title, *(line for item in section.items[:count] for line in item)]
    return lines


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def watch(view: Callable[[int, int], list[Line]]) -> int:
    """Show what `view` returns for a width and a height, again and again until interrupted. Stdout is a terminal."""
    colour = has_colour()
    try:
        with own_screen():
            while True:
                width, height = screen_size()
                draw(view(width, height)[:height], colour=colour)
                time.sleep(SECONDS)
    except KeyboardInterrupt:
        return 0
