"""Samples made into what algorithms see, with numpy: unpacked, narrowed to 8 bits, alpha dropped, mosaic interpolated.

Everything goes strip by strip, so that what is between beginning and end stays in a processor's cache, and no other
thread waits long. Imported by the first picture that needs it: numpy takes 16 MB of the daemon's memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.client.pixel_formats import PixelFormat
from controller.images import npy
from controller.images.formats.arrays import Samples
from controller.images.formats.bayer import demosaiced
from controller.images.formats.picture import Notes, Picture, Reading
from controller.images.npy import NeedsSetting, NotAnImage, Shape

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint16]
_STRIP = 256 * 1024
"""Values that are converted in one go."""


def converted(samples: Samples, reading: Reading) -> Picture:
    """Return what algorithms see of an array. Raises NotAnImage, NeedsSetting."""
    told = reading.format
    channels = samples.shape[2] if len(samples.shape) == 3 else 1
    wide = samples.type != npy.BYTES or (told is not None and told.packing != "")
    bits = told.bits if told else reading.input.bits if wide else 8
    if channels == 4 and reading.input.alpha == "refuse":
        raise NeedsSetting(f"has an alpha channel ({'×'.join(map(str, samples.shape))})", npy.ALPHA)
    notes = Notes(told.name if told else _name(channels, 16 if wide else 8), bits)
    if wide:
        values = narrowed(_strips(samples, told), samples.shape, bits, reading, notes)
    else:
        values = np.frombuffer(samples.data, np.uint8).reshape(samples.shape)
    return finished(values, reading, notes)


def _name(channels: int, bits: int) -> str:
    return {1: "Mono", 3: "RGB", 4: "RGBa"}[channels] + str(bits)


# To 8 bits.


def narrowed(strips: Iterable[NDArray[Any]], shape: Shape, bits: int, reading: Reading, notes: Notes) -> Bytes:
    """Return 16-bit values, which come as flat strips one after the other, as 8-bit ones of that shape.

    shift: v >> (bits - 8). scale: v · 255 / (2^bits - 1), rounded half up.

    Raises:
        NeedsSetting: the deployment does not take more than 8 bits.
        NotAnImage: a value has more than `bits` bits.
    """
    depth = reading.input.depth
    if depth == "refuse":
        raise NeedsSetting(f"has {bits} bits a channel, which 8 bits cannot hold", npy.DEPTH)
    found = np.empty(int(np.prod(shape)), np.uint8)
    done = 0
    for strip in strips:
        require_bits(strip, bits)
        target = found[done : done + len(strip)]
        if depth == "shift":
            np.right_shift(strip, bits - 8, out=target, casting="unsafe")
        else:
            np.take(_scale(bits), strip, out=target, mode="clip")
        done += len(strip)
    notes.conversion.append(f"depth:{depth}")
    return found.reshape(shape)


def require_bits(values: NDArray[Any], bits: int) -> None:
    """Raise NotAnImage where a value has more bits than were announced: it would come out as any other one."""
    if bits < 16 and (most := int(values.max())) >> bits:
        raise NotAnImage(
            f"holds values up to {most:,}, which {bits} bits cannot hold; "
            "say how many count by pixel_format, or by spec.input.bits"
        )


@lru_cache(maxsize=8)
def _scale(bits: int) -> Bytes:
    """Return the 8-bit value of every value of so many bits."""
    full = 2**bits - 1
    found: Bytes = ((np.arange(full + 1, dtype=np.uint32) * 510 + full) // (2 * full)).astype(np.uint8)
    return found


def _strips(samples: Samples, told: PixelFormat | None) -> Iterator[NDArray[Any]]:
    if told is not None and told.packing:
        yield from _unpacked(samples, told)
        return
    values = np.frombuffer(samples.data, samples.type)
    for start in range(0, len(values), _STRIP):
        strip = values[start : start + _STRIP]
        yield strip if strip.dtype.isnative else strip.astype(np.uint16)


def _unpacked(samples: Samples, told: PixelFormat) -> Iterator[Words]:
    """Yield the values of a packed format. Groups of whole bytes: 4 values of Mono10p, 2 of all others."""
    values, group = (4, 5) if (told.packing, told.bits) == ("p", 10) else (2, 3)
    count = samples.shape[0] * samples.shape[1]
    data = np.frombuffer(samples.data, np.uint8)
    step = _STRIP // values
    for first in range(0, -(-count // values), step):
        part = data[first * group : (first + step) * group]
        if len(part) % group:  # the last group is not whole
            part = np.pad(part, (0, group - len(part) % group))
        groups = part.reshape(-1, group).astype(np.uint16)
        found = np.empty((len(groups), values), np.uint16)
        if told.packing == "Packed":
            _two_in_three_bytes(groups, found, told.bits - 8)
        else:
            _bit_by_bit(groups, found, told.bits)
        yield found.reshape(-1)[: count - first * values]


def _bit_by_bit(groups: Words, found: Words, bits: int) -> None:
    """PFNC's `p`: a value's lowest bits come first, in the lowest bits of a byte that are still free."""
    for index in range(found.shape[1]):
        byte, offset = divmod(index * bits, 8)
        found[:, index] = (groups[:, byte] | (groups[:, byte + 1] << 8)) >> offset & (2**bits - 1)


def _two_in_three_bytes(groups: Words, found: Words, low: int) -> None:
    """GigE Vision's `Packed`: high bits in the first and last byte, low ones in the halves of the one between."""
    between = groups[:, 1]
    found[:, 0] = groups[:, 0] << low | (between & (2**low - 1))
    found[:, 1] = groups[:, 2] << low | (between >> 4 & (2**low - 1))


# To one or three channels, and the right way up.


def finished(
    values: Bytes, reading: Reading, notes: Notes, *, decoded: bool = False, turned: int = 1, alpha_used: bool = True
) -> Picture:
    """Return 8-bit values as a picture: without alpha, its mosaic interpolated, then turned as Exif's `turned` says.

    `decoded`: three channels are RGB, instead of what the caller says; `alpha_used` false: what the last channel holds
    is the same everywhere, so that nothing is lost with it.
    """
    channels = values.shape[2] if values.ndim == 3 else 1
    if channels in {2, 4}:
        values = values[..., :-1] if channels == 4 else values[..., 0]
        if alpha_used:
            notes.conversion.append("alpha:drop")
    one_channel = values.ndim == 2 or values.shape[2] == 1
    mosaic = reading.mosaic if one_channel else ""
    if mosaic:
        values = demosaiced(values.reshape(values.shape[:2]), mosaic)
        notes.conversion.append(f"bayer:{mosaic}")
    if turned != 1:
        values = upright(values, turned)
        notes.conversion.append(f"exif:{turned}")
    values = np.ascontiguousarray(values)
    return Picture(values.shape, values.reshape(-1).data, decoded or one_channel, notes.to_document())


def finished_pixels(pixels: memoryview, shape: Shape, reading: Reading, notes: Notes, turned: int) -> Picture:
    """Return 8-bit pixels of a file as a picture, like `finished`."""
    return finished(np.frombuffer(pixels, np.uint8).reshape(shape), reading, notes, decoded=True, turned=turned)


def upright(values: Bytes, turned: int) -> Bytes:
    """Return rows and columns as they are to be looked at; `turned` is Exif's orientation, 1 to 8."""
    if turned >= 5:  # the first stored row is a side
        values = values.swapaxes(0, 1)
    if turned in {3, 4, 7, 8}:  # the first row is the last
        values = values[::-1]
    if turned in {2, 3, 6, 7}:
        values = values[:, ::-1]
    return values
