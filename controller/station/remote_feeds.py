"""Feeds of a daemon, read from its server-sent events by blocking: every item is waited for (see `port.finish`)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, Self, TypeVar, cast

from controller.client.addresses import Address
from controller.client.answers import NotReached, content_of
from controller.client.exchange import Answer, reason
from controller.errors import ControllerError
from controller.station.commands.events import Event, EventBatch, EventKind
from controller.station.commands.records import LogPiece
from controller.station.port import DaemonSilent

_Item = TypeVar("_Item")
_READ = 64 * 1024
PATIENCE = 30.0
"""Seconds without a sign of life after which the daemon counts as silent."""


class Block(NamedTuple):
    """One event of a stream; without data, a sign of life."""

    id: str
    event: str
    data: bytes


class Blocks:
    """Cuts events out of bytes as they come. What has no id of its own comes after the last one that had."""

    def __init__(self) -> None:
        self._rest = b""
        self._last = ""

    def hear(self, piece: bytes) -> list[Block]:
        """Return the events that are whole with this piece."""
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
        return [self._block(text) for text in whole]

    def _block(self, text: bytes) -> Block:
        fields = dict(line.split(b": ", 1) for line in text.split(b"\n") if b": " in line)
        self._last = fields.get(b"id", self._last.encode()).decode()
        return Block(self._last, fields.get(b"event", b"").decode(), fields.get(b"data", b""))


class EventStream:
    """Server-sent events as they come."""

    def __init__(
        self, address: Address, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        self._address = address
        self._connection = connection
        self._answer = answer

    def blocks(self) -> Iterator[Block]:
        """Yield the events until the daemon ends them. Raises DaemonSilent."""
        blocks = Blocks()
        while piece := self._piece():
            yield from blocks.hear(piece)

    def _piece(self) -> bytes:
        try:
            return self._answer.read1(_READ)
        except TimeoutError:
            why = f"it gave no sign of life for {PATIENCE:g} s"
            raise DaemonSilent(f"the daemon at {self._address}", why) from None
        except (OSError, http.client.HTTPException):
            return b""  # it was killed

    def close(self) -> None:
        """Want no more."""
        self._connection.close()


def open_feed(address: Address, target: str, headers: Sequence[tuple[str, str]]) -> EventStream:
    """Ask for server-sent events. Raises what `opened` raises."""
    return EventStream(address, *opened(address, target, [*headers, ("Accept", "text/event-stream")]))


def opened(
    address: Address, target: str, headers: Sequence[tuple[str, str]]
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Ask for something that is read as it comes; return its answer, and the connection, which is to be closed.

    Raises:
        NotReached: no daemon is there. DaemonSilent: it answers nothing. ControllerError: what it answered instead.
    """
    connection = http.client.HTTPConnection(address.host, address.port or None, timeout=PATIENCE)
    more = dict(headers)
    if address.token is not None:
        more["Authorization"] = f"Bearer {address.token}"
    try:
        if address.local:
            connection.sock = address.connect_local()
            connection.sock.settimeout(PATIENCE)
        connection.request("GET", target, headers=more)
        answer = connection.getresponse()
        if answer.status == 200:
            return connection, answer
        body = answer.read()
    except TimeoutError as error:
        connection.close()
        raise DaemonSilent(f"the daemon at {address}", reason(error)) from None
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        why = reason(error) if isinstance(error, OSError) else "the connection was closed"
        raise NotReached(str(address), why) from None
    connection.close()
    content_of(Answer(answer.status, body, reusable=False))
    raise ControllerError(f"the daemon at {address} answered {answer.status} and nothing that was asked for")


def batch_of(block: Block) -> EventBatch:
    """Return an event of the stream as a batch; an empty one of a sign of life."""
    event = Event(block.id, cast(EventKind, block.event), block.data)
    return EventBatch(block.id, (event,) if block.data else ())


def pieces_of(block: Block) -> tuple[LogPiece, ...]:
    """Return the lines that an event of the stream has; none of a sign of life."""
    piece = json.loads(block.data) if block.data else None
    return (LogPiece(str(piece["log"]), str(piece["text"])),) if piece else ()


class BlockingFeed(Generic[_Item]):
    """`commands.events.Feed` of a stream; `read` makes an item of an event, or of a sign of life."""

    def __init__(self, stream: EventStream, read: Callable[[Block], _Item]) -> None:
        self._stream = stream
        self._blocks = stream.blocks()
        self._read = read

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Item:
        """Wait for the next one."""
        for block in self._blocks:
            return self._read(block)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Want no more of it."""
        self._stream.close()
