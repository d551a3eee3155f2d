"""Who is at the other end of a connection: the kernel says which user a Unix socket's peer is."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group; see unix(7)


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also notes the peer's user for the requests of the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.app_state = {**self.app_state, "uid": _CREDENTIALS.unpack(found)[1]}


def actor_of(request: Request) -> str:
    """Return the name of the user who asks, for the audit."""
    uid = request.scope["state"].get("uid", os.getuid())
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user need not have a name
        return f"uid {uid}"
