"""`run/images` itself: a folder in memory where there is such a place, and whose it is."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from controller.errors import StoreError

_MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of our own in it, verified below)
RUN_OPEN_TO_GROUP = 0o710
"""Mode of `run` where a group may come in; `run/images` is then its to write in too, also when it is made anew."""


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

    A link that dangles (after a reboot, or when the folder behind it was removed) is repaired. Raises StoreError.
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
        run = images.parent.stat()
        if stat.S_IMODE(run.st_mode) == RUN_OPEN_TO_GROUP:
            open_to_group(images, run.st_gid)
    except OSError as error:
        raise StoreError(f"cannot make {images}: {error.strerror}") from error


def open_to_group(images: Path, group_id: int) -> None:
    """Let a group of users share images: files belong to the group, and only their owner may remove them."""
    os.chown(images, -1, group_id)
    images.chmod(0o3770)


def close_folder(images: Path, memory: Path = _MEMORY) -> None:
    """Remove the folder, unless a host application's images are still in it."""
    with suppress(OSError):  # not empty, or never made
        if images.is_symlink() and images.readlink() == memory_folder(images, memory):
            memory_folder(images, memory).rmdir()
            images.unlink()
        else:
            images.rmdir()


def files_of(images: Path, token_prefix: str | tuple[str, ...]) -> Iterator[Path]:
    """Yield the files of a store's processes; what a host application put there is not among them."""
    if images.is_dir():
        yield from (path for path in images.iterdir() if path.name.startswith(token_prefix))
