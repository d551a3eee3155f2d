"""The one place where a file of the store is replaced or appended to durably.

Replace: write `<name>.tmp`, fsync, read back and validate, rename, fsync the folder, read the target back. A reader
sees the old content or the new, also after a power cut; what was acknowledged is on the disk. Several files of one
folder are replaced one after the other, and their folder is synced once.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.errors import NotSynced, StoreError

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file's new content. `validate` gets what was read back and raises where it must not go live."""

    path: Path
    content: bytes
    validate: Callable[[bytes], object] | None = None
    mode: int = 0o644


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make durable what was renamed or removed in a folder. Raises NotSynced."""
    try:
        fsync_folder(folder)
    except OSError as error:
        raise NotSynced(folder, error) from error


def write_atomic(
    path: Path, content: bytes, validate: Callable[[bytes], object] | None = None, mode: int = 0o644
) -> None:
    """Replace `path` durably by `content`, with at most the permissions of `mode`.

    `validate` is called with what was read back from the temporary file and raises where it must not go live.
    An EIO from the disk does not acknowledge anything: the whole write is done again, three times at most.

    Raises:
        NotSynced: the new content is in place, but may be gone after a power cut.
        StoreError: the write failed; the old content is still in place and the temporary file is gone.
    """
    for error in write_all_atomic((Replacement(path, content, validate, mode),)).values():
        raise error


def write_all_atomic(replacements: Sequence[Replacement]) -> dict[Path, Exception]:
    """Replace several files durably, in their order, each on its own account; return by path what went wrong.

    A file without an error is replaced, and that is on the disk. The error is what `write_atomic` would raise.
    """
    failures = _attempt(replacements)
    if any(map(_may_pass, failures.values())):
        failures = _write_again(replacements, failures)
    return {path: _cannot_write(path, error) for path, error in failures.items()}


def _write_again(replacements: Sequence[Replacement], failures: dict[Path, Exception]) -> dict[Path, Exception]:
    """Write again what met an EIO, until none is left or the attempts are over; return what is wrong then."""
    from tenacity import Retrying, retry_if_result, stop_after_attempt  # noqa: PLC0415 - only where a disk fails

    def once() -> bool:
        again = [each for each in replacements if _may_pass(failures.get(each.path))]
        for each in again:
            del failures[each.path]
        failures.update(_attempt(again))
        return any(map(_may_pass, failures.values()))

    Retrying(retry=retry_if_result(bool), stop=stop_after_attempt(_ATTEMPTS - 1), retry_error_callback=lambda _: None)(
        once
    )
    return failures


def _may_pass(error: Exception | None) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EIO


class _Unconfirmed(OSError):
    """The sync of the folder failed, after the rename."""


def _cannot_write(path: Path, error: Exception) -> Exception:
    if isinstance(error, _Unconfirmed):
        return NotSynced(path.parent, error)
    if not isinstance(error, OSError):
        return error
    return StoreError(f"cannot write {path}: {error.strerror or error}", next_step="check the disk and its free space")


def _attempt(replacements: Sequence[Replacement]) -> dict[Path, Exception]:
    failures: dict[Path, Exception] = {}
    renamed = [each for each in replacements if _succeeds(each, _put, failures)]
    for folder in dict.fromkeys(each.path.parent for each in renamed):
        there = [each for each in renamed if each.path.parent == folder]
        try:
            fsync_folder(folder)
        except OSError as error:
            unconfirmed = _Unconfirmed(error.errno, error.strerror)
            failures |= dict.fromkeys((each.path for each in there if _succeeds(each, _check, failures)), unconfirmed)
        else:
            for each in there:
                _succeeds(each, _check, failures)
    return failures


def _succeeds(each: Replacement, step: Callable[[Replacement], None], failures: dict[Path, Exception]) -> bool:
    try:
        step(each)
    except Exception as error:  # noqa: BLE001 - also what a validation raises is that file's own
        failures[each.path] = error
        return False
    return True


def _put(each: Replacement) -> None:
    """Put a file in place, all but for the folder's sync."""
    temporary = each.path.with_name(each.path.name + ".tmp")
    try:
        read_back = _write_and_sync(temporary, each.content, each.mode)
        if read_back != each.content:
            raise StoreError(f"cannot write {each.path}: the disk returned other bytes than were written")
        if each.validate is not None:
            each.validate(read_back)
        temporary.replace(each.path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        raise


def _check(each: Replacement) -> None:
    descriptor = os.open(each.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        read_back = os.pread(descriptor, len(each.content) + 1, 0)
    finally:
        os.close(descriptor)
    if read_back != each.content:
        raise StoreError(f"cannot write {each.path}: the rename was acknowledged but did not happen")


def _write_and_sync(path: Path, content: bytes, mode: int) -> bytes:
    """Write a file, sync it and return what is in it then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        there = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if there & ~mode:  # somebody left it there, open to more than it may be
            os.fchmod(descriptor, there & mode)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        return os.pread(descriptor, len(content) + 1, 0)
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
    """Append one line and fsync it; a last line that an interrupted write tore is ended first.

    Raises StoreError; a partial line is cut off again.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if not size:  # its name first: once the line is there, nothing is left that could fail
                fsync_folder(path.parent)
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            append_or_cut(descriptor, line, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"cannot append to {path}: {error.strerror or error}",
            next_step="check the disk and its free space",
        ) from error


def append_or_cut(descriptor: int, text: bytes, size: int) -> None:
    """Append text to a file of that size and sync it: all of it, or none. Raises OSError."""
    try:
        if os.write(descriptor, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a short write on a regular file: the disk is full
        os.fdatasync(descriptor)
    except OSError:
        with suppress(OSError):  # the first error is the one to report
            os.ftruncate(descriptor, size)
        raise


def place_durably(complete: Path, target: Path) -> None:
    """Rename a file that is complete to where it shall be seen: its data is on the disk before, its name behind.

    Raises NotSynced, OSError.
    """
    sync_data(complete)
    complete.replace(target)
    for folder in dict.fromkeys((target.parent, complete.parent)):
        sync_folder(folder)


def sync_data(path: Path) -> None:
    """Make what a file holds durable, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders_durably(folders: Iterable[Path]) -> None:
    """Make folders, with those above them, and make durable that the new ones are there. Raises NotSynced, OSError."""
    changed: dict[Path, None] = {}
    for folder in folders:
        for missing in itertools.takewhile(lambda each: not each.is_dir(), (folder, *folder.parents)):
            changed[missing.parent] = None
        folder.mkdir(parents=True, exist_ok=True)
    for parent in changed:
        sync_folder(parent)


def remove_durably(path: Path) -> None:
    """Unlink a file, if it is there, and make that durable. Raises NotSynced, StoreError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror or error}") from error
    sync_folder(path.parent)
