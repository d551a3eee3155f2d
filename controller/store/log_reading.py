"""The end of a log that is rotated by size (`x.log`, before it `x.log.1`, …), and what is added to it. Blocking."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

_BLOCK = 64 * 1024
_MOST = 256 * 1024
"""Bytes that are handed over at once, of what was added."""
_LARGEST = 2 * 2**20
"""Bytes of the last lines, at most: more would keep the calls at the line waiting while they become text."""
_GENERATIONS = 9


class LogFile:
    """One log, open at a place in it. A log that is not there yet, or no more, has nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._place = 0
        self._part = b""
        """The beginning of a line that has no end yet."""

    @property
    def name(self) -> str:
        """What tells it from the others of its folder."""
        return self._path.stem

    def last(self, lines: int) -> str:
        """Return the last lines, older generations included, and go on after them. Raises OSError."""
        found: list[bytes] = []
        self._open(self._path)
        if self._descriptor is not None:
            size = self._place = os.fstat(self._descriptor).st_size
            found = _last_lines(self._descriptor, size, lines)
        for number in range(1, _GENERATIONS + 1):
            if len(found) >= lines or sum(map(len, found)) >= _LARGEST:
                break
            with suppress(FileNotFoundError):
                older = os.open(self._older(number), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    found = _last_lines(older, os.fstat(older).st_size, lines - len(found)) + found
                finally:
                    os.close(older)
        if found and not found[-1].endswith(b"\n"):
            self._part = found.pop()
        return b"".join(found).decode(errors="replace")

    def more(self) -> str:
        """Return whole lines that were added since, across rotations; nothing where none were. Raises OSError."""
        if self._descriptor is None:
            self._open(self._path)
        while self._descriptor is not None:
            data = os.pread(self._descriptor, _MOST, self._place)
            self._place += len(data)
            if data:
                whole, end, self._part = (self._part + data).rpartition(b"\n")
                if not end and len(self._part) >= _MOST:  # a line without an end is not waited for
                    whole, self._part = self._part, b""
                if text := whole + end:
                    return text.decode(errors="replace")
            elif not self._go_on():
                break
        return ""

    def rest(self) -> str:
        """Return the beginning of a line that has no end yet: what a reader that does not follow is shown as well."""
        return self._part.decode(errors="replace")

    def _go_on(self) -> bool:
        """Go to the next newer generation, where this one was rotated away; return whether there is one."""
        assert self._descriptor is not None  # noqa: S101  (see `more`)
        here = os.fstat(self._descriptor)
        newer = None
        for number in range(_GENERATIONS + 1):
            try:
                status = self._older(number).stat()
            except FileNotFoundError:
                if number:
                    break
                continue
            if (status.st_dev, status.st_ino) == (here.st_dev, here.st_ino):
                size = os.fstat(self._descriptor).st_size
                if size < self._place:  # somebody emptied it: it begins anew
                    self._place, self._part = 0, b""
                if size > self._place:
                    return True  # or it was written to before it was rotated
                break
            newer = number
        if newer is None:
            return False
        self._open(self._older(newer))
        return True

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _open(self, path: Path) -> None:
        self.close()
        with suppress(FileNotFoundError):
            self._descriptor, self._place = os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _last_lines(descriptor: int, size: int, lines: int) -> list[bytes]:
    """Return the last lines of a file with their ends."""
    blocks: list[bytes] = []  # from the last on: whoever asks for many lines must not keep the calls waiting
    start, ends = size, 0
    while start > 0 and ends <= lines and size - start < _LARGEST:
        begin = max(0, start - _BLOCK)
        blocks.append(os.pread(descriptor, start - begin, begin))
        ends += blocks[-1].count(b"\n")
        start = begin
    text = b"".join(reversed(blocks))
    found = text.splitlines(keepends=True) if start == 0 else text.splitlines(keepends=True)[1:]
    return found[-lines:] if lines > 0 else []
