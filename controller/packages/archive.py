"""A zip as a checked list of members, and reading from it. Nothing is written here.

Opening refuses what could do harm (names, kinds of file, bombs, overlaps); a damaged member is found when it is read.
"""

from __future__ import annotations

import errno
import hashlib
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from controller.errors import PackageError, StoreError
from controller.packages.decompression import DAMAGE, METHODS, member_pieces
from controller.packages.directory import read_directory
from controller.packages.limits import Limits
from controller.packages.names import check_name, collision_key, decode_name, found_by, invalid_zip, plain_name

_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, and masked headers


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive under its decoded name."""

    name: str
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        return self.info.file_size

    @property
    def executable(self) -> bool:
        return bool(self.info.external_attr >> 16 & 0o111)


class Archive:
    """An open zip whose central directory has passed every check. `folders` holds implied folders too."""

    def __init__(self, path: Path, handle: BufferedReader, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self._handle = handle
        with damage_is_2001(path):
            with read_directory(handle, limits) as directory:
                infos = directory.infolist()
            with found_by("names"):
                self.files, self.folders = _checked_members(infos)

    def digest(self) -> str:
        """Return `sha256:…` of the zip file. Raises StoreError on a disk error."""
        with damage_is_2001(self.path):
            self._handle.seek(0)
            return "sha256:" + hashlib.file_digest(self._handle, "sha256").hexdigest()

    def read_text(self, name: str) -> bytes:
        """Return the content of a small member. Raises PackageError 2001 where it is damaged or too large."""
        member = self.files[name]
        if member.size > self.limits.text_bytes:
            raise invalid_zip(f"{name} is larger than {self.limits.text_bytes} bytes")
        return b"".join(self.chunks(member))

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield a member's content; the end of it proves its CRC. Raises PackageError 2001 where it is damaged."""
        with damage_is_2001(self.path, member.name):
            yield from member_pieces(self._handle, member.info)


@contextmanager
def open_archive(path: Path, limits: Limits) -> Iterator[Archive]:
    """Open a zip and check everything that its central directory says. What is refused later names the zip too.

    Raises:
        PackageError: 2001, it is not a zip, or one that is refused.
        StoreError: the disk failed.
    """
    if path.exists() and not path.is_file():  # to open a named pipe would wait for ever
        raise invalid_zip(f"{path} is not a file", next_step="check the path")
    try:
        handle = path.open("rb")
    except OSError as error:
        raise invalid_zip(f"cannot read {path}: {error.strerror}", next_step="check the path") from error
    with handle:
        try:
            yield Archive(path, handle, limits)
        except PackageError as error:
            raise _naming(path, error) from error.__cause__


def _naming(path: Path, error: PackageError) -> PackageError:
    """Return the error with the zip's name in it, wherever in its work it was found."""
    if path.name in error.message:
        return error
    named = PackageError(error.code, f"{path.name}: {error.message}", next_step=error.next_step, details=error.details)
    named.check = error.check
    return named


@contextmanager
def damage_is_2001(path: Path, member: str = "") -> Iterator[None]:
    """Turn what the standard library raises on a damaged zip into 2001, and a disk error into a StoreError."""
    where = f"{member} in {path.name}" if member else path.name
    try:
        yield
    except PackageError:
        raise
    except DAMAGE as error:
        raise invalid_zip(f"{where} is damaged or not a zip: {error or type(error).__name__}") from error
    except OSError as error:
        if error.errno in {None, errno.EINVAL}:  # the bz2 decoder, and a seek to a place that cannot be
            raise invalid_zip(f"{where} is damaged: {error}") from error
        raise StoreError(f"cannot read {path}: {error.strerror}", next_step="check the disk") from error


def _checked_members(infos: Iterable[zipfile.ZipInfo]) -> tuple[Mapping[str, Member], frozenset[str]]:
    files: dict[str, Member] = {}
    spellings: dict[str, str] = {}
    folders: set[str] = set()
    declared: set[str] = set()
    for info in infos:
        name = plain_name(decode_name(info))
        if not name:
            continue
        check_name(name)
        _check_kind(name, info)
        path = name.removesuffix("/")
        if path in files:
            raise invalid_zip(f"{path!r} is there twice")
        parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
        for each in (path, *parents):
            _check_spelling(each, spellings)
        folders.update(parents)
        if name.endswith("/"):
            declared.add(path)
        else:
            files[path] = Member(path, info)
    folders |= declared
    if both := sorted(folders & files.keys()):
        raise invalid_zip(f"{both[0]!r} is a file and a folder")
    return files, frozenset(folders)


def _check_spelling(name: str, spellings: dict[str, str]) -> None:
    if (other := spellings.setdefault(collision_key(name), name)) != name:
        raise invalid_zip(f"{name!r} and {other!r} differ only in case or accents")


def _check_kind(name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise invalid_zip(f"{name!r} is encrypted", next_step="pack it without a password")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise invalid_zip(f"{name!r} is a link", next_step="pack the file that it points to")
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise invalid_zip(f"{name!r} is a special file")
    if kind and (kind == stat.S_IFDIR) != name.endswith("/"):
        raise invalid_zip(f"{name!r} is said to be a file and a folder")
    if name.endswith("/") and info.file_size:
        raise invalid_zip(f"the folder {name!r} holds data")
    if info.compress_type not in METHODS:
        raise invalid_zip(
            f"{name!r} is compressed in a way (method {info.compress_type}) that is not supported",
            next_step="pack it with deflate",
        )
