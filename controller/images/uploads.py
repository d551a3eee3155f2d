"""Files in `run/images` into which the daemon receives pictures: the copy out of the socket is the only one.

They are slots as clients have them (`client/slots.py`, ADR 42), and the same rule keeps them: whoever may look at one
holds a shared lock on it, and it is written over only under an exclusive one. Those locks are the daemon's own and an
adapter's; if it is killed, nobody writes to its files any more.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import suppress
from pathlib import Path

from controller.client.slots import Slot

LARGEST = 16 * 2**20
"""Bytes of the largest picture that is received so: a new file's memory is asked for on the event loop."""
_MOST, _KEPT, _KEPT_BYTES, _KEPT_SECONDS = 8, 4, 32 * 2**20, 10.0
_SPARE = 2
"""A new file takes no more than one part in so many of the room that is left: processes need some for their own."""


class Uploads:
    """The files, a few at a time. `folder`: `run/images`; where it is not there, or is full, none is to be had."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idle: list[Slot] = []
        self._doubtful: list[Slot] = []
        self._used = 0
        self._timer: asyncio.TimerHandle | None = None
        weakref.finalize(self, _remove, self._idle, self._doubtful)  # also when the interpreter ends

    def take(self, size: int) -> Slot | None:
        """Return a file of that size, locked against everybody else, with its memory; None: receive it elsewhere."""
        if size > LARGEST:
            return None
        for index, slot in enumerate(self._idle):
            if slot.size == size and slot.claim():
                del self._idle[index]
                self._used += 1
                return slot
        if self._used + len(self._idle) + len(self._doubtful) >= _MOST:
            self._forget()  # those of another size; those that are looked at have a second name, or are locked
        new = None if self._used + len(self._doubtful) >= _MOST else self._new(size)
        self._used += new is not None
        return new

    def _new(self, size: int) -> Slot | None:
        try:
            room = os.statvfs(self._folder)
            if size * _SPARE > room.f_bavail * room.f_frsize:
                return None
            slot = Slot(self._folder, size)
        except OSError:
            return None
        try:
            if slot.claim():
                slot.reserve()
                return slot
        except OSError:
            pass
        slot.remove()
        return None

    def give_back(self, slot: Slot, *, answered: bool) -> None:
        """Take a file back. `answered`: its call ended with a plain answer; else it is never written again.

        An adapter may then still be about to open it, so it keeps its name while the daemon waits for that answer.
        """
        self._used -= 1
        (self._idle if answered else self._doubtful).append(slot)
        while len(self._idle) > _KEPT or sum(slot.size for slot in self._idle) > _KEPT_BYTES:
            self._idle.pop(0).remove()
        self._forget_later()

    def close(self) -> None:
        """Remove all that no request uses: nobody is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
        _remove(self._idle, self._doubtful)

    def _forget(self) -> None:
        """Remove what nobody uses."""
        _remove(self._idle)
        waited_for = []
        for slot in self._doubtful:
            if _is_free(slot):
                slot.remove()
            else:
                waited_for.append(slot)
        self._doubtful[:] = waited_for
        if waited_for:
            self._forget_later()

    def _forget_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget)


def _is_free(slot: Slot) -> bool:
    try:
        return slot.claim()
    except OSError:
        return True


def _remove(*slots: list[Slot]) -> None:
    for each in slots:
        while each:
            with suppress(BufferError):  # its bytes are still being received
                each.pop().remove()
