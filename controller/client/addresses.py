"""Where the station is: a store's Unix socket, or a URL; and how a socket is connected to it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from controller.errors import ControllerError

_UNREAD = 2**20
"""Bytes of a picture that are on their way: each time that they run out, client and daemon wait for each other."""
Connection = socket.socket
"""What a call is sent on. Blocking or not, as whoever opened it needs it."""


@dataclass(frozen=True, slots=True)
class Address:
    """`store` is the folder of a store on this machine; else `host` and `port` are for TCP."""

    store: Path | None
    host: str = "station"
    port: int = 0
    token: str | None = None

    @classmethod
    def of(cls, store: str | os.PathLike[str] | None, url: str | None, token: str | None) -> Address:
        """Return the address that a client is made with. Raises ControllerError: it is none."""
        if (store is None) == (url is None):
            raise ControllerError("a client needs one of store and url", next_step="pass store=… on the same machine")
        if store is not None:
            return cls(Path(store).absolute(), token=token)
        parts = urlsplit(url or "")
        if parts.scheme != "http" or not parts.hostname:
            raise ControllerError(f"{url!r} is not a URL of a station", next_step="pass http://HOST:PORT")
        return cls(None, parts.hostname, parts.port or 80, token)

    @property
    def local(self) -> bool:
        return self.store is not None

    @property
    def images(self) -> Path | None:
        """Where images are shared with the station; None: they have to be sent."""
        return None if self.store is None else self.store / "run" / "images"

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}" if self.store is None else str(self.store / "run" / "runner.sock")

    def connect_local(self) -> socket.socket:
        """Return a connected, blocking Unix socket, without waiting for a daemon that is too busy. Raises OSError."""
        from controller.host import sockets  # noqa: PLC0415 - an import of the client is to stay as quick as it was

        assert self.store is not None  # noqa: S101  (see `local`)
        connection = sockets.connect(self.store / "run", "runner.sock")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)  # or as much as the host allows
        return connection
