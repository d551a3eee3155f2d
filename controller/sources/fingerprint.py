"""Whether a desired tree may have changed since it was read: cheap, and never asked what it means.

Imports next to nothing: `pvctl status` must answer at once.
"""

from __future__ import annotations

import os
import zlib

_SUFFIXES = (".yaml", ".yml")
_MOST = 100_000
"""Entries that are looked at: a tree has far fewer, and somebody may have named `/`."""


def fingerprint(path: str) -> str:
    """Return a text that is another one whenever a file of desired state below a folder, or in a file, is another.

    It may also change where nothing of meaning did, such as a comment. Empty where the place cannot be read.
    """
    try:
        if os.path.isfile(path):  # noqa: PTH113 - pathlib would cost every `pvctl status` 4 ms
            return f"{_content(path, 0):08x}"
        return f"{_folder(path):08x}"
    except OSError:
        return ""


def _folder(top: str) -> int:
    """Return the sum over every file that may count, in order; links are followed, each folder once."""
    total, seen, looked_at = 0, {_identity(top)}, 0
    for folder, folders, files in os.walk(top, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if _is_new(os.path.join(folder, name), seen)]  # noqa: PTH118
        for name in sorted(files):
            looked_at += 1
            if looked_at > _MOST:
                return total
            if not name.startswith(".") and name.lower().endswith(_SUFFIXES):
                path = os.path.join(folder, name)  # noqa: PTH118
                total = _content(path, zlib.crc32(os.fsencode(path), total))
    return total


def _is_new(path: str, seen: set[tuple[int, int]]) -> bool:
    try:
        identity = _identity(path)
    except OSError:
        return False
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _identity(path: str) -> tuple[int, int]:
    state = os.stat(path)  # noqa: PTH116
    return state.st_dev, state.st_ino


def _content(path: str, total: int) -> int:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            while piece := file.read(1 << 20):
                total = zlib.crc32(piece, total)
    except OSError as error:  # unreadable is a state, too
        total = zlib.crc32(str(error.errno).encode(), total)
    return total
