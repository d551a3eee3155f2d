"""Slots: files in `run/images` through which a client hands over its pictures, written over again and again.

A fresh file costs many times what writing over a mapped one does. What makes that safe is one rule, kept by all who
know a file of this prefix (ADR 42):

* Who may look at a slot holds a shared lock (`flock`) on it for as long as that may last: the daemon from when it
  finds the picture until the algorithm has answered and every lease has ended, an adapter for as long as an array of
  it lives.
* A slot is written over only under an exclusive lock, got without waiting; else another one is taken.
* A slot whose call did not end with a plain answer is never written again: who was told to read it may still do so.
* A slot has one size for life: nobody who maps it finds its end gone.

Between its calls its client keeps a shared lock, which tells the daemon's sweep that it is in use. Whoever does not
know the rule (a daemon of before) has read when it answers. The time of the last change is set by hand, because
writing through a map does not set it, and both before and after the pixels: so whoever reads without a lock (what it
had was the daemon's, which was killed) and looks at the file afterwards notices that the picture changed.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmap import mmap

    from controller.client.pictures import Encoded

PREFIX = "client-"
"""How the names of clients' slots begin."""
KEPT = 8
"""Slots that are kept for the next pictures, those that somebody still looks at counted in."""
KEPT_BYTES = 256 * 2**20
_STRIP = 4 * 2**20
"""Bytes that are copied before other threads have their turn."""
_MOST_PIECES = 512
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Slot:
    """One file of `size` bytes. It belongs to one call at a time."""

    def __init__(self, folder: Path, size: int) -> None:
        """Make the file. Raises OSError."""
        self.id = f"{PREFIX}{os.getpid()}-{os.urandom(8).hex()}"
        self.size = size
        self._path = f"{folder}/{self.id}.npy"
        self._descriptor = os.open(self._path, _FLAGS, 0o600)
        self._map: mmap | None = None
        self._view = memoryview(b"")
        self._written = False

    def write(self, pieces: Sequence[memoryview]) -> bool:
        """Write a picture, over what was there; return False, and write nothing, where somebody may look at that.

        Raises:
            OSError: there is no room, or the file is not at its place any more; the slot is of no use then.
        """
        if not self.claim():
            return False
        if self._written:
            self._write_over(pieces)
        else:
            os.fchmod(self._descriptor, 0o640)  # where the folder is a group's, the daemon is another user
            _write_all(self._descriptor, list(pieces))
            self._written = True
        self.show()
        return True

    def claim(self) -> bool:
        """Return whether the file may be written over; then nobody may look at it until `show`. Raises OSError."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # it is lost where it cannot be made exclusive
            return False
        return True

    def show(self) -> None:
        """Let others look at what was written. Raises OSError: the file is not at its place any more."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._require_in_place()  # last: one lock becomes the other in two steps, and a sweep may come between

    def reserve(self) -> None:
        """Have the memory of a new file: there is none left when it is written through its map. Raises OSError."""
        os.posix_fallocate(self._descriptor, 0, self.size)

    def fill(self, data: memoryview) -> None:
        """Write the beginning, without the map: the end of a file that somebody shortened is no signal then."""
        os.pwrite(self._descriptor, data, 0)

    def view(self) -> memoryview:
        """Return the file's bytes, mapped. Raises OSError."""
        if self._map is None:  # not for the first picture: many a client has but one
            from mmap import mmap  # noqa: PLC0415 - an import of the client is to stay as quick as it was

            self._map = mmap(self._descriptor, self.size)
            self._view = memoryview(self._map)
        return self._view

    def content(self) -> bytes:
        """Return a copy of the file. Raises OSError."""
        return os.pread(self._descriptor, self.size, 0)

    def _require_in_place(self) -> None:
        """Raise OSError where the path does not lead to the file: somebody tidied up, or the folder was made anew."""
        at_path, ours = os.stat(self._path), os.fstat(self._descriptor)  # noqa: PTH116 - for every call
        if (at_path.st_dev, at_path.st_ino) != (ours.st_dev, ours.st_ino):
            raise FileNotFoundError(self._path)

    def _write_over(self, pieces: Sequence[memoryview]) -> None:
        view = self.view()
        self._note_change()
        position = 0
        for piece in pieces:
            for start in range(0, len(piece), _STRIP):
                strip = piece[start : start + _STRIP]
                view[position : position + len(strip)] = strip
                position += len(strip)
        self._note_change()

    def _note_change(self) -> None:
        now = time.time_ns()
        os.utime(self._descriptor, ns=(now, now))

    def remove(self) -> None:
        """Delete the file. Whoever has it open goes on reading what it holds."""
        self.let_go()
        with suppress(OSError):  # somebody tidied up
            os.unlink(self._path)  # noqa: PTH108 - the path is text

    def let_go(self) -> None:
        """Close the file, and leave it to whom it belongs: to the process that this one was forked from."""
        if self._map is not None:
            self._view.release()
            self._map.close()
            self._map = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Slots:
    """The slots of one client that no call of its own uses. Several threads may put pictures at once."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._idle: list[Slot] = []
        self._process = os.getpid()

    def put(self, folder: Path, image: Encoded) -> Slot:
        """Return a slot in the folder that holds the picture. Raises OSError: none can be made there."""
        busy: list[Slot] = []
        try:
            while (slot := self._take(image.size)) is not None:
                try:
                    if slot.write(image.pieces):
                        return slot
                except OSError:
                    slot.remove()
                else:
                    busy.append(slot)
        finally:
            self._keep(busy)
        slot = Slot(folder, image.size)
        try:
            if slot.write(image.pieces):
                return slot
        except BaseException:
            slot.remove()
            raise
        slot.remove()
        raise FileNotFoundError(slot.id)  # the daemon's sweep was quicker than our first lock

    def _take(self, size: int) -> Slot | None:
        """Return the slot of that size that was used last; None, there is none."""
        self._require_own()
        with self._lock:
            for index in range(len(self._idle) - 1, -1, -1):
                if self._idle[index].size == size:
                    return self._idle.pop(index)
        return None

    def give_back(self, slot: Slot) -> None:
        """Take a slot back whose call ended with a plain answer."""
        self._keep([slot])

    def _keep(self, slots: Sequence[Slot]) -> None:
        if not slots:
            return
        too_many: list[Slot] = []
        with self._lock:
            self._idle.extend(slots)
            while len(self._idle) > KEPT or sum(slot.size for slot in self._idle) > KEPT_BYTES:
                too_many.append(self._idle.pop(0))
        for slot in too_many:
            slot.remove()

    def clear(self) -> None:
        """Delete all that no call uses."""
        self._require_own()
        with self._lock:
            slots, self._idle = self._idle, []
        for slot in slots:
            slot.remove()

    def _require_own(self) -> None:
        """Forget the slots of the process that this one was forked from: it may be writing over them."""
        if self._process == os.getpid():
            return
        self._lock = _thread.allocate_lock()  # a thread of the parent may have held it
        for slot in self._idle:
            slot.let_go()
        self._idle.clear()
        self._process = os.getpid()


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    while pieces:
        count = os.writev(descriptor, pieces[:_MOST_PIECES])
        while pieces and count >= len(pieces[0]):
            count -= len(pieces.pop(0))
        if count:
            pieces[0] = pieces[0][count:]
