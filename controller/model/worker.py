"""The name of a person for whom somebody acts: a kiosk has one user of the system and many workers."""

from __future__ import annotations

from controller.host.terminal import printable

_LONGEST = 64


def worker_name(text: str) -> str:
    """Return a worker's name as it goes on record.

    Raises:
        ValueError: it is empty, longer than 64 characters, or has characters that cannot be seen.
    """
    name = text.strip()
    if not name or len(name) > _LONGEST or printable(name) != name:
        raise ValueError(f"{printable(text)[:_LONGEST]!r} is no name (expected 1 to {_LONGEST} visible characters)")
    return name
