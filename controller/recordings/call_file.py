"""The file of one recorded call: what is known of it, then its picture. Bytes and their meaning, no places.

    7 bytes b"PVCALL\\n" · 1 byte kinds · 4 bytes length of the head · 4 bytes its CRC-32 · the head, JSON · the picture

Numbers are big-endian. The kinds stand outside the head because one may come when the file is written already. A guide
picture stands in a file beside it, which calls with the same guide share; the head has its length, CRC-32 and SHA-256.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import orjson

from controller.images import npy
from controller.images.formats import Picture
from controller.model.recording import KINDS, RecordedCall, RecordedPicture, RecordingKind
from controller.recordings.pixels import Damaged, Packed, unpack

_START = struct.Struct(">7sBII")
_MAGIC = b"PVCALL\n"
_FORMAT = 1
KINDS_AT = 7
"""Where in the file the byte of the kinds is."""
MOST_HEAD = 4 * 2**20
"""Bytes of a head. A call whose arguments and answer need more is not recorded."""


class TooLarge(ValueError):
    """What was said in a call is too much to be recorded."""


@dataclass(frozen=True, slots=True)
class Block:
    """A picture's bytes as they are kept: how, how many, and their CRC-32."""

    codec: str
    size: int
    crc: int

    @classmethod
    def of(cls, packed: Packed) -> Block:
        return cls(packed.codec, len(packed.data), zlib.crc32(packed.data))

    def to_document(self) -> dict[str, Any]:
        return {"codec": self.codec, "size": self.size, "crc": self.crc}


@dataclass(frozen=True, slots=True)
class Guide:
    """A guide picture in a file of its own. `sha256` is that of its shape and pixels."""

    block: Block
    sha256: str


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of its call; `offset`: where the picture begins, `call.size` counts the guide's file in."""

    call: RecordedCall
    image: Block
    guide: Guide | None
    offset: int

    @property
    def own_size(self) -> int:
        """Bytes of the file itself."""
        return self.offset + self.image.size


def mask_of(kinds: Iterable[RecordingKind]) -> int:
    """Return the kinds as bits."""
    return sum(1 << KINDS.index(kind) for kind in set(kinds))


def kinds_of(mask: int) -> tuple[RecordingKind, ...]:
    """Return the kinds that bits stand for; those of a newer release are passed over."""
    return tuple(kind for bit, kind in enumerate(KINDS) if mask >> bit & 1)


def write_head(call: RecordedCall, image: Block, guide: Guide | None) -> tuple[bytes, Head]:
    """Return the beginning of a call's file, and what it says. Raises TooLarge."""
    document = call.to_document()
    del document["kinds"], document["size"]
    document = {
        "format": _FORMAT,
        "call": document,
        "image": image.to_document(),
        "guide": None if guide is None else guide.block.to_document() | {"sha256": guide.sha256},
    }
    try:
        text = orjson.dumps(document)
    except TypeError as error:
        raise TooLarge(f"cannot be written down: {error}") from None
    if len(text) > MOST_HEAD:
        raise TooLarge(f"says {len(text):,} bytes, of which {MOST_HEAD:,} at most are recorded")
    start = _START.pack(_MAGIC, mask_of(call.kinds), len(text), zlib.crc32(text))
    return start + text, _sized(Head(call, image, guide, len(start) + len(text)))


def _sized(head: Head) -> Head:
    size = head.own_size + (head.guide.block.size if head.guide is not None else 0)
    return replace(head, call=replace(head.call, size=size))


def read_head(file: BinaryIO, size: int) -> Head:
    """Return what a file of that size says of its call; the picture is not looked at. Raises Damaged, OSError."""
    start = file.read(_START.size)
    if len(start) < _START.size:
        raise Damaged("was cut off")
    magic, mask, length, crc = _START.unpack(start)
    if magic != _MAGIC:
        raise Damaged("is no recorded call")
    if length > min(MOST_HEAD, size):
        raise Damaged("has a head of absurd length")
    text = file.read(length)
    if len(text) < length or zlib.crc32(text) != crc:
        raise Damaged("has a damaged head")
    head = _head(text, mask, _START.size + length)
    if head.own_size != size:
        raise Damaged(f"has {size:,} bytes where {head.own_size:,} are announced")
    return head


def _head(text: bytes, mask: int, offset: int) -> Head:
    try:
        document = orjson.loads(text)
        if document["format"] != _FORMAT:
            raise Damaged(f"is of format {str(document['format'])[:20]!r}, which this release does not know")
        call = RecordedCall.from_document(document["call"] | {"kinds": kinds_of(mask), "size": 0})
        guide = document["guide"]
        head = Head(
            call,
            _block(document["image"]),
            None if guide is None else Guide(_block(guide), _sha256(guide["sha256"])),
            offset,
        )
        for picture in (call.image, call.guide):
            if picture is not None:
                npy.check_shape(picture.shape)
                npy.require_plain(npy.BYTES, picture.shape)
        if (call.guide is None) != (head.guide is None):
            raise Damaged("disagrees with itself about its guide")
    except Damaged:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"has a head that says nothing: {str(error)[:200]}") from None
    return _sized(head)


def _block(document: Mapping[str, Any]) -> Block:
    codec, size, crc = document["codec"], document["size"], document["crc"]
    if not (isinstance(codec, str) and type(size) is int and type(crc) is int and 0 < size <= 3 * npy.MAX_PIXELS):
        raise Damaged("does not say how its picture is kept")
    return Block(codec, size, crc)


def _sha256(text: object) -> str:
    if not isinstance(text, str) or len(text) != 64 or not text.isascii() or not text.isalnum():
        raise Damaged("does not say which guide it has")
    return text


def read_picture(file: BinaryIO, block: Block, said: RecordedPicture) -> Picture:
    """Return the picture at the place of the file. Raises Damaged, OSError."""
    data = file.read(block.size)
    if len(data) < block.size or zlib.crc32(data) != block.crc:
        raise Damaged("has a damaged picture")
    return Picture(said.shape, memoryview(unpack(block.codec, data, said.shape)), conversion=said.conversion)
