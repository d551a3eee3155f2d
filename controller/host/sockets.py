"""Unix sockets by their folder and name, and who is at the other end.

The kernel takes 107 bytes as a socket's path, and the path of a store may be longer. So a socket is bound and reached
through a descriptor of its folder, `/proc/self/fd/N/NAME`, which is always short. (The shim, a script of its own, does
the same in `processes/shim/serve.py`.)
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CREDENTIALS_BYTES = 12  # struct ucred, three ints: process, user, group; see unix(7)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def connect(folder: Path, name: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a blocking socket that is connected to `folder`/`name`; nobody is waited for.

    Raises OSError; BlockingIOError where the peer's queue of connections is full.
    """
    connection = socket.socket(socket.AF_UNIX, kind)
    try:
        with _opened(folder) as descriptor:
            connection.setblocking(False)
            connection.connect(f"/proc/self/fd/{descriptor}/{name}")
        connection.setblocking(True)
    except BaseException:
        connection.close()
        raise
    return connection


def listen(folder: Path, name: str, *, backlog: int, group: int | None = None) -> socket.socket:
    """Return a socket that listens at `folder`/`name` and does not block: for its owner, or also for a group of users.

    What stood there is replaced by a rename: whoever connects finds the old socket, or one that listens. The mode is
    set before anybody could connect: the kernel gives a bound file the mode of the socket. Raises OSError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = f"{name}.new"
    try:
        with _opened(folder) as descriptor:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=descriptor)
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(f"/proc/self/fd/{descriptor}/{temporary}")
            if group is not None:
                os.chown(temporary, -1, group, dir_fd=descriptor)
                os.chmod(temporary, 0o660, dir_fd=descriptor)
            listener.listen(backlog)
            listener.setblocking(False)
            os.rename(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_user(connection: socket.socket) -> int | None:
    """Return the user at the other end of a connection, as the kernel knows it; None where it is no Unix socket."""
    if connection.family != socket.AF_UNIX:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS_BYTES)
    return int.from_bytes(credentials[4:8], sys.byteorder)
