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
from controller.host.file_locks import holders, lock_within
from controller.host.identity import identify
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
    """`run/controller.lock`: at most one controller works on a store. The kernel frees it when its owner dies."""

    def __init__(self, layout: StoreLayout, role: str, *, now: str) -> None:
        self._path = layout.controller_lock
        me = identify(os.getpid())
        started = {"start_ticks": me.start_ticks, "boot_id": me.boot_id} if me else {}
        self._owner = {"os_pid": os.getpid(), "role": role, "since": now, **started}
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        descriptor = _open(self._path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            owner = read_owner(self._path)
            raise StoreBusy(
                f"the store {self._path.parent.parent} is held by {describe_owner(owner)}",
                next_step=_WAIT_FOR_DAEMON if owner.get("role") == "run" else "wait for it to end",
            ) from None
        with suppress(OSError):  # who holds it is a courtesy: a full disk must not keep a controller from working
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(self._owner).encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            with suppress(OSError):  # the lock goes with the descriptor, whatever the disk says
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


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
