"""Recorded calls in one file, to be taken elsewhere: an uncompressed zip of the very files that a store has of them.

    recordings.json          {"format": "procvision-recordings", "version": 1}
    calls/<id>.call          a call's file
    guides/<sha256>.guide    a guide picture, once for all calls that share it

Such a file may come from anybody. Nothing in it becomes a path, and nothing makes its reader take more memory than a
picture and a head may have.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

import orjson

from controller.errors import StoreError
from controller.model.recording import ID_PATTERN, RecordedCall, RecordingFilter
from controller.recordings.call_file import Head, read_head, read_picture
from controller.recordings.index import filtered
from controller.recordings.pixels import Damaged
from controller.recordings.source import PackedCall, Pictures, RecordingSource

_ABOUT, _FORMAT, _VERSION = "recordings.json", "procvision-recordings", 1
_CALL = re.compile(rf"calls/({ID_PATTERN})\.call", re.ASCII)
_UNREADABLE = 0x61
"""Flags of a zip's member: encrypted, patched data, strongly encrypted (PKWARE's APPNOTE.TXT, section 4.4.4)."""
_MOST_HEADS = 256 * 2**20
"""Bytes of heads in one file: half a million calls that say as much as calls do."""


class Exported(NamedTuple):
    """What was written."""

    calls: int
    gone: int


def export(source: RecordingSource, wanted: RecordingFilter, out: IO[bytes]) -> Exported:
    """Write the calls that are meant, call by call; `out` need not be seekable. Raises StoreError, OSError."""
    written = gone = 0
    guides: set[str] = set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_ABOUT, orjson.dumps({"format": _FORMAT, "version": _VERSION}))
        for call in source.calls(wanted):
            packed = source.packed(call)
            if packed is None:  # it was the oldest, say, and gave way
                gone += 1
                continue
            archive.writestr(f"calls/{call.id}.call", packed.call)
            if packed.guide and packed.guide_sha256 not in guides:
                guides.add(packed.guide_sha256)
                archive.writestr(f"guides/{packed.guide_sha256}.guide", packed.guide)
            written += 1
    return Exported(written, gone)


class ExportFile:
    """A `RecordingSource` of one exported file. `damaged`: calls in it that cannot be read.

    Raises StoreError where the file is no such export.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0
        self._heads = {head.call.id: head for head in self._read_heads()}

    def calls(self, wanted: RecordingFilter) -> Sequence[RecordedCall]:
        """Return the calls that are meant, the newest first."""
        return filtered(self._heads.values(), wanted)

    def pictures(self, call: RecordedCall) -> Pictures | None:
        """Return the pictures of a call; None where they are damaged. Raises StoreError."""
        try:
            with self._opened() as archive:
                return _pictures(archive, self._heads[call.id])
        except (KeyError, Damaged):
            return None

    def packed(self, call: RecordedCall) -> PackedCall | None:
        """Return a call as it is kept; None where it is damaged. Raises StoreError."""
        try:
            head = self._heads[call.id]
            with self._opened() as archive:
                _pictures(archive, head)
                guide = head.guide
                return PackedCall(
                    archive.read(f"calls/{call.id}.call"),
                    guide.sha256 if guide is not None else "",
                    archive.read(f"guides/{guide.sha256}.guide") if guide is not None else b"",
                )
        except (KeyError, Damaged):
            return None

    def _read_heads(self) -> Iterator[Head]:
        with self._opened() as archive:
            self._require_format(archive)
            size = 0
            for info in archive.infolist():
                match = _CALL.fullmatch(info.filename)
                if match is None:
                    continue
                try:
                    with _stored(archive, info.filename) as file:
                        head = read_head(file, info.file_size)
                except Damaged:
                    head = None
                if head is None or head.call.id != match[1]:
                    self.damaged += 1
                    continue
                size += head.offset
                if size > _MOST_HEADS:
                    raise self._refused("says more than can be read at once")
                yield head

    def _require_format(self, archive: zipfile.ZipFile) -> None:
        try:
            with _stored(archive, _ABOUT) as file:
                about = orjson.loads(file.read(4096))
            found = about["format"], about["version"]
        except (KeyError, TypeError, ValueError):
            raise self._refused("is no export of recordings") from None
        if found != (_FORMAT, _VERSION):
            raise self._refused(f"is an export of version {str(found[1])[:20]}, which this release cannot read")

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            try:
                archive = zipfile.ZipFile(self._path)
            except NotImplementedError as error:  # of a kind that this Python does not know
                raise zipfile.BadZipFile(str(error)) from error
            with archive:
                yield archive
        except (zipfile.BadZipFile, EOFError) as error:
            raise self._refused(f"is no export of recordings, or was cut off ({str(error)[:100]})") from None
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror or error}") from error

    def _refused(self, why: str) -> StoreError:
        return StoreError(f"{self._path} {why}", next_step="export again with `pvctl recordings export`")


@contextmanager
def _stored(archive: zipfile.ZipFile, name: str) -> Iterator[BinaryIO]:
    """Open a member that is not compressed. Raises Damaged, KeyError."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise Damaged("is compressed")
    if info.flag_bits & _UNREADABLE:
        raise Damaged("is encrypted, or a patch of another file")
    with archive.open(info) as file:
        yield cast("BinaryIO", file)


def _pictures(archive: zipfile.ZipFile, head: Head) -> Pictures:
    """Raises Damaged, KeyError (its guide is not there)."""
    call = head.call
    with _stored(archive, f"calls/{call.id}.call") as file:
        again = read_head(file, head.own_size)
        image = read_picture(file, again.image, again.call.image)
    if head.guide is None or call.guide is None:
        return Pictures(image, None)
    with _stored(archive, f"guides/{head.guide.sha256}.guide") as file:
        return Pictures(image, read_picture(file, head.guide.block, call.guide))
