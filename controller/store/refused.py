"""`revisions/refused.json`: the trees that were refused lately, with all that was wrong with them, newest first."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from controller.errors import StoreError
from controller.store.atomic import write_atomic
from controller.store.layout import StoreLayout

KEPT = 5
MOST_PROBLEMS = 200
"""Of one tree; of very many, the last line says how many more there were."""


class Refusal(NamedTuple):
    """A tree that was refused: when, where it is, and every problem of it as `validate` prints it."""

    at: str
    source: str
    problems: tuple[str, ...]


class RefusedRevisions:
    """Remembers the refusals of one store. `now` returns an RFC 3339 timestamp."""

    def __init__(self, layout: StoreLayout, now: Callable[[], str]) -> None:
        self._path = layout.refused
        self._now = now

    def read(self) -> tuple[Refusal, ...]:
        """Return the refusals, newest first; nothing where the file cannot be read or understood."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            return tuple(map(_refusal, orjson.loads(self._path.read_bytes())))
        return ()

    def note(self, source: str, problems: Sequence[str]) -> None:
        """Remember a refusal, unless it is the last one once more. What the disk does not take is in the log only."""
        told = tuple(problems[:MOST_PROBLEMS])
        if len(problems) > MOST_PROBLEMS:
            told = (*told, f"and {len(problems) - MOST_PROBLEMS} more; `pvctl validate` lists them")
        known = self.read()
        if known and known[0][1:] == (source, told):
            return
        rows = [Refusal(self._now(), source, told), *known][:KEPT]
        content = orjson.dumps([{"at": each.at, "source": each.source, "errors": each.problems} for each in rows])
        with suppress(StoreError):
            if os.path.isdir(self._path.parent):  # noqa: PTH112 - a mistyped --store makes none
                write_atomic(self._path, content + b"\n", orjson.loads)


def _refusal(row: dict[str, Any]) -> Refusal:
    return Refusal(str(row["at"]), str(row["source"]), tuple(map(str, row["errors"])))
