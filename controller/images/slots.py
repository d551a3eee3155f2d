"""`run/images`: the memory-backed folder through which pixels reach the adapters, and each process's own files in it.

A process has one file for each role of an image and overwrites it call by call, which is several times cheaper than
making a new one. Only who holds the process's call lock writes them, so an adapter never sees a picture change.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from controller.errors import CallError, Code, StoreError
from controller.images import npy
from controller.images.formats import ImageRef, Picture, refused
from controller.wire.messages import SharedImage

_MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of our own in it, verified below)
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
ROLES = ("image", "guide")


def memory_folder(images: Path, memory: Path = _MEMORY) -> Path:
    """Return the folder behind a store's `run/images`: its name is made of the store's path and the user."""
    name = hashlib.sha256(f"{os.getuid()}:{images}".encode()).hexdigest()[:16]
    return memory / f"procvision-{os.getuid()}-{name}"


def _verified(folder: Path) -> bool:
    """Make a folder of our own; return False where that is not possible. Raises StoreError where it is another's."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StoreError(f"{folder} is not ours: somebody else made it", next_step="remove it, or use another --store")
    return True


def open_folder(images: Path, memory: Path = _MEMORY) -> None:
    """Make `run/images` usable: a link into memory where there is such a place, else a plain folder.

    A link that dangles after a reboot is repaired. Raises StoreError.
    """
    try:
        if images.is_dir() and not images.is_symlink():
            return
        target = memory_folder(images, memory)
        if not _verified(target):
            images.unlink(missing_ok=True)
            images.mkdir(mode=0o700)
        elif not images.is_symlink() or images.readlink() != target:
            images.unlink(missing_ok=True)
            images.symlink_to(target)
    except OSError as error:
        raise StoreError(f"cannot make {images}: {error.strerror}") from error


def close_folder(images: Path, memory: Path = _MEMORY) -> None:
    """Remove the folder, unless a host application's images are still in it."""
    with suppress(OSError):  # not empty, or never made
        if images.is_symlink() and images.readlink() == memory_folder(images, memory):
            memory_folder(images, memory).rmdir()
            images.unlink()
        else:
            images.rmdir()


def sweep(images: Path, token_prefix: str, living: set[str]) -> None:
    """Remove the files of processes of this store that no longer live. Raises OSError."""
    for path in files_of(images, token_prefix):
        if path.name.split(".")[0] not in living:
            path.unlink(missing_ok=True)


def files_of(images: Path, token_prefix: str) -> Iterator[Path]:
    """Yield the files of a store's processes; what a host application put there is not among them."""
    if images.is_dir():
        yield from (path for path in images.iterdir() if path.name.startswith(token_prefix))


@dataclass
class Slots:
    """The files of one process in `folder`. Their ids are its token and the role."""

    folder: Path
    token: str
    _open: dict[str, int] = field(default_factory=dict)
    _text: str = field(init=False)
    """The folder as text: it is asked for with every call."""

    def __post_init__(self) -> None:
        self._text = str(self.folder)

    def put(self, picture: Picture, role: str) -> SharedImage:
        """Write a picture into the file of its role, over what was there.

        Raises:
            CallError: 1000, there is no room for it.
        """
        header = npy.write_header(picture.shape)
        try:
            descriptor = self._descriptor(role)
            size = _write_all(descriptor, header, picture.pixels)
            if os.fstat(descriptor).st_size > size:
                os.ftruncate(descriptor, size)
        except OSError as error:
            raise CallError(
                Code.unknown,
                f"the {role} does not fit into {self.folder}: {error.strerror}",
                next_step="give shared memory more room (in a container: --shm-size)",
            ) from None
        return SharedImage(f"{self.token}.{role}", picture.shape[1], picture.shape[0])

    def _descriptor(self, role: str) -> int:
        if role not in self._open:
            path = self.folder / f"{self.token}.{role}.npy"
            self._open[role] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return self._open[role]

    def find(self, ref: ImageRef) -> SharedImage:
        """Return the image that a host application put into the folder.

        Raises:
            CallError: 1003, the id cannot be one; 1007, the file is not there or holds no image.
        """
        if not isinstance(ref.id, str) or not _ID.fullmatch(ref.id):
            raise CallError(
                Code.invalid_params,
                f"image_ref {str(ref.id)[:80]!r} is no image id",
                next_step="use letters, digits, '.', '_' and '-', not beginning with '.'",
            )
        path = f"{self._text}/{ref.id}.npy"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                header = npy.read_header(os.read(descriptor, npy.MAX_HEADER))
                size = os.lseek(descriptor, 0, os.SEEK_END)
            finally:
                os.close(descriptor)
            if size < header.end:
                raise npy.NotAnImage(f"is truncated: {header.end:,} bytes are announced, {size:,} are there")
        except npy.NotAnImage as error:
            raise refused(f"the shared image {path}", error, code=Code.shared_memory_not_found) from None
        except OSError as error:
            raise CallError(
                Code.shared_memory_not_found,
                f"the shared image {path} cannot be read: {error.strerror}",
                next_step="write the file completely, under another name, and rename it before the call",
            ) from None
        return SharedImage(ref.id, header.shape[1], header.shape[0])

    def close(self) -> None:
        """Let go of the files; they stay."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def remove(self) -> None:
        """Remove the files."""
        self.close()
        for role in ROLES:
            with suppress(OSError):  # it was never written, or the folder is gone
                (self.folder / f"{self.token}.{role}.npy").unlink()


def _write_all(descriptor: int, header: bytes, pixels: memoryview) -> int:
    size = len(header) + len(pixels)
    done = os.pwritev(descriptor, [header, pixels], 0)
    if done < size:  # interrupted, or the room is running out: the second write says which
        rest = memoryview(b"".join((header, pixels)))
        while done < size:
            done += os.pwrite(descriptor, rest[done:], done)
    return size
