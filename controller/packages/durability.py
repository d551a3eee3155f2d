"""Making a whole tree durable at once, and knowing after a power cut that the cache may not be.

One `syncfs` for an environment of thousands of files, instead of an fsync for each.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.host.clock import boot_id
from controller.store.atomic import fsync_folder, sync_data

_MARK = "in-use-"


def sync_file_system(folder: Path) -> None:
    """Write everything of the file system that holds `folder` to its disk. Raises OSError where that failed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


@contextmanager
def cache_in_use(cache: Path, user: str) -> Iterator[None]:
    """Mark the cache for the time in which it holds bytes of `user` that were not synced; a sweep reads the mark."""
    mark = cache / f"{_MARK}{user}"
    cache.mkdir(parents=True, exist_ok=True)
    mark.write_text(boot_id())
    sync_data(mark)
    fsync_folder(cache)
    yield  # after a failure the mark stays: what is in the cache was not synced
    mark.unlink(missing_ok=True)


def discard_torn_cache(cache: Path) -> bool:
    """Empty the cache if the machine went down while it was being filled; return whether it did. Raises OSError.

    After a mere kill everything is there as written: the marks then are of this boot, and only they go.
    """
    marks = list(cache.glob(f"{_MARK}*"))
    torn = any(mark.read_text() != boot_id() for mark in marks)
    if torn:
        shutil.rmtree(cache)
        cache.mkdir()
    for mark in marks:
        mark.unlink(missing_ok=True)
    return torn
