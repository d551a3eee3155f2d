"""The `.npy` format, as far as images need it, by its specification (NumPy enhancement proposal 1): without numpy.

What the SDK hands to an algorithm unchanged is plain: uint8, H×W, H×W×1 or H×W×3. What a conversion can make plain is
read, too, where it is asked for: uint16, and four channels.
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
BYTES = "|u1"
_BYTES = {BYTES, "u1", "B"}
_WORDS = {"<u2": "<u2", ">u2": ">u2", "H": "<u2", "<H": "<u2", ">H": ">u2", "=H": "<u2"}
"""Names of 16-bit types, of numpy and of Python's buffers on the little-endian machines that stations are."""
DEPTH = "set spec.input.depth: shift or scale (and spec.input.bits where fewer than 16 count), or pass 8 bits"
ALPHA = "set spec.input.alpha: drop, or flatten it first"


class NotAnImage(ValueError):
    """Says what is wrong with an array or a file, as the end of a sentence about it."""


class NeedsSetting(NotAnImage):
    """It is an image, but no algorithm would see it as it is; `setting` would have it converted."""

    def __init__(self, what: str, setting: str) -> None:
        super().__init__(what)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class Header:
    """The shape of an image in a `.npy` file, and the offset of its pixels. `type` is |u1, <u2 or >u2."""

    shape: Shape
    offset: int
    fortran_order: bool
    type: str = BYTES
    plain: bool = True

    @property
    def end(self) -> int:
        """Bytes that the file must have at least."""
        return self.offset + prod(self.shape) * (1 if self.type == BYTES else 2)


def is_plain(kind: str, shape: Shape) -> bool:
    """Return whether the SDK passes pixels of a type on as they are."""
    return kind == BYTES and (len(shape) == 2 or shape[2] in {1, 3})


def check_shape(shape: Shape) -> None:
    """Raise NotAnImage where a shape is none of a picture of one, three or four channels."""
    text = "×".join(map(str, shape)) or "nothing"
    if len(shape) not in {2, 3} or (len(shape) == 3 and shape[2] not in {1, 3, 4}):
        raise NotAnImage(f"is {text} where H×W, H×W×1 or H×W×3 is needed")
    if min(shape) < 1:
        raise NotAnImage(f"has no pixels ({text})")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise NotAnImage(f"has more than {MAX_PIXELS:,} pixels ({text})")


def type_of(description: str) -> str:
    """Return |u1, <u2 or >u2. Raises NotAnImage where it is another type: the SDK would wrap its values round."""
    found = BYTES if description in _BYTES else _WORDS.get(description)
    if found is None:
        raise NotAnImage(
            f"holds values of type {description!r} where uint8 is needed; scale it to 0–255 and convert it first"
        )
    return found


def require_plain(kind: str, shape: Shape) -> None:
    """Raise NeedsSetting where pixels would not arrive as they are: the SDK wraps 16 bits round, and keeps alpha."""
    if kind != BYTES:
        raise NeedsSetting(f"holds values of type {kind!r}, 16 bits, where uint8 is needed", DEPTH)
    if not is_plain(kind, shape):
        raise NeedsSetting(f"has an alpha channel ({'×'.join(map(str, shape))})", ALPHA)


@lru_cache(maxsize=64)
def write_header(shape: Shape) -> bytes:
    """Return the header of a C-ordered uint8 array, padded so that the pixels begin at a multiple of 64 bytes."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    padding = -(len(MAGIC) + 4 + len(text) + 1) % 64
    body = (text + " " * padding + "\n").encode("latin1")
    return MAGIC + b"\x01\x00" + len(body).to_bytes(2, "little") + body


def read_header(data: bytes | memoryview) -> Header:
    """Return the header at the beginning of `data`, of what the SDK passes on. Raises NotAnImage."""
    header = read_any_header(data)
    if not header.plain:
        require_plain(header.type, header.shape)
    return header


def read_any_header(data: bytes | memoryview) -> Header:
    """Return the header at the beginning of `data`, also of what has to be converted. Raises NotAnImage."""
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
    kind = type_of(description)
    check_shape(shape)
    return Header(shape, len(start), bool(fields.get("fortran_order")), kind, is_plain(kind, shape))
