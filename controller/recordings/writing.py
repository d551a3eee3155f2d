"""The daemon's end of the process that writes recorded calls (`writer.py`). No call waits for any of it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from controller.host.environment import clean_environment
from controller.images.slots import Lease
from controller.recordings.bounds import Bounds, Total
from controller.recordings.call_file import MOST_HEAD
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)

MOST_CALLS = 64
"""Calls that it has not done with."""
MOST_BYTES = 64 * 2**20
"""Of pictures that it has not done with."""
MOST_LEASED = 3
"""Pictures of one role of a process that are leased to it: the others are for whoever else follows its calls."""
_PATIENCE = 5.0
"""Seconds for which it may write down what it has taken when the daemon stops."""
_WORDS = 500
"""Characters of a line of its log that are kept."""
_BACK_OFF = 30.0
"""Seconds before a process that went away by itself is started again."""


@dataclass(slots=True)
class _Given:
    """A call that was given away. `leases` are those that are still to be returned, `owner` whose process it was.

    `on_dropped` is called where it turns out not to be recorded.
    """

    leases: tuple[Lease, ...]
    size: int
    owner: str
    on_dropped: Callable[[], object]


class WriterProcess:
    """Starts, feeds and ends the process, and counts: calls that are `kept`, and those `dropped`, by why.

    `total` is what there is in all, `trouble` why nothing is recorded now; empty: it is.
    """

    def __init__(self, layout: StoreLayout, on_change: Callable[[], object] = lambda: None) -> None:
        self._layout = layout
        self._on_change = on_change
        self.kept = 0
        self.dropped: Counter[str] = Counter()
        self.total = Total(0, 0)
        self.trouble = ""
        self._process: asyncio.subprocess.Process | None = None
        self._life: asyncio.Task[None] | None = None
        self._given: dict[str, _Given] = {}
        self._leased: Counter[str] = Counter()
        self._size = 0
        self._bounds: Mapping[str, Bounds] = {}

    # Its life.

    def start(self) -> None:
        """Have it started, unless it is there; it is started again where it goes away."""
        if self._life is None:
            self._life = asyncio.create_task(self._live())

    @property
    def there(self) -> bool:
        """Whether it was started and did not go away."""
        return self._process is not None

    async def _live(self) -> None:
        while True:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "controller.recordings.writer", str(self._layout.root),
                    cwd="/", env=clean_environment(), start_new_session=True,
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
            except OSError as error:
                self._change(f"the process that records cannot be started: {error.strerror or error}")
            else:
                self._process = process
                self._say_bounds()
                await self._hear(process)
                self._lose()
                self._change("the process that records went away; it is started again in a while")
            await asyncio.sleep(_BACK_OFF)

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout is not None and (line := await process.stdout.readline()):
            if line.startswith(b"{"):
                self._heard(orjson.loads(line))
            else:
                log.warning("recordings: %s", line.decode(errors="replace").rstrip()[:_WORDS])
        await process.wait()

    def _lose(self) -> None:
        """Forget what it was given: nobody knows what became of it."""
        self._process = None
        for call_id in tuple(self._given):
            self._drop(call_id, "writer_gone")

    async def close(self) -> None:
        """Have it write down what it has taken, and end it."""
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
            self._life = None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._lose()

    # What it is told.

    def offer(
        self, message: Mapping[str, Any], leases: tuple[Lease, ...], on_dropped: Callable[[], object]
    ) -> str:  # fmt: skip
        """Give it a call with its pictures; return why it does not take it, empty where it does.

        The leases are held until it has read the pictures. `on_dropped` is called if it took it and drops it later.
        """
        size = sum(lease.image.look[2] for lease in leases)
        owner = leases[0].image.id.partition(".")[0]
        if not self.there:
            return "writer_gone"
        if len(self._given) >= MOST_CALLS or self._size + size > MOST_BYTES or self._leased[owner] >= MOST_LEASED:
            return "behind"
        try:
            line = orjson.dumps(message)
        except TypeError:  # a whole number beyond 64 bits, say
            return "failed"
        if len(line) > MOST_HEAD:
            return "too_large"
        call_id = message["record"]["id"]
        self._given[call_id] = _Given(tuple(lease.hold() for lease in leases), size, owner, on_dropped)
        self._size += size
        self._leased[owner] += 1
        self._write(line)
        return ""

    def mark(self, pid: str, call_id: str, kind: str) -> None:
        """Have a kind added to a call that it was given."""
        self._say({"mark": call_id, "pid": pid, "kind": kind})

    def bound(self, bounds: Mapping[str, Bounds]) -> None:
        """Say how much is to be kept of PIDs."""
        if bounds != self._bounds:
            self._bounds = dict(bounds)
            self._say_bounds()

    def _say_bounds(self) -> None:
        self._say({"bounds": {pid: list(bounds) for pid, bounds in self._bounds.items()}})

    def _say(self, said: Mapping[str, Any]) -> None:
        if self._process is not None:
            self._write(orjson.dumps(said))

    def _write(self, line: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(line + b"\n")  # bounded by what may be given; who lost it hears so by the other pipe

    # What it says.

    def _heard(self, said: Mapping[str, Any]) -> None:
        if "taken" in said:
            self._taken(said["taken"])
        elif "kept" in said:
            self.kept += 1
            self._done(said["kept"])
        elif "dropped" in said:
            self._drop(said["dropped"], said["why"])
        else:
            self.total = Total(said["calls"], said["bytes"])
            self._change(said["trouble"])

    def _taken(self, call_id: str) -> None:
        given = self._given.get(call_id)
        if given is not None and given.leases:
            for lease in given.leases:
                lease.release()
            given.leases = ()
            self._leased[given.owner] -= 1
            if not self._leased[given.owner]:
                del self._leased[given.owner]

    def _drop(self, call_id: str, why: str) -> None:
        self.dropped[why] += 1
        given = self._done(call_id)
        if given is not None:
            given.on_dropped()

    def _done(self, call_id: str) -> _Given | None:
        self._taken(call_id)
        given = self._given.pop(call_id, None)
        if given is not None:
            self._size -= given.size
        return given

    def _change(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            (log.warning if trouble else log.info)("recording: %s", trouble or "goes on")
            self._on_change()
