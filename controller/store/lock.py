"""The two locks of a store: who is its controller, and who is changing its trees right now."""

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
from controller.store.layout import StoreLayout

_WAIT_FOR_DAEMON = (
    "what a daemon can do goes through it as soon as it listens: ask again; else stop its service for the while: the "
    "algorithm processes go on (`pvctl down` would end them)"
)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags, 0o644)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags, 0o644)
    except OSError as error:
        raise StoreError(
            f"cannot open the lock {path}: {error.strerror}", next_step="check --store and its permissions"
        ) from error


class MutationLock:
    """`algorithms/.lock`: held for every mutation of `deployed/` and `active/`, for the renames only.

    An exclusive `flock`, waited for; also exclusive among the threads of this process.
    """

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.mutation_lock
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the duration of the block. Raises StoreError where the file cannot be opened."""
        with self._threads:
            descriptor = _open(self._path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


class ControllerLock:
    """`run/controller.lock`: at most one controller works on a store. The kernel frees it when its owner dies."""

    def __init__(self, layout: StoreLayout, role: str, *, now: str) -> None:
        self._path = layout.controller_lock
        self._owner = {"os_pid": os.getpid(), "role": role, "since": now}
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
