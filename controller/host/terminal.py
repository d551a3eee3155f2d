"""Text of strangers on a terminal, and standard streams that take whatever they are given.

An algorithm's exception, a file's name, a caller's reason: whatever was not written here may hold characters that move
a cursor, rewrite what stands above, or turn the reading direction. They are data in every file and in JSON, and
escaped wherever a person reads.
"""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from typing import TextIO

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of what a terminal obeys or hides: C0 and C1 controls, bidi and other invisible format characters,
half of a surrogate pair, line and paragraph separators."""
_SUSPECT = re.compile(r"[^\x20-\x7e]")


def printable(text: str, keep: str = "") -> str:
    """Return a text with every character that a terminal obeys or hides written as an escape such as `\\x1b`.

    Those in `keep` stay. A text that is already printable is returned as it is.
    """
    if text.isprintable():
        return text
    return _SUSPECT.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def printable_lines(text: str) -> str:
    """Return a text of several lines as `printable` does: tabs and line ends stay; a carriage return is a line end."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t")


def printable_json(text: str) -> str:
    """Return JSON text that means the same, with those characters as JSON's own escapes."""
    if text.isprintable():
        return text
    return _SUSPECT.sub(lambda found: found[0] if found[0] == "\n" else _escape_json(found[0]), text)


def sayable(text: str, stream: TextIO | None) -> bool:
    """Whether a stream's encoding has every character of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def open_standard_streams() -> None:
    """Let no text and no missing stream end this process.

    A character that an encoding does not have is written as an escape. A descriptor from 0 to 2 that our parent closed
    is filled with /dev/null: otherwise the next file or socket would get its number, for which libuv aborts and into
    which a child would print.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            filler = os.open(os.devnull, os.O_RDWR)
            if filler != descriptor:
                os.dup2(filler, descriptor)
                os.close(filler)
            os.set_inheritable(descriptor, True)


def _is_seen(character: str) -> bool:
    from unicodedata import category  # noqa: PLC0415 - most text is printable, and most commands are quick

    return category(character) not in _UNSEEN


def _escape(character: str) -> str:
    return character if _is_seen(character) else ascii(character)[1:-1]


def _escape_json(character: str) -> str:
    if _is_seen(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))
