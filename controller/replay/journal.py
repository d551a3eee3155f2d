"""`runtime_store/replays/<deployment>.jsonl`: what came of each picture of a replay, on the disk before it counts.

The first line says which replay it is and which pictures are to be shown, fixed at its beginning; then a line for each
picture, and a last one at its end. A line that a killed writer left unfinished is cut off.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from controller.errors import StoreError
from controller.replay.shown import Shown
from controller.store.atomic import make_folders_durably, write_atomic

FORMAT = 1


@dataclass(slots=True)
class Journal:
    """A replay as far as it was written down. `end` is what its last line says; None: it goes on."""

    mark: Mapping[str, Any]
    wanted: tuple[str, ...]
    shown: list[Shown] = field(default_factory=list)
    memory_bytes: int | None = None
    end: Mapping[str, Any] | None = None

    @property
    def left(self) -> tuple[str, ...]:
        """The pictures that are still to be shown, in their order."""
        done = {each.recording for each in self.shown}
        return tuple(each for each in self.wanted if each not in done)


def read(path: Path) -> Journal | None:
    """Return what a journal holds; None where there is none, or none of this release. Raises StoreError."""
    try:
        with path.open("rb") as file:
            found, _ = _read(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return found


def _read(lines: Iterable[bytes]) -> tuple[Journal | None, int]:
    """Return the journal in whole lines, and how many bytes they have."""
    journal, size = None, 0
    for line in lines:
        try:
            if not line.endswith(b"\n"):
                break
            document = orjson.loads(line)
            if journal is None:
                if document["format"] != FORMAT:
                    break
                journal = Journal(document["mark"], tuple(document["wanted"]))
            elif "end" in document:
                journal.end = document["end"]
            elif "memory_bytes" in document:
                journal.memory_bytes = document["memory_bytes"]
            else:
                journal.shown.append(Shown.from_document(document))
        except (ValueError, KeyError, TypeError):
            break
        size += len(line)
    return journal, size


class JournalFile:
    """A journal that is being written. One writer at a time. Blocking: a thread calls it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def resume(self, mark: Mapping[str, Any]) -> Journal | None:
        """Return the journal of that very replay, to go on with; None where there is none. Raises StoreError."""
        with _disk_errors(self._path):
            try:
                file = self._path.open("r+b")
            except FileNotFoundError:
                return None
            with file:
                journal, size = _read(file)
                if journal is None or journal.mark != mark:
                    return None
                file.truncate(size)
                os.fdatasync(file.fileno())  # who was killed behind a write may not have waited for the disk
        self._open()
        return journal

    def begin(self, mark: Mapping[str, Any], wanted: Iterable[str]) -> Journal:
        """Begin a journal in the place of whatever was there. Raises StoreError."""
        journal = Journal(mark, tuple(wanted))
        with _disk_errors(self._path):
            make_folders_durably([self._path.parent])
            self._path.parent.chmod(0o700)
        head = {"format": FORMAT, "mark": mark, "wanted": journal.wanted}
        write_atomic(self._path, orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE), mode=0o600)
        self._open()
        return journal

    def _open(self) -> None:
        with _disk_errors(self._path):
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def append(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Write lines, and return when the disk has them. Raises StoreError: then none of them counts."""
        if self._file is None:
            raise StoreError(f"{self._path} was not begun")
        data = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in documents)
        with _disk_errors(self._path):
            before = os.fstat(self._file).st_size
            try:
                if os.write(self._file, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, before)
                raise

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}", next_step="check the disk and its free space"
        ) from error
