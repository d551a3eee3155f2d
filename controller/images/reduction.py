"""A part's picture made small enough to look at: pixels or an encoded file in, a JPEG file out.

What an algorithm got is what is shown: no rotation is applied, and nothing but pixels is passed on (no EXIF, no
comment, no colour profile).
"""

from __future__ import annotations

import io
from typing import NamedTuple, cast

from PIL import Image, UnidentifiedImageError

from controller.images.npy import NotAnImage, Shape

LONGEST_SIDE = 960
QUALITY = 80
MOST_PIXELS = 40_000_000
"""More is not shown: reducing it would take a second and 160 MB."""
Bytes = bytes | bytearray | memoryview
_FORMATS = ("PNG", "JPEG", "BMP")


class Reduced(NamedTuple):
    """A JPEG file, and the size of the picture that it was made of."""

    width: int
    height: int
    content: bytes


def reduce_pixels(pixels: bytearray | memoryview, shape: Shape, order: str) -> Reduced:
    """Return the picture of pixels in C order, whose channels are RGB or BGR."""
    height, width = shape[:2]
    grey = len(shape) == 2 or shape[2] == 1
    mode = "L" if grey else "RGB"
    image = Image.frombuffer(mode, (width, height), cast("bytearray", pixels), "raw", mode, 0, 1)
    return _reduced(image, swap=order == "BGR" and not grey)


def reduce_file(content: Bytes) -> Reduced:
    """Return the picture in a PNG, JPEG or BMP file. Raises NotAnImage."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise NotAnImage(f"has more than {MOST_PIXELS:,} pixels")
            return _reduced(image)
    except (Image.DecompressionBombError, UnidentifiedImageError) as error:
        raise NotAnImage(f"cannot be shown: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise NotAnImage(f"is damaged: {error}") from None


def _reduced(image: Image.Image, *, swap: bool = False) -> Reduced:
    width, height = image.size
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    plain = image if image.mode in {"L", "RGB"} else image.convert("L" if image.mode in {"1", "LA"} else "RGB")
    if swap:
        plain = Image.merge("RGB", plain.split()[::-1])
    plain.info.clear()
    file = io.BytesIO()
    plain.save(file, "JPEG", quality=QUALITY)
    return Reduced(width, height, file.getvalue())
