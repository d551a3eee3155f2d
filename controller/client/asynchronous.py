"""`AsyncClient`: detections from an event loop, asyncio's or uvloop's. One client belongs to one loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from controller.client.addresses import Address
from controller.client.answers import Detection, detection_of
from controller.client.attempts import Attempts, Patience, too_late
from controller.client.blocking import MARGIN
from controller.client.calls import Arguments, Call
from controller.client.exchange import Answer, Broken, Buffer, Exchange, NeverAccepted
from controller.client.pictures import Image, is_slow
from controller.errors import CallError

_IDLE = 64
_PIECES = 64
_READ = 256 * 1024


class AsyncClient:
    """`Client` for an event loop; see there. Cancelling a call frees its place at the station."""

    def __init__(
        self,
        *,
        store: str | os.PathLike[str] | None = None,
        url: str | None = None,
        token: str | None = None,
        connect_timeout: float = 30.0,
        retry_busy: bool = False,
    ) -> None:
        self._address = Address.of(store, url, token)
        self._patience = Patience(connect_timeout, retry_busy=retry_busy)
        self._idle: deque[socket.socket] = deque()

    async def execute(  # noqa: PLR0913  - one for each argument of the contract
        self,
        pid: str,
        image: Image,
        guide_image: Image | None = None,
        *,
        step_index: int = 1,
        step_desc: str = "",
        guide_info: Any = None,
        params: Mapping[str, Any] | None = None,
        session: Mapping[str, Any] | None = None,
        phase: str | None = None,
        timeout: float | None = None,
        retry_unknown: bool = False,
    ) -> Detection:
        """Return the answer of the version that is active for a PID. Arguments and errors: see `Client.execute`."""
        images = {"image": image} if guide_image is None else {"image": image, "guide_image": guide_image}
        patience = replace(self._patience, retry_unknown=retry_unknown)
        attempts = Attempts(str(self._address), patience, timeout)
        with Call(pid, images, Arguments(step_index, step_desc, guide_info, params, session, phase)) as call:
            await self._load(call, any(is_slow(each) for each in images.values()))
            while True:
                left = attempts.left()
                try:
                    return detection_of(await self._exchange(call.request(self._address, left), left))
                except (NeverAccepted, Broken, CallError) as failure:
                    delay = attempts.after(failure)
                await asyncio.sleep(delay)

    async def _load(self, call: Call, slow: bool) -> None:
        """Load the images, off the loop where that takes time; then not to be left half-way, or files would stay."""
        if not slow:
            call.load(self._address.images)
            return
        loading = asyncio.get_running_loop().run_in_executor(None, call.load, self._address.images)
        try:
            await asyncio.shield(loading)
        except asyncio.CancelledError:
            with suppress(CallError):  # the caller leaves and wants no other error
                await loading
            raise

    async def _exchange(self, buffers: list[Buffer], timeout: float | None) -> Answer:
        try:
            async with asyncio.timeout(None if timeout is None else timeout + MARGIN):
                connection, reused = await self._take()
                try:
                    answer = await _exchange(connection, Exchange(buffers), self._address.local, reused)
                except BaseException as error:
                    connection.close()
                    if isinstance(error, NeverAccepted) and error.stale:
                        self.close()
                    raise
        except TimeoutError:
            raise too_late() from None
        if answer.reusable and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _take(self) -> tuple[socket.socket, bool]:
        if self._idle:
            return self._idle.pop(), True
        try:
            connection = self._address.connect_local() if self._address.local else await self._connect()
        except OSError as error:
            raise NeverAccepted(str(error.strerror or error).lower()) from None
        connection.setblocking(False)
        return connection, False

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _exchange(connection: socket.socket, exchange: Exchange, local: bool, reused: bool) -> Answer:
    loop = asyncio.get_running_loop()
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed: that is read
            await _send(connection, exchange)
        while exchange.answer is None:
            data = await loop.sock_recv(connection, _READ)
            if not data:
                raise exchange.lost(None, local=local, reused=reused)
            exchange.receive(data)
    except OSError as error:
        raise exchange.lost(error, local=local, reused=reused) from None
    return exchange.answer


async def _send(connection: socket.socket, exchange: Exchange) -> None:
    """Write the request, counting what the kernel takes: neither a transport nor `sock_sendall` would tell."""
    while exchange.pending:
        try:
            exchange.sent(connection.sendmsg(exchange.pending[:_PIECES]))
        except BlockingIOError:
            await _writable(connection)


async def _writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(connection, ready.set_result, None)
    try:
        await ready
    finally:
        loop.remove_writer(connection)
