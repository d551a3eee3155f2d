"""Which zip is checked in full next, while nothing else is being done: so its verdict is there before it is wanted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from controller.reconciler.ports import ZipCheck
from controller.reconciler.zips import ZipFolder

log = logging.getLogger(__name__)

_FIRST_DELAY_S, _LONGEST_DELAY_S = 60.0, 3600.0
"""After how long a zip is checked again of which a check came to no verdict, at first and at last."""


class BackgroundChecks:
    """Checks the zips of a store, one at a time. `on_verdict` is called when there is one more to be seen."""

    def __init__(
        self,
        zips: ZipFolder,
        check: ZipCheck,
        on_verdict: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._zips = zips
        self._check = check
        self._on_verdict = on_verdict
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._delays: dict[str, tuple[float, float]] = {}  # by digest: not before, and for how long then

    def consider(self, *, at_rest: bool) -> None:
        """Begin the next check where the station is at rest; end the present one where it is not any more."""
        if not at_rest:
            self._cancel()
        elif self._task is None:
            now = self._clock()
            due = (each for each in self._zips.unchecked if self._delays.get(each[1], (now, 0))[0] <= now)
            if (found := next(due, None)) is not None:
                self._task = asyncio.create_task(self._work(*found))

    async def stop(self) -> None:
        """End the present check, and wait for its end."""
        self._cancel()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    def _cancel(self) -> None:
        if self._task is not None and not self._task.cancelling():  # twice would end its tidying up
            self._task.cancel()

    async def _work(self, zip_path: Path, digest: str) -> None:
        try:
            verdict = await self._check.check(zip_path)
        except OSError as error:
            log.warning("cannot check %s in the background: %s", zip_path.name, error)
            verdict = None
        finally:
            self._task = None
        if verdict is None:
            delay = min(_LONGEST_DELAY_S, self._delays.get(digest, (0, _FIRST_DELAY_S / 2))[1] * 2)
            self._delays[digest] = self._clock() + delay, delay
            return
        self._delays.pop(digest, None)
        self._zips.note(verdict)
        log.info("%s: %s", zip_path.name, "valid" if verdict.code is None else f"not valid: {verdict.reason}")
        self._on_verdict()
