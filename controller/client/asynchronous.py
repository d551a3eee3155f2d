"""`AsyncClient`: detections from an event loop, asyncio's or uvloop's. One client belongs to one loop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar, assert_never

from controller.client.addresses import Address, Connection
from controller.client.answers import Detection
from controller.client.caller import Caller
from controller.client.calls import Arguments, Target
from controller.client.effects import Connect, Effect, Flow, Load, Receive, Send, Sleep
from controller.client.pictures import Image

_T = TypeVar("_T")


class AsyncClient(Caller):
    """`Client` for an event loop; see there. Cancelling a call frees its place at the station."""

    _IDLE = 64

    async def execute(  # noqa: PLR0913  - one for each argument of the contract
        self,
        pid: str,
        image: Image | None,
        guide_image: Image | None = None,
        *,
        for_pid: str | None = None,
        step_index: int = 1,
        step_desc: str = "",
        guide_info: Any = None,
        params: Mapping[str, Any] | None = None,
        session: Mapping[str, Any] | None = None,
        phase: str | None = None,
        color_space: str | None = None,
        camera_id: str | None = None,
        timestamp_ms: int | None = None,
        pixel_format: str | None = None,
        width: int | None = None,
        height: int | None = None,
        timeout: float | None = None,
        retry_unknown: bool = False,
    ) -> Detection:
        """Return the answer of a PID's active version, or of `NAME@VERSION`. For the rest see `Client.execute`."""
        arguments = Arguments(
            step_index, step_desc, guide_info, params, session, phase,
            color_space=color_space, camera_id=camera_id, timestamp_ms=timestamp_ms,
            pixel_format=pixel_format, width=width, height=height,
        )  # fmt: skip
        return await run(self._detect(Target(pid, for_pid), (image, guide_image), arguments, timeout, retry_unknown))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def run(flow: Flow[_T]) -> _T:
    """Carry a flow out on the running loop. Returns and raises what the flow does."""
    try:
        effect = next(flow)
        while True:
            try:
                came_to = await _carry_out(effect)
            except BaseException as error:  # noqa: BLE001  - what it means is the flow's to say
                effect = flow.throw(error)
            else:
                effect = flow.send(came_to)
    except StopIteration as end:
        result: _T = end.value
        return result
    finally:
        flow.close()


async def _carry_out(effect: Effect) -> object:
    match effect:
        case Receive():
            async with _until(effect.deadline):
                return await asyncio.get_running_loop().sock_recv(effect.connection, effect.size)
        case Send():
            return await _send(effect)
        case Load():
            await _load(effect)
        case Connect():
            async with asyncio.timeout(effect.timeout):
                return await _connect(effect.address)
        case Sleep():
            await asyncio.sleep(effect.seconds)
        case _:
            assert_never(effect)
    return None


def _until(deadline: float | None) -> asyncio.Timeout:
    return asyncio.timeout(None if deadline is None else deadline - time.monotonic())


async def _send(send: Send) -> int:
    """Write what the kernel takes: neither a transport nor `sock_sendall` would tell how much that was."""
    while True:
        try:
            return send.connection.sendmsg(send.pieces)
        except BlockingIOError:
            async with _until(send.deadline):
                await _writable(send.connection)


async def _writable(connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(connection, ready.set_result, None)
    try:
        await ready
    finally:
        loop.remove_writer(connection)


async def _load(load: Load) -> None:
    if not load.call.slow:
        load.call.load(load.folder)
        return
    loading = asyncio.get_running_loop().run_in_executor(None, load.call.load, load.folder)
    try:
        await asyncio.shield(loading)
    except asyncio.CancelledError:
        while not loading.done():
            with suppress(asyncio.CancelledError):  # being cancelled again ends nothing sooner
                await asyncio.wait([loading])
        loading.exception()  # the caller leaves and wants no other error
        raise


async def _connect(address: Address) -> Connection:
    if address.local:
        connection = address.connect_local()
        connection.setblocking(False)
        return connection
    found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    *others, last = found
    for each in others:
        with suppress(OSError):
            return await _connect_tcp(*each)
    return await _connect_tcp(*last)


async def _connect_tcp(family: int, kind: int, protocol: int, _: str, place: tuple[Any, ...]) -> Connection:
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, place)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection
