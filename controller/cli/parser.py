"""The argument parser of every command: argparse that imports little, suggests, and raises instead of exiting."""

from __future__ import annotations

import argparse
import os
from itertools import takewhile

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, NoReturn

_WIDEST = 110


class WrongUsage(Exception):
    """The words of the command line are wrong: what is wrong with them, and which help says more."""

    def __init__(self, message: str, prog: str = "pvctl") -> None:
        super().__init__(message)
        self.message = message
        self.prog = prog


class _Help(argparse.RawDescriptionHelpFormatter):
    """Fills the paragraphs of a description, but leaves one with indented lines (examples, a list) as it is."""

    def __init__(self, prog: str, **options: Any) -> None:
        # argparse makes a formatter for every argument that is added; without a width it would import shutil
        super().__init__(prog, **{"width": _columns(), "max_help_position": 30, **options})

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        from inspect import cleandoc
        from textwrap import fill

        paragraphs = cleandoc(text).split("\n\n")
        return "\n\n".join(part if "\n  " in part else fill(part, width) for part in paragraphs)


def _columns() -> int:
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):  # stdout is no terminal
        columns = 80
    return min(columns or 80, _WIDEST)


class Parser(argparse.ArgumentParser):
    """Parses the words of one command. Raises WrongUsage; `--help` prints and raises SystemExit(0)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, "allow_abbrev": False, **options})

    def parse_known_args(  # type: ignore[override]  # the overloads say no more than this
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, after a look for misspelt options: they explain better what is wrong than what is then missing."""
        self._refuse_unknown(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise WrongUsage."""
        raise WrongUsage(message, self.prog)

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        known = self._option_string_actions
        for word in self._own(words):
            option, separator, _ = word.partition("=")
            if word.startswith("--") and option not in known and (separator or " " not in word):
                raise WrongUsage(f"no option {option}{did_you_mean(option, known)}", self.prog)

    def _own(self, words: Sequence[str]) -> Sequence[str]:
        """Return the words that only this parser can be meant by: those before the name of a command within it."""
        if any(action.nargs == argparse.PARSER for action in self._actions):
            return tuple(takewhile(lambda word: word.startswith("-") and word != "--", words))
        return tuple(takewhile(lambda word: word != "--", words))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" where one of the known words is like it, else nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else ""
