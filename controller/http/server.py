"""The HTTP server inside the daemon's running loop: started, stopped, and no signal handlers of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from controller.http.application import Application
from controller.http.connections import ConnectionLimits, StationProtocol
from controller.http.listener import guard, listen
from controller.http.uvicorn_parts import Config, Server
from controller.images.leftovers import sweep_images
from controller.store.layout import StoreLayout

_LAST_WORDS = 1.0
_SWEEP = 60.0
"""Seconds between looks for images that killed clients left behind."""


class SocketServer:
    """Serves one ASGI application at a store's `run/runner.sock`. `group`: also for this group of users."""

    def __init__(
        self,
        application: ASGIApp,
        layout: StoreLayout,
        *,
        group: str | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._application = application
        self._layout = layout
        self._group = group
        self._server = Server(
            Config(
                application,
                loop="none",
                http=partial(  # type: ignore[arg-type]  # what makes one
                    StationProtocol,
                    limits=limits or ConnectionLimits(),
                    quick=application.quick if isinstance(application, Application) else None,
                ),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
            )
        )
        self._place: tuple[int, int] | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen. Raises StoreError."""
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._listen()
        self._sweep_images()

    async def _listen(self) -> None:
        listener = listen(self._layout, self._group)
        self._place = _place_of(self._layout.socket)
        await self._server.startup(sockets=[listener])

    async def restore(self) -> bool:
        """Listen anew where the socket is not at its place any more; return whether that was so.

        Connections that are there go on. Raises StoreError.
        """
        if self._place is not None and self._place == await asyncio.to_thread(_place_of, self._layout.socket):
            return False
        former = self._server.servers
        await self._listen()
        for each in former:  # nobody can reach it any more
            each.close()
        return True

    def guard(self) -> None:
        """Let in whom it serves where the folder was made anew. Raises StoreError."""
        guard(self._layout, self._group)

    def _sweep_images(self) -> None:
        sweep_images(self._layout.images)
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP, self._sweep_images)

    async def stop(self, grace: float) -> None:
        """Take no more connections, let requests finish for `grace` seconds, and tell the rest that nobody knows."""
        if self._sweep is not None:
            self._sweep.cancel()
        if self._place is not None and self._place == _place_of(self._layout.socket):
            with suppress(OSError):  # whoever connects to what is left there is refused at once
                self._layout.socket.unlink()
        server = self._server
        server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # it goes into asyncio.wait_for
        await server.shutdown()
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=_LAST_WORDS)
        if isinstance(self._application, Application):
            self._application.uploads.close()


def _place_of(socket: Path) -> tuple[int, int] | None:
    """Return which file stands at a socket's place; None where none does."""
    try:
        status = socket.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
