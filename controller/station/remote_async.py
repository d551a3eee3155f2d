"""A station over its socket, on an event loop: what the gateway's page stands on. One process speaks for many callers,
so each request says who asks; the daemon believes that of the store's owner and root.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from controller.client.addresses import Address
from controller.client.asynchronous import run
from controller.client.connections import Connections
from controller.client.exchange import Answer, Buffer
from controller.client.flow import exchange
from controller.station.port import ACCESS, CALLER, Caller
from controller.station.remote import RemoteStation

_IDLE = 4


class Asynchronous:
    """Requests on the running loop, over connections that are kept. Each names its caller."""

    def __init__(self, address: Address) -> None:
        self._connections = Connections(address, _IDLE)

    async def exchange(self, buffers: list[Buffer], heard: Callable[[bytes], None]) -> Answer:
        """Exchange; see `remote.Conversation`."""
        return await run(exchange(self._connections, buffers, None, heard))

    def on_behalf(self, caller: Caller) -> list[tuple[str, str]]:
        """Return the headers that say who asks, and what they may do."""
        return [(CALLER, quote(caller.name, safe="")), (ACCESS, caller.access.name)]


class AsyncRemoteStation(RemoteStation):
    """The daemon at an address, for callers that somebody else has let in. One belongs to one event loop."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, Asynchronous(address))
