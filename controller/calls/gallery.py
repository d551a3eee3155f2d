"""Pictures of parts for whoever looks at them: which calls get one, and which part a picture is of.

A picture is shown with the verdict that was given on it, or not at all. Of an upload, what the caller sent is kept by
reference and handed on when the call is answered. What a caller shares by `image_ref` is the caller's to write over
once the call is answered; so it is copied while the algorithm works, by another process, and dropped where the copy was
not complete before the answer. No call waits for a picture, and while nobody looks no call does anything for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from controller.calls.last_parts import Part
from controller.host.capacity import capacity_of
from controller.images import npy
from controller.images.formats import ImageRef, ImageSource, Picture
from controller.images.reducing import ReducerProcess, Said
from controller.images.slots import StoredImage, looks
from controller.model.last_part import PartPicture
from controller.model.pressure import pressures
from controller.store.layout import StoreLayout
from controller.wire.messages import SharedImage

LOOKED_AT = 60.0
"""Seconds for which pictures are made after somebody looked."""
KEPT = 300.0
"""Seconds after which nothing is kept any more for whoever does not look."""
EVERY = 1.0
"""Seconds between two pictures of one PID, at least."""
APART = 0.25
"""Seconds between two pictures of all, at least."""
SUPERSEDED = 16
"""Pictures, of all PIDs, that are kept after their PID has a newer one: with `APART` between two, each for 4 s at
least, in which who was told of it may still ask for it."""
_MOST_BYTES = 64 * 2**20
_UNCLAIMED = 16


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture that is being copied while its call goes on."""

    key: int


@dataclass(slots=True, eq=False)
class _Pictured:
    """A picture, and the part that it is of."""

    key: int
    part: Part


class Gallery:
    """The pictures of one daemon. `short` says, once a second, whether memory is too short for pictures.

    Until `allow` has said what the StationPolicy says, there are none. `wanted`: somebody looks, and pictures may be
    made. Calls look at nothing else.
    """

    def __init__(self, short: Callable[[], bool] = lambda: False) -> None:
        self.wanted = False
        self._short = short
        self._enabled = False
        self._looked = float("-inf")
        self._keys = itertools.count(1)
        self._next: dict[str, float] = {}
        self._next_of_all = 0.0
        self._writing = False
        self._of: dict[int, Part] = {}
        self._unclaimed: OrderedDict[int, PartPicture | None] = OrderedDict()
        self._shown: dict[str, deque[_Pictured]] = {}
        self._superseded: deque[_Pictured] = deque()
        self._handing: set[asyncio.Task[None]] = set()
        self._reducer = ReducerProcess(self._reduced, self._forget_all)

    # Whether pictures are made.

    def allow(self, *, pictures: bool) -> None:
        """Take what the StationPolicy says: where it says no, nothing is made and nothing is kept."""
        self._enabled = pictures
        self.tend()

    def look(self) -> None:
        """Note that somebody looks at the parts: pictures are made of those to come, for a while."""
        self._looked = time.monotonic()
        if not self.wanted:
            self.tend()

    def tend(self) -> None:
        """See whether pictures are still wanted; to be called about once a second."""
        since = time.monotonic() - self._looked
        looked_at = self._enabled and since < LOOKED_AT
        self.wanted = looked_at and not self._short()
        if self.wanted:
            self._reducer.start()
        elif not self._enabled or since > KEPT:
            self._end()

    def _end(self) -> None:
        if self._reducer.there:
            self._keep_task(self._reducer.close())

    async def close(self) -> None:
        """End what makes pictures; all of them are gone."""
        self.wanted = self._enabled = False
        await asyncio.gather(*self._handing, return_exceptions=True)
        await self._reducer.close()

    # In the way of a call: only where `wanted`.

    def copy(self, pid: str, image: SharedImage) -> Copy | None:
        """Begin to copy a picture that the caller shares, where it is its turn; None where it is not."""
        if not isinstance(image, StoredImage) or image.ours or not self._due(pid):
            return None
        try:
            descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            header = npy.read_header(os.pread(descriptor, npy.MAX_HEADER, 0))
            if header.fortran_order or header.end > _MOST_BYTES or looks(os.fstat(descriptor)) != image.look:
                return None
            key = self._take(pid, descriptor, shape=header.shape, offset=header.offset, order=image.color_space)
        except (OSError, npy.NotAnImage):
            return None
        finally:
            os.close(descriptor)
        return None if key is None else Copy(key)

    def offer(self, part: Part, copy: Copy | None, source: ImageSource | None, picture: object, order: str) -> None:
        """Take the picture of a part whose call is being answered: the copy if it is complete, else what was uploaded.

        `source` is what the caller sent, `picture` what was made of it.
        """
        if copy is not None:
            if self._reducer.has_taken(copy.key):
                self._claim(copy.key, part)
            else:
                self._drop(copy.key)
        elif isinstance(picture, Picture) and not isinstance(source, ImageRef) and self._due(part.pid):
            whole = source if picture.as_filed and isinstance(source, bytes) else picture
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: self._keep_task(self._hand_over(part, whole, order)))  # first the answer

    def _due(self, pid: str) -> bool:
        now = time.monotonic()
        return self._reducer.idle and not self._writing and now >= self._next_of_all and now >= self._next.get(pid, 0.0)

    def _take(self, pid: str, descriptor: int, **picture: object) -> int | None:
        key = next(self._keys)
        if not self._reducer.take(key, descriptor, **picture):
            return None
        now = time.monotonic()
        self._next_of_all, self._next[pid] = now + APART, now + EVERY
        return key

    # After the answer.

    def _keep_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)

    async def _hand_over(self, part: Part, whole: bytes | Picture, order: str) -> None:
        """Put an upload where the other process can read it, in a thread: copying may take milliseconds."""
        content = whole if isinstance(whole, bytes) else whole.pixels
        if len(content) > _MOST_BYTES or not self._due(part.pid):
            return
        self._writing = True
        try:
            descriptor = await asyncio.to_thread(_in_memory, content)
        except OSError:  # memory is short: rather none
            return
        finally:
            self._writing = False
        try:
            if isinstance(whole, bytes):
                key = self._take(part.pid, descriptor, size=len(content))
            else:
                order = "RGB" if whole.decoded else order
                key = self._take(part.pid, descriptor, shape=whole.shape, offset=0, order=order)
        finally:
            os.close(descriptor)
        if key is not None:
            self._claim(key, part)

    def _claim(self, key: int, part: Part) -> None:
        """Say which part a picture is of, which may be reduced already or not yet."""
        if key in self._unclaimed:
            self._show(key, part, self._unclaimed.pop(key))
        else:
            self._of[key] = part

    def _reduced(self, key: int, said: Said) -> None:
        picture: PartPicture | None = None
        if "reduced" in said:
            picture = {"width": said["width"], "height": said["height"], "etag": ""}
        part = self._of.pop(key, None)
        if part is not None:
            self._show(key, part, picture)
            return
        self._unclaimed[key] = picture  # its call goes on, was given up, or ended before the copy was complete
        if len(self._unclaimed) > _UNCLAIMED:
            self._drop(next(iter(self._unclaimed)))

    def _show(self, key: int, part: Part, picture: PartPicture | None) -> None:
        if picture is None:
            self._drop(key)
            return
        part.picture = {**picture, "etag": f'"{part.request_id}"'}
        shown = self._shown.setdefault(part.pid, deque())
        if shown:
            self._superseded.append(shown[-1])
        shown.append(_Pictured(key, part))
        if len(self._superseded) > SUPERSEDED:
            oldest = self._superseded.popleft()
            self._shown[oldest.part.pid].remove(oldest)
            self._hide(oldest)

    def _hide(self, pictured: _Pictured) -> None:
        pictured.part.picture = None
        self._drop(pictured.key)

    def _drop(self, key: int) -> None:
        self._unclaimed.pop(key, None)
        self._of.pop(key, None)
        self._reducer.drop(key)

    def _forget_all(self) -> None:
        for shown in self._shown.values():
            for pictured in shown:
                pictured.part.picture = None
        self._shown.clear()
        self._superseded.clear()
        self._of.clear()
        self._unclaimed.clear()
        self._next.clear()

    # Whoever looks.

    def latest(self, pid: str) -> Part | None:
        """Return the last part of a PID that has a picture."""
        shown = self._shown.get(pid)
        return shown[-1].part if shown else None

    async def content(self, part: Part) -> bytes | None:
        """Return the picture of a part as a JPEG file; None where there is none (any more)."""
        for pictured in self._shown.get(part.pid, ()):
            if pictured.part is part:
                return await self._reducer.give(pictured.key)
        return None

    def of_request(self, pid: str, request_id: str) -> Part | None:
        """Return the part of a PID with that id, if there is a picture of it."""
        parts = (pictured.part for pictured in self._shown.get(pid, ()))
        return next((part for part in parts if part.request_id == request_id), None)

    def forget(self, pids: Iterable[str]) -> None:
        """Drop the pictures of PIDs that nobody serves any more."""
        for pid in pids:
            self._next.pop(pid, None)
            for pictured in self._shown.pop(pid, ()):
                self._hide(pictured)
                with contextlib.suppress(ValueError):  # the newest one is not among them
                    self._superseded.remove(pictured)


def memory_is_short(layout: StoreLayout) -> bool:
    """Return whether memory, or the memory-backed storage for images, is under pressure: then pictures must wait."""
    found = pressures(capacity_of(layout.root, layout.images))
    return any(holds for kind, holds, *_ in found if kind in {"MemoryPressure", "SharedMemoryPressure"})


def _in_memory(content: bytes | memoryview) -> int:
    """Return the descriptor of a file without a name that holds the content. Raises OSError."""
    descriptor = os.memfd_create("part", os.MFD_CLOEXEC)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
