"""PNG and TIFF files of more than 8 bits a channel. Imported by the first one: it needs numpy.

Pillow reads colours of 16 bits as 8, by one half of each value. Which half is said by the name of its raw mode, that is
the order of bytes in the file; so a file is read twice, the second time by the other order, and both halves are joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from PIL.ImageFile import ImageFile

from controller.images import npy
from controller.images.formats.conversion import finished, narrowed
from controller.images.formats.files import PHOTOMETRIC, PLANAR, as_stored, opened, pixels_of, raw_mode, strips, tags_of
from controller.images.formats.picture import Notes, Picture, Reading
from controller.images.npy import NeedsSetting, NotAnImage, Shape

_STRIP = 256 * 1024
_ONE_CHANNEL = {"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}
_GREY_WITH_ALPHA = "LA;16B"
_LOW = {
    f"{colours};16{order}": f"{colours};16{other}"
    for colours in ("RGB", "RGBA", "RGBX")
    for order, other in ("BL", "LB", "NB")
}
"""Raw modes by which Pillow reads the higher halves of values, and those by which it then reads the lower ones."""


def narrowed_file(data: memoryview, bits: int, reading: Reading, turned: int) -> Picture:
    """Return what algorithms see of a file of more than 8 bits, whose orientation is `turned`.

    Raises:
        NotAnImage, NeedsSetting: it cannot be used, or not as the deployment's settings are.
    """
    _require_readable(opened(data), reading)
    words, shape = _words(data, turned, high_only=reading.input.depth == "shift" and reading.input.bits == 16)
    channels = shape[2] if len(shape) == 3 else 1
    if bits == 16:
        bits = (
            reading.format.bits if reading.format and channels == 1 and reading.format.bits > 8 else reading.input.bits
        )
    notes = Notes({1: "Mono", 2: "Mono", 3: "RGB", 4: "RGBa"}[channels] + "16", bits)
    values = narrowed(words, shape, bits, reading, notes)
    clear = channels in {2, 4} and bool((values[..., -1] != 255).any())
    if clear and reading.input.alpha == "refuse":
        raise NeedsSetting("is partly transparent", npy.ALPHA)
    turned = turned if reading.input.exif == "apply" else 1
    return finished(values, reading, notes, decoded=True, turned=turned, alpha_used=clear)


def _require_readable(image: ImageFile, reading: Reading) -> None:
    tags, form = tags_of(image) or {}, raw_mode(image)
    several = image.mode not in _ONE_CHANNEL
    if tags.get(PHOTOMETRIC) == 0 or (several and tags.get(PLANAR) == 2):
        raise NotAnImage("has 16 bits in a form that is not read (0 is white, or each colour apart); convert it first")
    if several and form != _GREY_WITH_ALPHA and form not in _LOW:
        raise NotAnImage(f"has 16 bits in a form that is not read ({form}); convert it first")
    if "transparency" in image.info and reading.input.alpha == "refuse":
        raise NeedsSetting("has a transparent colour", npy.ALPHA)


def _words(data: memoryview, turned: int, *, high_only: bool) -> tuple[Iterable[NDArray[Any]], Shape]:
    """Return the values of a file, flat and strip by strip, and its shape. Its rows are as they are stored.

    `high_only`: nobody looks at the lower halves, so that those of colours need not be read.
    """
    file = opened(data)
    grey_with_alpha = raw_mode(file) == _GREY_WITH_ALPHA
    image = _loaded(file, turned)
    size = image.height, image.width
    if image.mode in _ONE_CHANNEL:
        kind = _ONE_CHANNEL[image.mode]
        return (np.frombuffer(strip, kind).astype(np.uint16) for strip in strips(image, 4)), size
    if grey_with_alpha:
        return (np.frombuffer(strip, ">u2").astype(np.uint16) for strip in strips(image, 4)), (*size, 2)
    channels = len(image.getbands())
    high = pixels_of(image)
    image.close()
    if high_only:
        return _raised(high), (*size, channels)
    return _joined(high, _loaded(opened(data), turned, low=True), channels), (*size, channels)


def _raised(high: memoryview) -> Iterator[NDArray[Any]]:
    for start in range(0, len(high), _STRIP):
        yield np.frombuffer(high[start : start + _STRIP], np.uint8).astype(np.uint16) << 8


def _joined(high: memoryview, low: Image, channels: int) -> Iterator[NDArray[Any]]:
    done = 0
    for strip in strips(low, channels):
        upper = np.frombuffer(high[done : done + len(strip)], np.uint8).astype(np.uint16)
        yield upper << 8 | np.frombuffer(strip, np.uint8)
        done += len(strip)


def _loaded(image: ImageFile, turned: int, *, low: bool = False) -> Image:
    """Return a file's picture decoded; `low`: the lower half of each value.

    Grey with alpha becomes the four bytes of each pixel, as they are in the file.
    """
    image.tile = [each._replace(args=_renamed(each.args, low=low)) for each in image.tile]
    image.load()
    return as_stored(image, turned)


def _renamed(arguments: Any, *, low: bool) -> Any:
    """Return what a decoder is told, with the raw mode that is wanted."""
    if isinstance(arguments, tuple):
        return (_renamed(arguments[0], low=low), *arguments[1:])
    if arguments == _GREY_WITH_ALPHA:
        return "RGBA"
    return _LOW.get(arguments, arguments) if low else arguments
