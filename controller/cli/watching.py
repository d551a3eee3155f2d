"""A live view in a terminal: redrawn every second, as much as fits, and a last line that says what does not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from controller.cli.output import draw, own_screen
from controller.cli.screen import Line, glyph, has_colour, screen_size, width_of
from controller.cli.status_view import Section

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 1.0
"""Between two looks."""
_FIRST = {"refusal": 1, "deployment": 10, "notice": 2, "PID": 1, "process": 1}
"""Items of a section that come before everything else, by what they are."""
_SHARE = 3
"""Items of each section that come next, before one section may have more."""


def fitted(sections: Sequence[Section], width: int, height: int) -> list[Line]:
    """Return at most `height` lines: the first items of what weighs most, some of each section, then more in order.

    Where something is left out, the last line says how much of what.
    """
    whole = _joined(sections, [len(each.items) for each in sections])
    if len(whole) <= height:
        return whole
    shown, sections = [0] * len(sections), [Section(each.noun, each.items, each.title) for each in sections]
    firsts = [_FIRST.get(each.noun, 0) for each in sections]
    for most in (firsts, [_SHARE] * len(sections), [len(each.items) for each in sections]):
        for index, section in enumerate(sections):
            while shown[index] < min(most[index], len(section.items)):
                if not _show_one_more(sections, shown, index, height - 1):
                    break
    lines = _joined(sections, shown)
    lines += [[("", "")] for _ in range(height - 1 - len(lines))]
    cut = [(len(each.items) - count, each.noun) for each, count in zip(sections, shown, strict=True)]
    return [*lines, [(_sign([(count, noun) for count, noun in cut if count], width), "warn")]]


def _show_one_more(sections: Sequence[Section], shown: list[int], index: int, height: int) -> bool:
    """Count one more item of a section as shown, as much of it as fits; return whether its beginning does."""
    items, at = sections[index].items, shown[index]
    shown[index] += 1
    too_many = len(_joined(sections, shown)) - height
    if too_many <= 0:
        return True
    if too_many < len(items[at]):
        items[at] = items[at][:-too_many]
        items[at][1:] = [*items[at][1:-1], [(f"  {glyph('…', '...')}", "warn")]] if len(items[at]) > 1 else []
        return True
    shown[index] -= 1
    return False


def _sign(cut: Sequence[tuple[int, str]], width: int) -> str:
    """Return what is not shown, as far as one line can say it."""
    dots, named = glyph("…", "..."), [_counted(count, noun) for count, noun in cut]
    whole = f"{dots} not shown: {', '.join(named)}"
    signs = [f"{whole}; `pvctl status` shows all", whole]
    for known in range(len(cut) - 1, 0, -1):
        others = _counted(sum(count for count, _ in cut[known:]), "other row")
        signs.append(f"{dots} not shown: {', '.join(named[:known])}, {others}")
    signs.append(f"{dots} {_counted(sum(count for count, _ in cut), 'row')} cut")
    return next((each for each in signs if width_of(each) <= width), signs[-1][:width])


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
