"""The one place where a file of the store is replaced or appended to durably.

Replace: write `<name>.tmp`, fsync, read back and validate, rename, fsync the folder, read the target back. A reader
sees the old content or the new, also after a power cut; what was acknowledged is on the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tenacity import retry, retry_if_exception, stop_after_attempt

from controller.errors import StoreError

_ATTEMPTS = 3


def _is_input_output_error(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EIO


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes, validate: Callable[[bytes], object] | None = None) -> None:
    """Replace `path` durably by `content`.

    `validate` is called with what was read back from the temporary file and raises where it must not go live.
    An EIO from the disk does not acknowledge anything: the whole write is done again, three times at most.

    Raises:
        StoreError: the write failed; the old content is still in place and the temporary file is gone.
    """
    try:
        _replace(path, content, validate)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}", next_step="check the disk and its free space"
        ) from error


@retry(retry=retry_if_exception(_is_input_output_error), stop=stop_after_attempt(_ATTEMPTS), reraise=True)
def _replace(path: Path, content: bytes, validate: Callable[[bytes], object] | None) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        _write_and_sync(temporary, content)
        read_back = temporary.read_bytes()
        if read_back != content:
            raise StoreError(f"cannot write {path}: the disk returned other bytes than were written")
        if validate is not None:
            validate(read_back)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        raise
    fsync_folder(path.parent)
    if path.read_bytes() != content:
        raise StoreError(f"cannot write {path}: the rename was acknowledged but did not happen")


def _write_and_sync(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_if_changed(path: Path, content: bytes, validate: Callable[[bytes], object] | None = None) -> bool:
    """Replace `path` only where its content differs; return whether it was written. Raises StoreError."""
    try:
        if path.read_bytes() == content:
            return False
    except OSError:
        pass  # absent or unreadable: writing it is the cure, and its own error says more
    write_atomic(path, content, validate)
    return True


def append_durably(path: Path, line: bytes) -> None:
    """Append one line and fsync it. Raises StoreError; a partial line is cut off again."""
    try:
        created = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fdatasync(descriptor)
            except OSError:
                with suppress(OSError):  # the first error is the one to report
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if created:
            fsync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"cannot append to {path}: {error.strerror or error}",
            next_step="check the disk and its free space",
        ) from error


def remove_durably(path: Path) -> None:
    """Unlink a file, if it is there, and make that durable. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror or error}") from error
