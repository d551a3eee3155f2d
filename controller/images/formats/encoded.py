"""PNG, JPEG, BMP and TIFF files made into what algorithms see, with Pillow; numpy is only loaded for what it cannot do.

Of several pictures in a TIFF file the first is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.images import npy
from controller.images.formats.files import (
    BITS,
    SAMPLE_FORMAT,
    as_stored,
    kind_of,
    opened,
    orientation,
    pixels_of,
    raw_mode,
    tags_of,
)
from controller.images.formats.picture import LargePicture, Notes, Picture, Reading
from controller.images.npy import NeedsSetting, NotAnImage, Shape

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_NAMES = {
    "1": "Mono1p", "L": "Mono8", "LA": "Mono8", "RGB": "RGB8", "P": "RGB8", "RGBA": "RGBa8", "PA": "RGBa8",
    "CMYK": "CMYK8",
}  # fmt: skip
"""Pixel formats of files' pictures, of a palette's its colours'; PFNC has no name for CMYK."""
_PLAIN, _DEEP = 3, 8
"""Bytes of memory for a pixel of a large picture: its result's, and of 16-bit colours those on the way there, too."""


def decoded(data: memoryview, reading: Reading, most: int) -> Picture:
    """Return what algorithms see of a file that begins as one of `STARTS`.

    Raises:
        NotAnImage, NeedsSetting: it cannot be used, or not as the deployment's settings are.
        LargePicture: it has more than `most` pixels; nothing was decoded.
    """
    from PIL.Image import DecompressionBombError  # noqa: PLC0415

    reading = _for_files(reading)
    try:
        with opened(data) as image:
            return _read(image, data, most, reading)
    except (NotAnImage, LargePicture):
        raise
    except DecompressionBombError as error:
        raise NotAnImage(f"is too large: {error}") from None
    except MemoryError:
        raise NotAnImage("needs more memory than there is") from None
    except Exception as error:  # noqa: BLE001 - a damaged file may make Pillow's readers raise whatever there is
        words = str(error) if isinstance(error, (OSError, SyntaxError, ValueError)) else type(error).__name__
        raise NotAnImage(f"is damaged: {words}") from None


def _for_files(reading: Reading) -> Reading:
    """Return how a file is to be read: a format of arrays of several channels says nothing of it."""
    return reading if reading.format and reading.format.channels == 1 else Reading(reading.input)


def _read(image: ImageFile, data: memoryview, most: int, reading: Reading) -> Picture:
    bits, shape = _bits(image), (image.height, image.width)
    npy.check_shape(shape)
    if shape[0] * shape[1] > most:
        raise LargePicture(shape, _DEEP if bits > 8 and len(image.getbands()) > 1 else _PLAIN)
    if bits > 8 and reading.input.depth == "refuse":
        raise NeedsSetting(f"has {bits} bits a channel, which 8 bits cannot hold", npy.DEPTH)
    turned = orientation(image, reading)
    if bits > 8:
        from controller.images.formats.deep import narrowed_file  # noqa: PLC0415 - numpy, which few stations need

        return narrowed_file(data, bits, reading, turned)
    image.load()
    notes = Notes(_NAMES.get(image.mode, image.mode), 8)
    plain = _without_surprises(as_stored(image, turned), reading, notes)
    return _picture(plain, kind_of(data), reading, notes, turned if reading.input.exif == "apply" else 1)


def _picture(plain: Image, kind: str, reading: Reading, notes: Notes, turned: int) -> Picture:
    """Return a picture of mode L or RGB; with numpy where there is still something to be done with it."""
    grey = plain.mode == "L"
    shape: Shape = (plain.height, plain.width) if grey else (plain.height, plain.width, 3)
    pixels = pixels_of(plain)
    if turned == 1 and not (grey and reading.mosaic):
        done = notes.to_document()
        as_filed = kind != "TIFF" and done is None
        return Picture(shape, pixels, decoded=True, conversion=done, as_filed=as_filed)
    from controller.images.formats.conversion import finished_pixels  # noqa: PLC0415 - numpy, which few stations need

    return finished_pixels(pixels, shape, reading, notes, turned)


def _bits(image: ImageFile) -> int:
    """Return how many bits a channel has. Raises NotAnImage where they are no whole numbers, or more than 16."""
    tags = tags_of(image)
    if tags is None:
        return 16 if ";16" in raw_mode(image) else 8
    found, kinds = tags.get(BITS, (1,)), tags.get(SAMPLE_FORMAT, (1,))
    bits: int = max(found) if isinstance(found, tuple) else found
    if bits > 8 and (bits > 16 or set(kinds if isinstance(kinds, tuple) else (kinds,)) != {1}):
        raise NotAnImage(f"has pixels of mode {image.mode!r}, which are not whole numbers of 16 bits; convert it first")
    return bits


def _without_surprises(image: Image, reading: Reading, notes: Notes) -> Image:
    """Return the picture as L or RGB. Raises NotAnImage, NeedsSetting."""
    clear = "transparency" in image.info
    if image.mode in {"L", "RGB"} and not clear:
        return image
    if image.mode == "1" and not clear:
        return image.convert("L")
    if image.mode in {"1", "P", "PA", "L", "LA", "RGB", "RGBA", "RGBX"}:
        with_alpha = image.convert("RGBA")
        if image.mode != "RGBX" and with_alpha.getchannel("A").getextrema() != (255, 255):
            if reading.input.alpha == "refuse":
                raise NeedsSetting("is partly transparent", npy.ALPHA)
            notes.conversion.append("alpha:drop")
        return with_alpha.convert("L" if image.mode in {"1", "L", "LA"} else "RGB")
    if image.mode == "CMYK":
        if reading.input.cmyk == "refuse":
            raise NeedsSetting("has pixels of mode 'CMYK'", "set spec.input.cmyk: convert, or convert it to RGB first")
        notes.conversion.append("cmyk:convert")
        return image.convert("RGB")
    raise NotAnImage(f"has pixels of mode {image.mode!r}, which 8 bits a channel cannot hold; convert it first")
