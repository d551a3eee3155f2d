"""The HTTP server inside the daemon's running loop: started, stopped, and no signal handlers of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import Server

from controller.http.connections import ConnectionLimits, StationProtocol
from controller.http.listener import listen
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
        self._layout = layout
        self._group = group
        self._server = Server(
            Config(
                application,
                loop="none",
                http=partial(StationProtocol, limits=limits or ConnectionLimits()),  # type: ignore[arg-type]  # what makes one
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
        self._inode = 0
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen. Raises StoreError."""
        listener = listen(self._layout, self._group)
        self._inode = self._layout.socket.stat().st_ino
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[listener])
        self._sweep_images()

    def _sweep_images(self) -> None:
        sweep_images(self._layout.images)
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP, self._sweep_images)

    async def stop(self, grace: float) -> None:
        """Take no more connections, let requests finish for `grace` seconds, and tell the rest that nobody knows."""
        if self._sweep is not None:
            self._sweep.cancel()
        with suppress(FileNotFoundError):
            if self._layout.socket.stat().st_ino == self._inode:
                self._layout.socket.unlink()
        server = self._server
        server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # it goes into asyncio.wait_for
        await server.shutdown()
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=_LAST_WORDS)
