"""`Client`: detections from threads. Connections are kept alive and shared among them."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from controller.client.addresses import Address
from controller.client.answers import Detection, detection_of
from controller.client.attempts import Attempts, Patience, too_late
from controller.client.calls import Arguments, Call
from controller.client.exchange import Answer, Broken, Buffer, Exchange, NeverAccepted
from controller.client.pictures import Image
from controller.errors import CallError

_IDLE = 16
"""Connections that are kept while nobody calls."""
_PIECES = 64
_READ = 256 * 1024
MARGIN = 1.0
"""Seconds for which the station's own word about a caller's time being over is waited for."""


class Client:
    """Calls one station: `store` on this machine (images that are arrays go by reference), or `url`.

    Usable by several threads at once. `connect_timeout`: seconds for which the daemon may be away (being restarted,
    say) before a call fails as NotReached. `retry_busy`: wait for room, as long, where the station answers 1011.
    """

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
        self._pool = Pool(self._address)

    def execute(  # noqa: PLR0913  - one for each argument of the contract
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
        """Return the answer of the version that is active for a PID.

        `timeout`: seconds that the caller waits in all; None: as long as the deployment's own limits let a call take.

        Raises:
            NotReached: it was never accepted.
            UnknownOutcome: it was accepted, then the daemon went away (with `retry_unknown` it is tried again).
            CallError: what the station answered; 1005 also where `timeout` is over.
        """
        images = {"image": image} if guide_image is None else {"image": image, "guide_image": guide_image}
        patience = replace(self._patience, retry_unknown=retry_unknown)
        attempts = Attempts(str(self._address), patience, timeout)
        with Call(pid, images, Arguments(step_index, step_desc, guide_info, params, session, phase)) as call:
            call.load(self._address.images)
            while True:
                left = attempts.left()
                try:
                    return detection_of(self._pool.exchange(call.request(self._address, left), left))
                except (NeverAccepted, Broken, CallError) as failure:
                    delay = attempts.after(failure)
                time.sleep(delay)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pool:
    """Idle connections to one address; whoever needs one and finds none opens it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: deque[socket.socket] = deque()
        self._process = os.getpid()

    def exchange(
        self, buffers: list[Buffer], timeout: float | None, heard: Callable[[bytes], None] = lambda _: None
    ) -> Answer:
        """Send a request and return its answer; `heard` is given the pieces of its body as they come.

        Raises:
            NeverAccepted, Broken: see `exchange.py`.
            CallError: 1005, there was no answer within `timeout` seconds.
        """
        connection, reused = self._take(timeout)
        try:
            answer = _exchange(connection, Exchange(buffers, heard), self._address.local, reused, _deadline(timeout))
        except BaseException as error:
            connection.close()
            if isinstance(error, NeverAccepted) and error.stale:
                self.clear()  # what was closed for one was closed for all
            raise
        if answer.reusable and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self, timeout: float | None) -> tuple[socket.socket, bool]:
        if self._process != os.getpid():  # a forked child must not speak on its parent's connections
            self.clear()
            self._process = os.getpid()
        try:
            return self._idle.pop(), True
        except IndexError:
            return self._connect(timeout), False

    def _connect(self, timeout: float | None) -> socket.socket:
        try:
            if self._address.local:
                return self._address.connect_local()
            connection = socket.create_connection((self._address.host, self._address.port), timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise NeverAccepted(str(error.strerror or error).lower()) from None
        return connection

    def clear(self) -> None:
        """Close what is idle."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took the last one
                return


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout + MARGIN


def _exchange(
    connection: socket.socket, exchange: Exchange, local: bool, reused: bool, deadline: float | None
) -> Answer:
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed: that is read
            while exchange.pending:
                exchange.sent(_within(connection, deadline).sendmsg(exchange.pending[:_PIECES]))
        while exchange.answer is None:
            data = _within(connection, deadline).recv(_READ)
            if not data:
                raise exchange.lost(None, local=local, reused=reused)
            exchange.receive(data)
    except TimeoutError:
        raise too_late() from None
    except OSError as error:
        raise exchange.lost(error, local=local, reused=reused) from None
    return exchange.answer


def _within(connection: socket.socket, deadline: float | None) -> socket.socket:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection
