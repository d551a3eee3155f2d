"""What Pillow tells of a file before and after it is decoded: kind, tags, which way up, pixels in strips."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from controller.images.formats.picture import Reading
from controller.images.npy import NotAnImage

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_SIGNATURES = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP",
    b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"II+\x00": "TIFF", b"MM\x00+": "TIFF",
}  # fmt: skip
STARTS = tuple(_SIGNATURES)
"""What files begin with that are read here."""
BITS, PHOTOMETRIC, ORIENTATION, PLANAR, SAMPLE_FORMAT = 258, 262, 274, 284, 339
"""Numbers of TIFF's tags (TIFF 6.0); Exif has the orientation, too."""
_STRIP = 1024 * 1024
warnings.filterwarnings("ignore", module=r"PIL\.")  # of each strange tag in a caller's file, into the daemon's log


def opened(data: memoryview) -> ImageFile:
    """Return the picture of a file that begins as one of `STARTS`, not decoded yet.

    Raises:
        NotAnImage: its header cannot be read. Of a damaged file Pillow may make any other exception.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  (30 ms and 8 MB that arrays never need)

    kind = kind_of(data)
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except UnidentifiedImageError:
        more = ", or it is of a kind that is not read" if kind == "TIFF" else ""
        raise NotAnImage(f"is damaged: its header cannot be read{more}") from None


def kind_of(data: memoryview) -> str:
    """Return which kind of file begins as one of `STARTS`."""
    return next(kind for start, kind in _SIGNATURES.items() if data[: len(start)] == start)


def tags_of(image: Image) -> Any:
    """Return a TIFF file's tags by their numbers; None of another file."""
    return getattr(image, "tag_v2", None)


def raw_mode(image: ImageFile) -> str:
    """Return Pillow's name of the form in which the file has its values; empty where there are none."""
    arguments = image.tile[0][3] if image.tile else ""
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return found if isinstance(found, str) else ""


# Which way up.


def orientation(image: Image, reading: Reading) -> int:
    """Return how a file says that its rows are to be turned, 1 (not at all) to 8, where that matters."""
    tags = tags_of(image)
    if tags is not None:
        turned = tags.get(ORIENTATION, 1)
    else:
        turned = image.getexif().get(ORIENTATION, 1) if reading.input.exif == "apply" else 1
    return turned if turned in range(1, 9) else 1


def as_stored(image: Image, turned: int) -> Image:
    """Return a decoded picture's rows as the file has them: those of TIFF Pillow has turned while it read them."""
    if tags_of(image) is None or turned == 1:
        return image
    from PIL.Image import Transpose  # noqa: PLC0415

    back = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_270,
    }  # fmt: skip
    return image.transpose(back[turned])


# Its pixels.


def pixels_of(image: Image) -> memoryview:
    """Return 8-bit pixels, copied strip by strip: one copy of 300 MB would keep every other thread waiting."""
    channels = len(image.getbands())
    pixels = bytearray(image.width * image.height * channels)
    done = 0
    for strip in strips(image, channels):
        pixels[done : done + len(strip)] = strip
        done += len(strip)
    return memoryview(pixels)


def strips(image: Image, bytes_per_pixel: int) -> Iterator[bytes]:
    """Yield a decoded picture's values, about a megabyte at a time."""
    rows = max(1, _STRIP // (image.width * bytes_per_pixel))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))).tobytes()
