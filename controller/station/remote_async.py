"""A station over its socket, on an event loop: what the gateway's page stands on. One process speaks for many callers,
so each request says who asks; the daemon believes that of the store's owner and root.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self, cast
from urllib.parse import quote

from controller.client.addresses import Address
from controller.client.answers import content_of
from controller.client.asynchronous import run
from controller.client.calls import request
from controller.client.connections import Connections
from controller.client.exchange import Answer, Buffer
from controller.client.flow import exchange
from controller.station.commands.events import FollowEvents
from controller.station.commands.recordings import ExportRecordings, ShowRecording
from controller.station.commands.records import ReadLogs
from controller.station.port import ACCESS, CALLER, GRANTS, RECORDINGS, Caller, Command, Report, Result, silent
from controller.station.remote import RemoteStation
from controller.station.remote_events import RemoteFeed
from controller.station.remote_feeds import batch_of, pieces_of

_IDLE = 4


class Asynchronous:
    """Requests on the running loop, over connections that are kept. Each names its caller."""

    def __init__(self, address: Address) -> None:
        self._connections = Connections(address, _IDLE)

    async def exchange(self, buffers: list[Buffer], heard: Callable[[bytes], None] | None) -> Answer:
        """Exchange; see `remote.Conversation`."""
        return await run(exchange(self._connections, buffers, None, heard))

    def on_behalf(self, caller: Caller) -> list[tuple[str, str]]:
        """Return the headers that say who asks, and what they may do."""
        said = [(CALLER, quote(caller.name, safe="")), (ACCESS, caller.access.name)]
        return [*said, (GRANTS, RECORDINGS)] if caller.granted else said


class _WholeFile:
    """`commands.events.Feed` of a file that is here already: it is small enough for that."""

    def __init__(self, content: bytes) -> None:
        self._pieces = [content]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces:
            return self._pieces.pop()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._pieces.clear()


class AsyncRemoteStation(RemoteStation):
    """The daemon at an address, for callers that somebody else has let in. One belongs to one event loop."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, Asynchronous(address))

    async def _file(self, command: ShowRecording | ExportRecordings, caller: Caller, _report: Report) -> object:
        target = self._request_of(command.operation, command)[1]
        headers = self._conversation.on_behalf(caller)
        answer = await self._answer(request(self._address, "GET", target, [], more=headers))
        if answer.status != 200:
            content_of(answer)  # raises what it says
        return _WholeFile(answer.body)

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        """Have the daemon carry out a command; see `Station.execute`. Feeds go on as long as they are read."""
        if not isinstance(command, FollowEvents | ReadLogs):
            return await super().execute(command, caller, report)
        route, target, _ = self._request_of(command.operation, command)
        headers = [("Accept", "text/event-stream"), *self._conversation.on_behalf(caller)]
        asked = request(self._address, route.method, target, [], more=headers)
        listen = partial(self._conversation.exchange, asked)
        return cast(Result, RemoteFeed(listen, batch_of if isinstance(command, FollowEvents) else pieces_of))
