"""A daemon's status by one plain GET over its Unix socket: imports next to nothing, so that `pvctl status` is quick.

HTTP/1.0, so that the answer ends where the stream does. Anything but a document is left to `RemoteStation`, which says
what is wrong.
"""

from __future__ import annotations

import _socket
import json
import os
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pathlib import Path

    from controller.model.status_document import StatusDocument

_PATIENCE = 5.0
"""Seconds that are waited for each piece."""


def glance(socket: Path) -> StatusDocument | None:
    """Return the status document of the daemon at a socket; None where none answers there with one.

    Raises TimeoutError: one is there, and says nothing.
    """
    try:
        head, _, body = _exchange(socket).partition(b"\r\n\r\n")
        document = json.loads(body) if head.split(b" ", 2)[1:2] == [b"200"] else None
    except TimeoutError:
        raise
    except (OSError, ValueError):
        return None
    return cast("StatusDocument", document) if isinstance(document, dict) else None


def _exchange(socket: Path) -> bytes:
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    folder = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(f"/proc/self/fd/{folder}/{socket.name}")  # a socket's path is limited to 107 bytes
        connection.sendall(b"GET /v1/status HTTP/1.0\r\nHost: station\r\n\r\n")
        pieces = []
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(folder)
        connection.close()
