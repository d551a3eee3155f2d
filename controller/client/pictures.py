"""Images as a host application has them, made ready for the way: by value, or through a slot (`slots.py`).

The station is the one that judges images; here only what it could not be told at all is refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controller.errors import CallError, Code

_NPY = b"\x93NUMPY"
_QUICK = 256 * 1024

Image = str | os.PathLike[str] | bytes | bytearray | memoryview | Any
"""A file's path, the bytes of one (PNG, JPEG, BMP, TIFF, .npy), or an H×W, H×W×3 or H×W×4 array of uint8 or uint16."""
_TYPES = {"B": "|u1", "H": "<u2" if sys.byteorder == "little" else ">u2", "<H": "<u2", ">H": ">u2"}
"""Types of pixels by Python's names in `.npy` files."""


class Encoded:
    """An image as the pieces of a file. `shared`: it is an array, which is better passed by reference."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self.pieces = tuple(memoryview(piece) for piece in pieces)
        self.size = sum(len(piece) for piece in self.pieces)
        self.shared = bytes(self.pieces[0][: len(_NPY)]) == _NPY


def is_slow(image: Image) -> bool:
    """Return whether encoding or sharing the image takes a disk or a millisecond."""
    if isinstance(image, (bytes, bytearray)):
        return len(image) > _QUICK
    return isinstance(image, (str, os.PathLike)) or getattr(image, "nbytes", 0) > _QUICK


def encode(image: Image, what: str) -> Encoded:
    """Return an image as bytes.

    Raises:
        CallError: 1002, the file cannot be read, or it is neither file, bytes nor an array of uint8 or uint16.
    """
    if isinstance(image, (str, os.PathLike)):
        try:
            return Encoded([Path(image).read_bytes()])
        except OSError as error:
            raise _refused(f"{what} {os.fspath(image)} cannot be read: {error.strerror}") from None
    if isinstance(image, (bytes, bytearray)):
        return Encoded([bytes(image)])
    try:
        view = memoryview(image)
    except TypeError:
        return _from_array_interface(image, what)
    if view.ndim == 1 and view.format == "B":
        return Encoded([view if view.c_contiguous else view.tobytes()])
    if view.format not in _TYPES:
        raise _refused(f"{what} holds values of type {view.format!r} where uint8 is needed")
    pixels = view.cast("B") if view.c_contiguous else view.tobytes()
    return _from_pixels(tuple(view.shape or ()), pixels, _TYPES[view.format])


def _from_array_interface(image: Any, what: str) -> Encoded:
    """An object without a buffer that still describes its array, and holds it as bytes (a Pillow image)."""
    interface = getattr(image, "__array_interface__", None)
    data = interface.get("data") if isinstance(interface, dict) else None
    if not isinstance(interface, dict) or not isinstance(data, bytes) or interface["typestr"] not in _TYPES.values():
        raise _refused(f"{what} is a {type(image).__name__}, not an image")
    return _from_pixels(tuple(interface["shape"]), data, interface["typestr"])


def _from_pixels(shape: tuple[int, ...], pixels: bytes | memoryview, kind: str) -> Encoded:
    """Return a `.npy` file of the pixels (NumPy enhancement proposal 1)."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (-(len(_NPY) + 4 + len(text) + 1) % 64) + "\n"
    return Encoded([_NPY + b"\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1"), pixels])


def _refused(what: str) -> CallError:
    return CallError(
        Code.image_load_failed, what, next_step="pass a path, the bytes of a file, or an H×W or H×W×3 array of uint8"
    )
