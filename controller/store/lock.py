"""The locks of a store: who is its controller, who is changing its trees right now, and who appends to its audit.

Only the owner may open the files: whoever may merely read the store cannot hold up what changes it. And no lock is
waited for without a deadline and a sentence about who holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.errors import StoreBusy, StoreError
from controller.host.file_locks import held_by_readers, held_by_writer, holders, lock_within
from controller.store.layout import StoreLayout

_WAIT_FOR_DAEMON = (
    "what a daemon can do goes through it as soon as it listens: ask again; else stop its service for the while: the "
    "algorithm processes go on (`pvctl down` would end them)"
)

PATIENCE = 10.0
"""Seconds for which a lock is waited for: its holder needs it for a few writes."""


def _open(path: Path, folder_mode: int = 0o777) -> int:
    """Open a lock file that only its owner may open. Raises StoreError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(folder_mode, parents=True, exist_ok=True)
            return os.open(path, flags, 0o600)
    except OSError as error:
        raise StoreError(
            f"cannot open the lock {path}: {error.strerror}", next_step="check --store and its permissions"
        ) from error


class FileLock:
    """An exclusive `flock` of a file that is there for nothing else; also exclusive among the threads of this process.

    It is waited for, `patience` seconds at most. Its folder is made with `folder_mode` where it is missing.
    """

    def __init__(self, path: Path, patience: float = PATIENCE, folder_mode: int = 0o777) -> None:
        self._path = path
        self._folder_mode = folder_mode
        self._patience = patience
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the duration of the block.

        Raises StoreError where the file cannot be opened, or somebody else holds it for too long.
        """
        if not self._threads.acquire(timeout=self._patience):
            raise self._too_long("another act of this process")
        try:
            descriptor = _open(self._path, self._folder_mode)
            try:
                with suppress(OSError):  # one of an earlier release, which everybody could open; or not ours to change
                    os.fchmod(descriptor, 0o600)
                if not lock_within(descriptor, self._patience):
                    raise self._too_long(holders(descriptor))
                yield
            finally:
                os.close(descriptor)
        finally:
            self._threads.release()

    def _too_long(self, holder: str) -> StoreError:
        return StoreError(
            f"the lock {self._path} is held by {holder} for more than {self._patience:g} s: nothing was changed",
            next_step="end that process; what was to be done is tried again",
        )


class MutationLock(FileLock):
    """`algorithms/.lock`: held for every mutation of `deployed/` and `active/`, for the renames only."""

    def __init__(self, layout: StoreLayout, patience: float = PATIENCE) -> None:
        super().__init__(layout.mutation_lock, patience)


class ControllerLock:
    """At most one controller works on a store. The kernel frees the lock when its owner dies.

    What counts is the lock on the store's own folder: removing a file forks no lock that hangs on a folder, while a
    lock file that was removed would be locked a second time. `run/controller.lock` names the owner, and is locked too,
    because releases before this one know only that.
    """

    def __init__(self, layout: StoreLayout, role: str, *, now: str) -> None:
        self._root = layout.root
        self._path = layout.controller_lock
        self._owner = {"os_pid": os.getpid(), "role": role, "since": now}
        self._folder: int | None = None
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Take the lock. Raises StoreBusy, StoreError."""
        file = _open(self._path)  # first: it makes the folders of a new store
        try:
            self._folder = _lock_folder(self._root)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            self._let_go()
            raise self._busy() from None
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._write_owner()
        return self

    def _busy(self) -> StoreBusy:
        owner = read_owner(self._path)
        return StoreBusy(
            f"the store {self._root} is held by {describe_owner(owner)}",
            next_step=_WAIT_FOR_DAEMON if owner.get("role") == "run" else "wait for it to end",
        )

    def _write_owner(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # who holds it is a courtesy: a full disk must not keep a controller from working
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, json.dumps(self._owner).encode(), 0)

    def restore_file(self) -> bool:
        """Make `run/controller.lock` anew where somebody removed it; return whether it had to be. Raises StoreError."""
        if self._file is None or _is_at(self._file, self._path):
            return False
        file = _open(self._path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a controller of an older release took it: who is here already says so in its own log
            os.close(file)
            return False
        former, self._file = self._file, file
        os.close(former)
        self._write_owner()
        return True

    def _let_go(self) -> None:
        for descriptor in (self._file, self._folder):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._folder = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # the lock goes with the descriptor, whatever the disk says
                os.ftruncate(self._file, 0)
        self._let_go()


def _lock_folder(folder: Path) -> int | None:
    """Return a descriptor of a folder that is locked for us; None on a file system that locks no folders (NFS).

    Also None where somebody has a reader's lock on it: no controller has that, and whoever may merely read the store
    keeps no controller away. Raises BlockingIOError where another controller has it, StoreError.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            f"cannot open the store {folder}: {error.strerror}", next_step="check --store and its permissions"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        ours = isinstance(error, BlockingIOError) and not held_by_readers(descriptor)
        os.close(descriptor)
        if ours:
            raise
        return None
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def living_owner(layout: StoreLayout) -> dict[str, object] | None:
    """Return what the controller that holds a store now wrote about itself; None where none does. Takes no lock."""
    try:
        descriptor = os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        held = held_by_writer(descriptor)
    finally:
        os.close(descriptor)
    return read_owner(layout.controller_lock) if held else None


def read_owner(path: Path) -> dict[str, object]:
    """Return what the owner of a controller lock wrote about itself; empty where it wrote nothing."""
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def describe_owner(owner: dict[str, object]) -> str:
    """Return a phrase that names an owner to a person."""
    if not owner:
        return "another controller"
    return f"`pvctl {owner.get('role')}` (process {owner.get('os_pid')}, since {owner.get('since')})"
