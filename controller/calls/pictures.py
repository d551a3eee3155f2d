"""A request's images as pixels: decoded off the event loop, few at a time, and within a bound of memory for all calls.

A file of 290 kB may hold 300 MB of pixels, and a call waits for its turn with them. So what was decoded is counted
until its call has ended, and large pictures are decoded one after the other, each only where there is room for it.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from types import TracebackType

from controller.calls.request import DetectionRequest
from controller.errors import CallError, Code
from controller.images.formats import (
    AS_IT_IS,
    ImageRef,
    ImageSource,
    LargePicture,
    Picture,
    Reading,
    is_straight_file,
    load,
    load_straight,
)
from controller.images.slots import Look, looks, path_of
from controller.model.input import PLAIN_INPUT, PictureInput

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a request, loaded. `image` None: none is looked at; `guide` None: the caller gave none."""

    image: Picture | ImageRef | None
    guide: Picture | ImageRef | None


def reading_of(request: DetectionRequest, wanted: PictureInput) -> Reading:
    """Return how a request's pictures are to be read, for a deployment that wants them like that."""
    given = request.arguments
    if given.pixel_format is None:
        return Reading(wanted)
    size = None if given.width is None or given.height is None else (given.width, given.height)
    return Reading(wanted, given.format, size)


class PictureRoom:
    """The bounds of decoding and converting. `total`: bytes of pixels made that way that calls hold at once.

    `folder` is `run/images`, for pictures there that are to be converted. A picture of more than `large` pixels is
    decoded alone and reserves its bytes before; of the others `at_once` are decoded beside each other, and counted when
    their size is known.
    """

    def __init__(self, folder: str, total: int = 1024 * MIB, large: int = 8_000_000, at_once: int = 2) -> None:
        self.folder = folder
        self.total = total
        self.large = large
        self.held = 0
        self._few = asyncio.Semaphore(at_once)
        self._alone = asyncio.Semaphore(1)

    def share(self) -> HeldPictures:
        """Return a context in which one call's pictures are decoded and counted."""
        return HeldPictures(self)

    async def decode(self, source: ImageSource, what: str, held: HeldPictures, reading: Reading = AS_IT_IS) -> Picture:
        """Return a decoded or converted picture's pixels; they count for `held`. Raises CallError 1002, 1003, 1011."""
        try:
            async with self._few:
                picture = await _in_thread(source, what, self.large, reading)
        except LargePicture as large:
            async with self._alone:
                held.count(large.size)  # before: afterwards would be too late
                return await _in_thread(source, what, large.pixels, reading)
        held.count(len(picture.pixels))
        return picture


class HeldPictures:
    """What one call has decoded. `with` gives its bytes back to the room at the end."""

    __slots__ = ("_counted", "_loaded", "_loaded_for", "_room")

    def __init__(self, room: PictureRoom) -> None:
        self._room = room
        self._counted = 0
        self._loaded: Images | None = None
        self._loaded_for = PLAIN_INPUT

    async def load(self, request: DetectionRequest, wanted: PictureInput = PLAIN_INPUT) -> Images:
        """Return the pixels of a request's images, for a deployment that wants them like that; loaded once for each.

        Raises:
            CallError: 1002, 1003, 1011 (too many pixels wait already).
        """
        if request.is_info:
            return Images(None, None)
        if self._loaded is not None:
            if self._loaded_for == wanted:
                return self._loaded
            self._forget()
        plain = wanted is PLAIN_INPUT and request.arguments.pixel_format is None
        reading = AS_IT_IS if plain else reading_of(request, wanted)
        image, guide = await self._load(request.image, "the image", reading), request.guide_image
        if guide is not None:
            if reading.format is not None:
                reading = replace(reading, loose=True)
            guide = await self._load(guide, "the guide image", reading)
        self._loaded, self._loaded_for = Images(image, guide), wanted
        return self._loaded

    async def _load(self, source: ImageSource | None, what: str, reading: Reading) -> Picture | ImageRef | None:
        if source is None:
            return None
        if isinstance(source, ImageRef):
            as_it_is = reading is AS_IT_IS or reading.leaves_arrays
            return source if as_it_is else await self._load_shared(source, what, reading)
        straight = load_straight(source, what, reading)
        if straight is not None:
            return straight
        # Milliseconds of a codec, a disk or a conversion, for which nobody else's call shall wait.
        return await self._room.decode(source, what, self, reading)

    async def _load_shared(self, ref: ImageRef, what: str, reading: Reading) -> Picture | ImageRef:
        """Return what algorithms see of an image in `run/images`; the reference itself where they see it as it is."""
        path = path_of(self._room.folder, ref)
        if is_straight_file(path, what, reading):
            return ref
        before = _look(path)
        picture = await self._room.decode(path, what, self, reading)
        if _look(path) != before:
            raise CallError(
                Code.shared_memory_not_found,
                f"the image {path} was removed or changed while it was converted",
                next_step="call again, and leave the file alone until the call is answered",
            )
        return picture

    def count(self, size: int) -> None:
        """Count `size` bytes more. Raises CallError 1011 where there is no room for them."""
        room = self._room
        if room.held + size > room.total:
            raise CallError(
                Code.busy,
                f"decoded pictures of {room.held / MIB:.0f} MiB wait already, this one needs {size / MIB:.0f} MiB",
                next_step="call again later, or pass large pictures by image_ref",
            )
        room.held += size
        self._counted += size

    def __enter__(self) -> HeldPictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.held -= self._counted
        self._counted = 0

    def _forget(self) -> None:
        self._room.held -= self._counted
        self._counted = 0
        self._loaded = None


def _look(path: str) -> Look | None:
    try:
        return looks(os.stat(path))  # noqa: PTH116 - the path is text
    except OSError:
        return None


async def _in_thread(source: ImageSource, what: str, most: int, reading: Reading) -> Picture:
    return await asyncio.to_thread(load, source, what, most=most, reading=reading)
