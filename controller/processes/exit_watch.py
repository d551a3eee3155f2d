"""How an adapter ends: the kernel says that it has, its shim says how. Neither may be there to say it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from controller.processes.attach import Attachment
from controller.processes.records import Exit

_REPORT = 2.0
"""Seconds that a shim may take to say how an adapter ended that is known to have ended."""


class ExitWatch:
    """Watches one adapter by its pidfd and by the link to its shim.

    `on_end` is called as soon as the adapter has ended, `on_exit` once, when it is known how (None: nobody saw it).
    """

    def __init__(
        self, attachment: Attachment, *, on_end: Callable[[], None], on_exit: Callable[[Exit | None], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._attachment = attachment
        self._on_end = on_end
        self._on_exit = on_exit
        self._report: asyncio.TimerHandle | None = None
        self._shim_gone = False
        self._over = False
        self._closed = False
        attachment.link.on_exit = self._reported
        self._loop.add_reader(attachment.pidfd, self._ended)

    def _ended(self) -> None:
        """The pidfd says that the adapter has ended. How, the shim says."""
        self._loop.remove_reader(self._attachment.pidfd)
        self._on_end()
        if self._shim_gone:
            self._finish(None)
        else:
            self._report = self._loop.call_later(_REPORT, self._finish, None)

    def _reported(self, ended: Exit | None) -> None:
        """The shim reports how the adapter ended; or it is gone itself, and then the kernel ends the adapter."""
        self._shim_gone = ended is None
        if ended is not None or self._report is not None:
            self._finish(ended)
        else:
            self._report = self._loop.call_later(_REPORT, self._kill)

    def _kill(self) -> None:
        with suppress(OSError):  # it has ended
            signal.pidfd_send_signal(self._attachment.pidfd, signal.SIGKILL)
        self._finish(None)

    def _finish(self, ended: Exit | None) -> None:
        if self._over:
            return
        self._over = True
        if self._report is not None:
            self._report.cancel()
        self._loop.remove_reader(self._attachment.pidfd)
        self._on_end()
        self._on_exit(ended)

    def close(self) -> None:
        """Watch no more."""
        if self._report is not None:
            self._report.cancel()
        self._attachment.link.on_exit = lambda _: None
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._attachment.pidfd)
            os.close(self._attachment.pidfd)
