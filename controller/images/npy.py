"""The `.npy` format, as far as images need it, by its specification (NumPy enhancement proposal 1): without numpy.

Only what the SDK hands to an algorithm unchanged is an image here: uint8, H×W, H×W×1 or H×W×3.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from math import prod

MAGIC = b"\x93NUMPY"
MAX_PIXELS = 100_000_000
"""More is refused: 300 MB of RGB, twice the largest area sensors."""
MAX_HEADER = 4096

Shape = tuple[int, ...]


class NotAnImage(ValueError):
    """Says what is wrong with an array or a file, as the end of a sentence about it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The shape of an image in a `.npy` file, and the offset of its pixels."""

    shape: Shape
    offset: int
    fortran_order: bool

    @property
    def end(self) -> int:
        """Bytes that the file must have at least."""
        return self.offset + prod(self.shape)


def check_shape(shape: Shape) -> None:
    """Raise NotAnImage where a shape is none that the SDK passes on as a picture."""
    text = "×".join(map(str, shape)) or "nothing"
    if len(shape) not in {2, 3} or (len(shape) == 3 and shape[2] not in {1, 3}):
        hint = "; drop its alpha channel first" if len(shape) == 3 and shape[2] == 4 else ""
        raise NotAnImage(f"is {text} where H×W, H×W×1 or H×W×3 is needed{hint}")
    if min(shape) < 1:
        raise NotAnImage(f"has no pixels ({text})")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise NotAnImage(f"has more than {MAX_PIXELS:,} pixels ({text})")


def check_type(description: str) -> None:
    """Raise NotAnImage where pixels of this type would not arrive as they are (the SDK wraps them round)."""
    if description not in {"|u1", "u1", "B"}:
        raise NotAnImage(
            f"holds values of type {description!r} where uint8 is needed; scale it to 0–255 and convert it first"
        )


@lru_cache(maxsize=64)
def write_header(shape: Shape) -> bytes:
    """Return the header of a C-ordered uint8 array, padded so that the pixels begin at a multiple of 64 bytes."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    padding = -(len(MAGIC) + 4 + len(text) + 1) % 64
    body = (text + " " * padding + "\n").encode("latin1")
    return MAGIC + b"\x01\x00" + len(body).to_bytes(2, "little") + body


def read_header(data: bytes | memoryview) -> Header:
    """Return the header at the beginning of `data`. Raises NotAnImage."""
    start = bytes(data[:MAX_HEADER])
    if not start.startswith(MAGIC) or len(start) < 12:
        raise NotAnImage("is no .npy file")
    wide = start[6] >= 2
    begin = 12 if wide else 10
    offset = begin + int.from_bytes(start[8:begin], "little")
    if offset > len(start):
        raise NotAnImage("is truncated within its header" if offset > len(data) else "has a header of absurd length")
    return _parse_header(start[:offset], begin)


@lru_cache(maxsize=64)
def _parse_header(start: bytes, begin: int) -> Header:
    """Cached, because a camera's pictures all begin with the same bytes and evaluating them takes a while."""
    try:
        fields = ast.literal_eval(start[begin:].decode("utf-8" if start[6] >= 3 else "latin1"))
        description, shape = fields["descr"], tuple(fields["shape"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        raise NotAnImage("has a damaged header") from None
    if not isinstance(description, str) or not all(type(size) is int for size in shape):
        raise NotAnImage("holds records, not pixels")
    if "O" in description:
        raise NotAnImage("holds pickled Python objects, which are never loaded")
    check_type(description)
    check_shape(shape)
    return Header(shape, len(start), bool(fields.get("fortran_order")))
