"""The exit codes of the command line contract (design section 3.2), and which of several wins."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, as its exit code."""

    done = 0
    failed = 1
    changes_pending = 2
    progressing = 3
    invalid = 4
    degraded = 5


_WORST_FIRST = (Exit.invalid, Exit.failed, Exit.degraded, Exit.progressing, Exit.changes_pending, Exit.done)


def worst(*exits: Exit) -> Exit:
    """Return the exit code that wins (4, 1, 5, 3, 2, 0)."""
    return min(exits, key=_WORST_FIRST.index)
