"""Files that a daemon makes as they are read: a page, a picture, an export. Blocks (see `port.finish`)."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from typing import Self

from controller.client.addresses import Address
from controller.client.answers import UnknownOutcome
from controller.station.port import DaemonSilent
from controller.station.remote_feeds import PATIENCE, opened

_READ = 256 * 1024


def open_file(address: Address, target: str, headers: Sequence[tuple[str, str]]) -> RemoteFile:
    """Ask for a file.

    Raises:
        NotReached: no daemon is there. DaemonSilent: it answers nothing. ControllerError: what it answered instead.
    """
    return RemoteFile(address, *opened(address, target, headers))


class RemoteFile:
    """`commands.events.Feed` of the pieces of a file. Reading raises UnknownOutcome where it is cut off."""

    def __init__(
        self, address: Address, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        self._address = address
        self._connection = connection
        self._answer = answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Wait for a piece."""
        try:
            piece = self._answer.read1(_READ)
        except TimeoutError:
            raise DaemonSilent(f"the daemon at {self._address}", f"nothing came for {PATIENCE:g} s") from None
        except (OSError, http.client.HTTPException):
            raise UnknownOutcome("the file was cut off") from None
        if piece:
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Want no more of it."""
        self._connection.close()
