"""Hostile and odd archives, made by patching a zip that the real packager made."""

from __future__ import annotations

import base64
import copy
import hashlib
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

Edit = Callable[[zipfile.ZipInfo], None]


def rewrite(
    source: Path,
    target: Path,
    *,
    rename: Callable[[str], str | None] = lambda name: name,
    replace: Mapping[str, bytes] | None = None,
    add: Mapping[str, bytes] | None = None,
) -> Path:
    """Copy a zip member by member: `rename` returns a new name or None to drop it, `replace` gives new contents."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if (name := rename(info.filename)) is not None:
                content = (replace or {}).get(info.filename)
                new.writestr(_named(info, name), old.read(info) if content is None else content)
        for name, content in (add or {}).items():
            new.writestr(zipfile.ZipInfo(name), content)
    return target


def _named(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    fresh = zipfile.ZipInfo(name, info.date_time)
    fresh.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else info.compress_type  # packed already
    fresh.external_attr = info.external_attr
    return fresh


def with_files(wheel: Path, folder: Path, files: Mapping[str, bytes]) -> Path:
    """Copy a wheel into a folder, with further files that its RECORD lists."""
    record = wheel.name.rpartition("-py3")[0] + ".dist-info/RECORD"
    rows = [f"{name},sha256={urlsafe(content)},{len(content)}\n" for name, content in files.items()]
    with zipfile.ZipFile(wheel) as archive:
        listed = archive.read(record) + "".join(rows).encode()
    return rewrite(wheel, folder / wheel.name, replace={record: listed}, add=files)


def urlsafe(content: bytes) -> str:
    """Return a digest as a RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def append(source: Path, target: Path, name: str, content: bytes = b"x", edit: Edit = lambda _: None) -> Path:
    """Copy a zip and add one member, whose entry `edit` may spoil; the name is written as it is."""
    target.write_bytes(source.read_bytes())
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = 0o644 << 16
    edit(info)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(info, content)
    return target


def patch_central(source: Path, target: Path, member: str, edit: Callable[[bytearray, int], None]) -> Path:
    """Copy a zip and let `edit` change the bytes of one member's entry in the central directory, at its offset."""
    data = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        at = archive.start_dir
    while data[at : at + 4] == b"PK\1\2":
        name_length, extra, comment = struct.unpack_from("<3H", data, at + 28)
        if bytes(data[at + 46 : at + 46 + name_length]).decode() == member:
            edit(data, at)
            break
        at += 46 + name_length + extra + comment
    else:
        raise KeyError(member)
    target.write_bytes(data)
    return target


def raw_name(source: Path, target: Path, name: str, encoded: bytes) -> Path:
    """Give the member `name` the raw bytes `encoded` (of the same length) as its name, without the UTF-8 flag."""
    assert len(name.encode()) == len(encoded)
    data = source.read_bytes().replace(name.encode(), encoded)
    target.write_bytes(data)
    return target


def flip_bits(source: Path, target: Path, member: str) -> Path:
    """Copy a zip and damage the packed bytes of one member."""
    with zipfile.ZipFile(source) as archive:
        info = copy.copy(archive.getinfo(member))
    data = bytearray(source.read_bytes())
    at = info.header_offset + 30 + len(info.filename.encode()) + info.compress_size // 2
    data[at] ^= 0xFF
    target.write_bytes(data)
    return target
