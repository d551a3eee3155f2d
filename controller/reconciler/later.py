"""Later: writes that nobody waits for, one after another in a thread; of several for one file only the newest.

What goes here is known elsewhere (the registry, the status): a pass, and so a verdict, must not wait for a slow disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from controller.errors import StoreError

log = logging.getLogger(__name__)


class Later:
    """The writes of one controller that are still to be done. Use it on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, Callable[[], object]] = {}
        self._writing: asyncio.Task[None] | None = None
        self._written_now = ""
        self.failing: dict[str, str] = {}
        """What could not be written the last time, and why; whoever knows it still wants it gives it again."""

    def write(self, what: str, work: Callable[[], object]) -> None:
        """Do `work` as soon as those before it are done; it takes the place of an earlier one that has not begun."""
        self._waiting[what] = work
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def is_due(self, what: str) -> bool:
        """Return whether something is still to be written, or is being written: what is on the disk may be older."""
        return what in self._waiting or what == self._written_now

    async def _write(self) -> None:
        while self._waiting:
            what = self._written_now = next(iter(self._waiting))
            try:
                await asyncio.to_thread(self._waiting.pop(what))
            except StoreError as error:
                if self.failing.get(what) != str(error):
                    log.warning("%s", error)
                self.failing[what] = str(error)
            else:
                self.failing.pop(what, None)
            finally:
                self._written_now = ""

    async def flush(self) -> None:
        """Wait for everything that was given so far, and what came meanwhile."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def flush_within(self, seconds: float) -> None:
        """Flush, waiting so long at most: a disk that hangs must not hold up the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.flush()
