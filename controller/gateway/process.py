"""The gateway seen from the daemon: a process that is started, ended with the daemon, and started again when it dies.

It has no part in the calls, so its end is none of theirs: the socket stays bound, and who connects meanwhile waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from signal import SIGHUP, SIGTERM, Signals

from controller.errors import ControllerError, RefusedToListen
from controller.gateway.certificates import load
from controller.gateway.refusals import Refusals
from controller.host.listening import Listening, beyond_loopback, bind, url_of
from controller.store.known_tokens import KnownTokens
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)

_FIRST, _LONGEST = 0.5, 30.0
"""Seconds of the first and the longest delay before it is started again."""
_STEADY = 60.0
"""Seconds after which a gateway that dies counts as one that had been well."""
_GRACE = 3.0


class GatewayProcess:
    """The gateway of one store. `on_change`: `trouble` has changed."""

    def __init__(self, layout: StoreLayout, listening: Listening, log_level: str) -> None:
        self._socket = _bind_safely(layout, listening)
        self._listening = listening
        self._layout = layout
        self._log_level = log_level
        self.refusals = Refusals.begin()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.url = url_of(self._socket, tls=listening.certificate is not None)
        self.trouble = "it starts"
        """Why it does not serve; empty: it does."""

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._task = asyncio.create_task(self._keep(), name="the gateway's process")

    def reload(self) -> None:
        """Have it read its certificate again."""
        self._signal(SIGHUP)

    async def stop(self) -> None:
        """End it, and listen no more."""
        self._socket.close()
        self.refusals.close()
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._process is not None and self._process.returncode is None:
            self._signal(SIGTERM)
            try:
                async with asyncio.timeout(_GRACE):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _signal(self, number: Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep(self) -> None:
        delay = _FIRST
        while True:
            begun = time.monotonic()
            why = await self._live()
            if time.monotonic() - begun > _STEADY:
                delay = _FIRST
            self._tell(f"{why}; it is started again in {delay:g} s")
            log.warning("the gateway at %s %s", self.url, self.trouble)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST)

    async def _live(self) -> str:
        """Start it and wait for its end; return what is to be said of that."""
        listening, descriptor, refusals = self._listening, self._socket.fileno(), self.refusals.descriptor
        tls = (
            ("--certificate", str(listening.certificate), "--key", str(listening.key)) if listening.certificate else ()
        )
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "controller.gateway", "--store", str(self._layout.root), "--socket",
                str(descriptor), "--refusals", str(refusals), "--parent", str(os.getpid()), "--log-level",
                self._log_level, *tls, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE,
                pass_fds=(descriptor, refusals), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if await self._process.stdout.readline():
            self._tell("")
            log.info("listening at %s", self.url)
        code = await self._process.wait()
        return f"was ended by {Signals(-code).name}" if code < 0 else f"ended with {code}; see logs/gateway.log"

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble
        self.on_change()


def _bind_safely(layout: StoreLayout, listening: Listening) -> socket.socket:
    """Return a listening socket.

    Raises:
        RefusedToListen: beyond loopback it takes TLS.
        ControllerError: the address or the certificate cannot be used; beyond loopback there is no valid token.
    """
    shown = f"{listening.host}:{listening.port}"
    if listening.certificate is not None and listening.key is not None:
        load(listening.certificate, listening.key)
    try:
        listener = bind(listening.host, listening.port)
    except OSError as error:
        raise ControllerError(
            f"cannot listen at {shown}: {error.strerror or error}", next_step="give --listen another address"
        ) from None
    try:
        _require_safe(layout, listener, listening, shown)
    except BaseException:
        listener.close()
        raise
    return listener


def _require_safe(layout: StoreLayout, listener: socket.socket, listening: Listening, shown: str) -> None:
    if not beyond_loopback(listener):
        return
    if listening.certificate is None:
        raise RefusedToListen(
            f"{shown} can be reached by other machines, and tokens must not cross a network in the clear",
            next_step="give --tls-cert and --tls-key, or listen at 127.0.0.1",
        )
    if not KnownTokens(layout, time.time).any_valid():
        raise ControllerError(
            f"{shown} can be reached by other machines, and there is no token that anybody could come in with",
            next_step="`pvctl token create NAME --role viewer`, then start again",
        )
