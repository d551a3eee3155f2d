"""The Unix socket of the daemon: who may reach it, and listening there. No HTTP here."""

from __future__ import annotations

import os
import socket

from controller.errors import StoreError
from controller.host import sockets, users
from controller.images.shared_folder import RUN_OPEN_TO_GROUP, open_to_group
from controller.store.layout import StoreLayout

_BACKLOG = 1024


def listen(layout: StoreLayout, group: str | None = None) -> socket.socket:
    """Return a socket that listens at `run/runner.sock`, for the owner only or also for a group of users.

    A file that a killed daemon left there is replaced; a daemon that lives is kept away by the controller's lock. With
    a group, `run/images` is opened to it too (see `guard`), so that it can pass images by reference.

    Raises:
        StoreError: the group is unknown, or the folder cannot be used.
    """
    group_id = guard(layout, group)
    try:
        return sockets.listen(layout.run, layout.socket.name, backlog=_BACKLOG, group=group_id)
    except OSError as error:
        raise _cannot_listen(layout, error) from error


def guard(layout: StoreLayout, group: str | None) -> int | None:
    """Make `run`, let its owner in, and a group as far as the socket and the images; return the group's number.

    Raises:
        StoreError: the group is unknown, or the folder cannot be used.
    """
    group_id = None if group is None else _group_id(group)
    try:
        layout.run.mkdir(parents=True, exist_ok=True)
        layout.run.chmod(0o700 if group_id is None else RUN_OPEN_TO_GROUP)
        if group_id is not None:
            os.chown(layout.run, -1, group_id)
            if layout.images.exists():
                open_to_group(layout.images, group_id)
    except OSError as error:
        raise _cannot_listen(layout, error) from error
    return group_id


def _cannot_listen(layout: StoreLayout, error: OSError) -> StoreError:
    return StoreError(
        f"cannot listen at {layout.socket}: {error.strerror}",
        next_step="check --store, its permissions and, where it is given, --socket-group",
    )


def _group_id(group: str) -> int:
    found = users.group_id(group)
    if found is None:
        raise StoreError(f"there is no group {group!r}", next_step="make it, or correct --socket-group")
    return found
