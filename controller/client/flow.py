"""The flow of a call, written once for both clients: generators that yield effects and are sent what these came to.

No I/O here: `blocking.py` carries the effects out on blocking sockets, `asynchronous.py` on an event loop. A driver
throws into the flow what an effect raised, a cancellation too, and closes the flow in the end; so what a flow holds,
images and a connection, is given back in every case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from controller.client.addresses import Address, Connection
from controller.client.answers import Detection, detection_of
from controller.client.attempts import Attempts, too_late
from controller.client.calls import Call
from controller.client.connections import Connections
from controller.client.effects import Connect, Flow, Load, Receive, Send, Sleep
from controller.client.exchange import Answer, Broken, Buffer, Exchange, NeverAccepted, Silent, reason, request_head
from controller.errors import CallError

MARGIN = 1.0
"""Seconds for which the station's own word about a caller's time being over is waited for."""
SILENCE = 5.0
"""Seconds without a byte, where the caller sets no time, after which the station is asked for a sign of life."""
_SIGN = 5.0
"""Seconds that a sign of life may take."""
_PIECES = 64
_READ = 256 * 1024


def detect(connections: Connections, call: Call, attempts: Attempts) -> Flow[Detection]:
    """Return the answer to a call, trying as often as `attempts` allows.

    Raises:
        NotReached, UnknownOutcome, CallError: see `Client.execute`.
    """
    address = connections.address
    with call:
        yield Load(call, address.images)
        while True:
            left = attempts.left()
            try:
                detection = detection_of((yield from exchange(connections, call.request(address, left), left)))
            except (NeverAccepted, Broken, CallError) as failure:
                call.failed(failure)
                delay = attempts.after(failure)
            else:
                call.answered()
                return detection
            yield Sleep(delay)


def exchange(
    connections: Connections,
    buffers: list[Buffer],
    timeout: float | None,
    heard: Callable[[bytes], None] | None = None,
) -> Flow[Answer]:
    """Send a request and return its answer; `heard` is given the pieces of its body as they come.

    Raises:
        NeverAccepted, Broken: see `exchange.py`.
        CallError: 1005, there was no answer within `timeout` seconds, nor in the margin for the station to say so.
    """
    deadline = None if timeout is None else time.monotonic() + timeout + MARGIN
    address, idle = connections.address, connections.take()
    connection = (yield from _connect(address, timeout)) if idle is None else idle
    try:
        answer = yield from _converse(
            connection, Exchange(buffers, heard), address, reused=idle is not None, deadline=deadline
        )
    except BaseException as error:
        connection.close()
        if isinstance(error, NeverAccepted) and error.stale:
            connections.clear()  # what was closed for one was closed for all
        raise
    if answer.reusable:
        connections.keep(connection)
    else:
        connection.close()
    return answer


def _connect(address: Address, timeout: float | None) -> Flow[Connection]:
    try:
        return cast("Connection", (yield Connect(address, timeout)))
    except OSError as error:
        raise NeverAccepted(reason(error)) from None


def _converse(
    connection: Connection, exchange: Exchange, address: Address, *, reused: bool, deadline: float | None
) -> Flow[Answer]:
    local = address.local
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed: that is read
            while exchange.pending:
                taken = yield from _attend(_sending(connection, exchange), address, deadline)
                exchange.sent(cast("int", taken))
        while exchange.answer is None:
            data = cast("bytes", (yield from _attend(_receiving(connection), address, deadline)))
            if not data:
                raise exchange.lost(None, local=local, reused=reused)
            exchange.receive(data)
    except _NoSign:
        raise _silent(exchange) from None
    except OSError as error:
        if isinstance(error, TimeoutError) and error.errno is None:  # the deadline's; one of the kernel has a number
            raise too_late() from None
        raise exchange.lost(error, local=local, reused=reused) from None
    return exchange.answer


class _NoSign(Exception):
    """The station gives no sign of life."""


def _sending(connection: Connection, exchange: Exchange) -> Callable[[float], Send]:
    return lambda deadline: Send(connection, tuple(exchange.pending[:_PIECES]), deadline)


def _receiving(connection: Connection) -> Callable[[float], Receive]:
    return lambda deadline: Receive(connection, _READ, deadline)


def _attend(effect: Callable[[float], Send | Receive], address: Address, deadline: float | None) -> Flow[object]:
    """Wait for an effect until the deadline; without one, for as long as the station gives signs of life.

    Raises what the effect comes to; _NoSign.
    """
    while deadline is None:
        try:
            return (yield effect(time.monotonic() + SILENCE))
        except TimeoutError as error:
            if error.errno is not None:
                raise
        if not (yield from _lives(address)):
            raise _NoSign
    return (yield effect(deadline))


def _lives(address: Address) -> Flow[bool]:
    """Return whether the station answers anything at all to a new connection."""
    deadline = time.monotonic() + _SIGN
    try:
        connection = cast("Connection", (yield Connect(address, _SIGN)))
    except OSError:
        return False
    try:
        yield Send(connection, (memoryview(request_head("GET", "/healthz", address.host, (), 0)),), deadline)
        return bool((yield Receive(connection, 1, deadline)))
    except OSError:
        return False
    finally:
        connection.close()


def _silent(exchange: Exchange) -> NeverAccepted | Silent:
    why = f"the station gave no sign of life within {SILENCE + _SIGN:g} s"
    return NeverAccepted(why) if exchange.pending else Silent(why)
