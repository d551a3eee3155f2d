"""A request's images as pixels: decoded off the event loop, few at a time, and within a bound of memory for all calls.

A file of 290 kB may hold 300 MB of pixels, and a call waits for its turn with them. So what was decoded is counted
until its call has ended, and large pictures are decoded one after the other, each only where there is room for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType

from controller.calls.request import DetectionRequest
from controller.errors import CallError, Code
from controller.images.formats import ImageRef, ImageSource, LargePicture, Picture, load, needs_decoding

MIB = 1024 * 1024
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a request, loaded. `image` None: none is looked at; `guide` None: the caller gave none."""

    image: Picture | ImageRef | None
    guide: Picture | ImageRef | None


class PictureRoom:
    """The bounds of decoding. `total`: bytes of decoded pixels that calls hold at once.

    A picture of more than `large` pixels is decoded alone and reserves its bytes before; of the others `at_once` are
    decoded beside each other, and counted when their size is known.
    """

    def __init__(self, total: int = 1024 * MIB, large: int = 8_000_000, at_once: int = 2) -> None:
        self.total = total
        self.large = large
        self.held = 0
        self._few = asyncio.Semaphore(at_once)
        self._alone = asyncio.Semaphore(1)

    def share(self) -> HeldPictures:
        """Return a context in which one call's pictures are decoded and counted."""
        return HeldPictures(self)

    async def decode(self, source: ImageSource, what: str, held: HeldPictures) -> Picture:
        """Return an encoded picture's pixels; they count for `held`. Raises CallError 1002, 1011."""
        try:
            async with self._few:
                picture = await _in_thread(source, what, self.large)
        except LargePicture as large:
            async with self._alone:
                held.count(large.pixels * _CHANNELS)  # before: afterwards would be too late
                return await _in_thread(source, what, large.pixels)
        held.count(len(picture.pixels))
        return picture


class HeldPictures:
    """What one call has decoded. `with` gives its bytes back to the room at the end."""

    def __init__(self, room: PictureRoom) -> None:
        self._room = room
        self._counted = 0

    async def load(self, request: DetectionRequest) -> Images:
        """Return the pixels of a request's images. Raises CallError 1002, 1011 (too many pixels wait already)."""
        if request.is_info:
            return Images(None, None)
        image = await self._load(request.image, "the image")
        return Images(image, await self._load(request.guide_image, "the guide image"))

    async def _load(self, source: ImageSource | None, what: str) -> Picture | ImageRef | None:
        if source is None or isinstance(source, ImageRef):
            return source
        if needs_decoding(source):  # milliseconds of a codec or a disk, for which nobody else's call shall wait
            return await self._room.decode(source, what, self)
        return load(source, what)

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


async def _in_thread(source: ImageSource, what: str, most: int) -> Picture:
    return await asyncio.to_thread(load, source, what, most=most)
