"""One member of a zip, piece by piece: however it is packed, no piece is larger than a chunk.

What a directory says of a size is a promise of whoever made the file. It is held to while the bytes are made: nothing
is unpacked beyond it, and the end proves size and CRC. (`zipfile` bounds only deflate: there a bz2 member of a kilobyte
becomes gigabytes in one call.)
"""

from __future__ import annotations

import bz2
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

CHUNK = 1 << 20
"""The most bytes of one piece."""
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})
"""How members may be packed."""

DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError, IndexError,
)  # fmt: skip
"""What the standard library raises on an archive that is not well-formed, besides an OSError of the bz2 decoder."""

_UTF8_FLAG = 0x800
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class _Decoder(Protocol):
    """Turns packed bytes into bytes, `max_length` at a time; `needs_input` where it has no more without new input."""

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Stored:
    @property
    def needs_input(self) -> bool:
        return True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return data[:max_length]  # never more than was read: a chunk


class _Inflate:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _Bunzip2:
    def __init__(self) -> None:
        self._decoder = bz2.BZ2Decompressor()

    @property
    def needs_input(self) -> bool:
        return self._decoder.needs_input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return b"" if self._decoder.eof else self._decoder.decompress(data, max_length)


def member_pieces(file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a member's content in pieces of `CHUNK` bytes at most; reading to the end proves it.

    `file` may be read elsewhere between two pieces. Raises zipfile.BadZipFile where the member is damaged or is not
    what the directory says, and what its decoder raises.
    """
    decoder = _decoder(info.compress_type)
    position, left = _start_of_data(file, info), info.compress_size
    made = crc = 0
    while True:
        packed = b""
        if left and decoder.needs_input:
            file.seek(position)
            packed = file.read(min(CHUNK, left))
            if not packed:
                raise zipfile.BadZipFile("it ends too early")
            position, left = position + len(packed), left - len(packed)
        piece = decoder.decompress(packed, CHUNK)
        made += len(piece)
        if made > info.file_size:
            raise zipfile.BadZipFile(f"it unpacks to more than the {info.file_size} bytes that the directory says")
        if piece:
            crc = zlib.crc32(piece, crc)
            yield piece
        elif not left or not decoder.needs_input:  # what stands behind the end of a bz2 stream is nobody's
            break
    if made != info.file_size or crc != info.CRC:
        raise zipfile.BadZipFile("its size or CRC is not what the directory says")


def _decoder(method: int) -> _Decoder:
    if method == zipfile.ZIP_DEFLATED:
        return _Inflate()
    if method == zipfile.ZIP_BZIP2:
        return _Bunzip2()
    if method == zipfile.ZIP_STORED:
        return _Stored()
    raise zipfile.BadZipFile(f"it is packed by method {method}, which is not supported")


def _start_of_data(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where the packed bytes begin, by the header before them, which must name the same member."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    magic, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    name = file.read(name_bytes)
    utf8 = info.flag_bits & _UTF8_FLAG
    if magic != b"PK\3\4" or name != info.orig_filename.encode("utf-8" if utf8 else "cp437"):
        raise zipfile.BadZipFile("its header is not the one that the directory points to")
    return info.header_offset + _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)
