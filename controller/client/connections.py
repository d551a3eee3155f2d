"""The connections to one address that nobody uses at the moment. Several threads may take and keep them at once."""

from __future__ import annotations

import os
from collections import deque

from controller.client.addresses import Address, Connection


class Connections:
    """Idle connections to `address`, `limit` of them at most; whoever needs one and finds none opens it."""

    def __init__(self, address: Address, limit: int = 16) -> None:
        self.address = address
        self._limit = limit
        self._idle: deque[Connection] = deque()
        self._process = os.getpid()

    def take(self) -> Connection | None:
        """Return an idle connection, which may have been closed by its other end meanwhile; None, there is none."""
        if self._process != os.getpid():  # a forked child must not speak on its parent's connections
            self.clear()
            self._process = os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def keep(self, connection: Connection) -> None:
        """Take a connection back, or close it where there are enough."""
        if len(self._idle) < self._limit:
            self._idle.append(connection)
        else:
            connection.close()

    def clear(self) -> None:
        """Close what is idle."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took the last one
                return
