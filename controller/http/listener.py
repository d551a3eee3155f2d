"""The Unix socket of the daemon: bound, guarded and replaced. No HTTP here."""

from __future__ import annotations

import grp
import os
import socket
from contextlib import suppress

from controller.errors import StoreError
from controller.store.layout import StoreLayout

_BACKLOG = 1024


def listen(layout: StoreLayout, group: str | None = None) -> socket.socket:
    """Return a socket that listens at `run/runner.sock`, for the owner only or also for a group of users.

    A file that a killed daemon left there is replaced; a daemon that lives is kept away by the controller's lock. With
    a group, `run/images` is opened to it too, so that it can pass images by reference.

    Raises:
        StoreError: the group is unknown, or the folder cannot be used.
    """
    group_id = None if group is None else _group_id(group)
    try:
        layout.run.mkdir(parents=True, exist_ok=True)
        _guard(layout, group_id)
        return _bind(layout, group_id)
    except OSError as error:
        raise StoreError(
            f"cannot listen at {layout.socket}: {error.strerror}",
            next_step="check --store, its permissions and, where it is given, --socket-group",
        ) from error


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StoreError(f"there is no group {group!r}", next_step="make it, or correct --socket-group") from None


def _guard(layout: StoreLayout, group_id: int | None) -> None:
    """Let the owner in, and the group as far as the socket and the images."""
    layout.run.chmod(0o700 if group_id is None else 0o710)
    if group_id is None:
        return
    os.chown(layout.run, -1, group_id)
    if layout.images.exists():
        os.chown(layout.images, -1, group_id)
        layout.images.chmod(0o3770)  # files belong to the group, and only their owner may remove them


def _bind(layout: StoreLayout, group_id: int | None) -> socket.socket:
    """Bind under another name and rename: whoever connects finds the old socket or one that listens.

    Through the folder's descriptor, because a socket's path is limited to 107 bytes; with its mode set before, because
    the kernel gives a bound file the mode of the socket.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = f"{layout.socket.name}.new"
    folder = os.open(layout.run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(f"/proc/self/fd/{folder}/{temporary}")
        if group_id is not None:
            os.chown(temporary, -1, group_id, dir_fd=folder)
            os.chmod(temporary, 0o660, dir_fd=folder)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        os.rename(temporary, layout.socket.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener
