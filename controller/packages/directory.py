"""The directory of a zip, held against the limits before and after objects are built of it.

Of what it says of sizes only this is taken here: more than that is never unpacked (`decompression` sees to it).
"""

from __future__ import annotations

import struct
import zipfile
from typing import BinaryIO

from controller.packages.limits import Limits
from controller.packages.names import found_by, invalid_zip

_LOCAL_HEADER = 30
_ENTRY = struct.Struct("<4s24x3H12x")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64_BYTES = 20
_ENTRY_BYTES = 256
"""What an entry may take on average: a name of some 200 bytes."""


def read_directory(file: BinaryIO, limits: Limits) -> zipfile.ZipFile:
    """Return the zip with its directory read and held against the limits.

    Raises PackageError 2001, and what `zipfile` raises where it is damaged.
    """
    _check_count(file, limits)
    archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    with found_by("sizes"):
        _check_sizes(infos, limits)
        _check_overlaps(infos, archive.start_dir)
    return archive


def _check_count(file: BinaryIO, limits: Limits) -> None:
    """Refuse a directory with too many entries before objects are built of them; what it says of itself counts little.

    `zipfile` takes the size from the 64-bit record wherever there is one, so that one counts here too.
    """
    file_bytes = file.seek(0, 2)
    start = max(0, file_bytes - (1 << 16) - _END.size - _LOCATOR64_BYTES - _END64.size)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise zipfile.BadZipFile("the end of its directory is missing")
    size, end = _END.unpack_from(tail, at)[5], start + at
    if tail[max(0, at - _LOCATOR64_BYTES) : at].startswith(b"PK\6\7"):
        record = at - _LOCATOR64_BYTES - _END64.size
        if record >= 0 and tail.startswith(b"PK\6\6", record):
            size, end = max(size, _END64.unpack_from(tail, record)[8]), start + record
    if size > min(limits.members * _ENTRY_BYTES, end):
        raise invalid_zip(f"its directory is far too large for {limits.members} members")
    file.seek(end - size)
    directory, position, count = file.read(size), 0, 0
    while directory.startswith(b"PK\1\2", position):
        lengths = _ENTRY.unpack_from(directory, position)[1:]
        position += _ENTRY.size + sum(lengths)
        count += 1
        if count > limits.members:
            raise invalid_zip(f"it holds more than {limits.members} members")


def _check_sizes(infos: list[zipfile.ZipInfo], limits: Limits) -> None:
    total = packed = 0
    for info in infos:
        total, packed = total + info.file_size, packed + info.compress_size
        if _is_bomb(info.file_size, info.compress_size, limits):
            raise invalid_zip(
                f"{info.filename!r} unpacks to {info.file_size} bytes, more than {limits.ratio} times its packed size",
                next_step="if that is what it holds, raise the limit of the ratio in StationPolicy spec.limits",
            )
        if total > limits.total_bytes:
            raise invalid_zip(
                f"it unpacks to more than {limits.total_bytes} bytes",
                next_step="leave out what the station does not need, or raise the limit in StationPolicy spec.limits",
            )
    if _is_bomb(total, packed, limits):
        raise invalid_zip(f"all of it unpacks to {total} bytes, more than {limits.ratio} times its packed size")


def _is_bomb(unpacked: int, packed: int, limits: Limits) -> bool:
    """Whether something unpacks to too much. A mask or an empty array packs 1000:1, so small things are let be."""
    return unpacked > limits.ratio_from_bytes and unpacked > limits.ratio * packed


def _check_overlaps(infos: list[zipfile.ZipInfo], directory_start: int) -> None:
    end = min((info.header_offset for info in infos), default=0)
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise invalid_zip(f"{info.filename!r} overlaps another member")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
    if end > directory_start:
        raise invalid_zip("a member overlaps the directory")
