"""Images in every form a caller may bring, made into pixels that the SDK passes on unchanged.

What the SDK would silently turn black, wrap round or misread is refused with 1002 before the algorithm sees it:
missing, truncated or garbage files, other types than uint8, other shapes than H×W, H×W×1, H×W×3, nothing, too much.
Converted is what keeps its meaning: palettes and 1-bit pictures, and transparency that is nowhere used. 16-bit
pictures, CMYK and real transparency are refused; EXIF rotation is not applied, as in the SDK.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.errors import CallError, Code
from controller.images import npy
from controller.images.npy import NotAnImage, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "BMP")
_STRIP = 1024 * 1024
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image that a host application put into `run/images/<id>.npy` itself, and deletes itself."""

    id: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels in C order: `pixels` has as many bytes as `shape` (H×W or H×W×1 or H×W×3) says.

    `decoded`: they come from a format that has an order of its channels, and so are RGB whatever the caller's arrays
    are.
    """

    shape: Shape
    pixels: memoryview
    decoded: bool = False


ImageSource = bytes | bytearray | memoryview | str | os.PathLike[str] | ImageRef | Any
"""Encoded bytes (PNG, JPEG, BMP, .npy), a file's path, an `ImageRef`, or an array of uint8."""


def refused(what: str, why: object, *, code: Code = Code.image_load_failed) -> CallError:
    """Return the error for an image that cannot be used."""
    return CallError(
        code, f"{what} {why}", next_step="pass PNG, JPEG, BMP or .npy data, or an H×W or H×W×3 array of uint8"
    )


def needs_decoding(source: ImageSource) -> bool:
    """Return whether loading takes long enough (a codec, a disk) to be kept off the event loop."""
    if isinstance(source, (str, os.PathLike)):
        return True
    return isinstance(source, (bytes, bytearray)) and not source.startswith(npy.MAGIC)


class LargePicture(Exception):
    """An encoded picture has more pixels than were to be decoded; `shape` is H×W."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.pixels = prod(shape)


def load(source: ImageSource, what: str = "the image", *, most: int = npy.MAX_PIXELS) -> Picture:
    """Return the pixels of an image.

    Raises:
        CallError: 1002; `what` is how the message calls the image.
        LargePicture: it is encoded and has more than `most` pixels; nothing was decoded.
    """
    try:
        if isinstance(source, (str, os.PathLike)):
            what = f"{what} {os.fspath(source)}"
            return _from_bytes(memoryview(_read(Path(source))), most)
        if isinstance(source, (bytes, bytearray)):
            return _from_bytes(memoryview(source), most)
        return _from_array(source, most)
    except NotAnImage as error:
        raise refused(what, error) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotAnImage(f"cannot be read: {error.strerror}") from None


def _from_bytes(data: memoryview, most: int) -> Picture:
    start = bytes(data[:8])
    if not start:
        raise NotAnImage("is empty")
    if start.startswith(npy.MAGIC):
        return _from_npy(data)
    if start.startswith(_SIGNATURES):
        return _from_encoded(data, most)
    raise NotAnImage(f"is none of PNG, JPEG, BMP and .npy: it begins with {start!r}")


def _from_npy(data: memoryview) -> Picture:
    header = npy.read_header(data)
    if len(data) < header.end:
        raise NotAnImage(f"is truncated: {header.end:,} bytes are announced, {len(data):,} are there")
    if header.fortran_order:
        raise NotAnImage("is in Fortran order; save it with numpy.ascontiguousarray")
    return Picture(header.shape, data[header.offset : header.end])


def _from_encoded(data: memoryview, most: int) -> Picture:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  (30 ms and 8 MB that arrays never need)

    if (
        bytes(data[:4]) == b"\x89PNG" and bytes(data[24:25]) == b"\x10"
    ):  # Pillow would cut 16-bit colours to 8 without a word
        raise NotAnImage("has 16 bits a channel, which 8 bits cannot hold; scale it to 0–255 first")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            shape: Shape = (image.height, image.width)
            npy.check_shape(shape)
            if prod(shape) > most:
                raise LargePicture(shape)
            image.load()
            plain = _without_surprises(image)
    except UnidentifiedImageError:
        raise NotAnImage("is damaged: its header cannot be read") from None
    except Image.DecompressionBombError as error:
        raise NotAnImage(f"is too large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, NotAnImage):
            raise
        raise NotAnImage(f"is damaged: {error}") from None
    return Picture(shape if plain.mode == "L" else (*shape, 3), _pixels_of(plain), decoded=True)


def _pixels_of(image: Image) -> memoryview:
    """Return the pixels, copied strip by strip: one copy of 300 MB would keep every other thread waiting."""
    channels = len(image.getbands())
    pixels = bytearray(image.width * image.height * channels)
    rows = max(1, _STRIP // (image.width * channels))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height))).tobytes()
        start = top * image.width * channels
        pixels[start : start + len(strip)] = strip
    return memoryview(pixels)


def _without_surprises(image: Image) -> Image:
    """Return the picture as L or RGB, where that loses nothing."""
    if image.mode in {"L", "RGB"} and "transparency" not in image.info:
        return image
    if image.mode in {"1", "L"} and "transparency" not in image.info:
        return image.convert("L")
    if image.mode in {"P", "PA", "L", "LA", "RGB", "RGBA"}:
        clear = image.convert("RGBA")
        if clear.getchannel("A").getextrema() != (255, 255):
            raise NotAnImage("is partly transparent; flatten it first")
        return clear.convert("L" if image.mode in {"L", "LA"} else "RGB")
    raise NotAnImage(f"has pixels of mode {image.mode!r}, which 8 bits a channel cannot hold; convert it first")


def _from_array(source: Any, most: int) -> Picture:
    try:
        view = memoryview(source)
    except TypeError:
        return _from_array_interface(source)
    if view.ndim == 1 and view.format == "B":  # bytes in another wrapping, such as the output of an encoder
        return _from_bytes(view if view.c_contiguous else memoryview(view.tobytes()), most)
    npy.check_type("|u1" if view.format == "B" else view.format)
    shape = tuple(view.shape or ())
    npy.check_shape(shape)
    return Picture(shape, view.cast("B") if view.c_contiguous else memoryview(view.tobytes()))


def _from_array_interface(source: Any) -> Picture:
    """An object without a buffer that still describes its array, and holds it as bytes (a Pillow image)."""
    interface = getattr(source, "__array_interface__", None)
    data = interface.get("data") if isinstance(interface, dict) else None
    if not isinstance(interface, dict) or not isinstance(data, bytes):
        raise NotAnImage(f"is a {type(source).__name__}, not an image")
    npy.check_type(str(interface["typestr"]))
    shape = tuple(interface["shape"])
    npy.check_shape(shape)
    return Picture(shape, memoryview(data))
