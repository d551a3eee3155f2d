"""The daemon's end of the process that copies and reduces pictures (`reducer.py`); no call waits for any of it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from controller.host.environment import clean_environment

log = logging.getLogger(__name__)

_PACKET = 64 * 1024
_PATIENCE = 5.0
"""Seconds for which a picture is waited for: on a machine without a moment to spare, rather none."""
_BACK_OFF = 30.0
"""Seconds before a process that went away by itself is started again."""

Said = Mapping[str, Any]


class ReducerProcess:
    """Starts, asks and ends the process. `on_reduced` is called with what it says of each picture it was given.

    `busy`: it has a picture that it has not done with.
    """

    def __init__(self, on_reduced: Callable[[int, Said], None], on_lost: Callable[[], None]) -> None:
        self._on_reduced = on_reduced
        self._on_lost = on_lost
        self._connection: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._working_on = 0
        self._taken: set[int] = set()
        self._asked: dict[int, list[asyncio.Future[bytes | None]]] = {}

    @property
    def there(self) -> bool:
        """Whether it was started and did not go away."""
        return self._connection is not None or self._starting is not None

    @property
    def idle(self) -> bool:
        """Whether it is there and has nothing to do."""
        return self._connection is not None and not self._working_on

    # Its life.

    def start(self) -> None:
        """Have it started, unless it is there, or went away a moment ago."""
        loop = asyncio.get_running_loop()
        if self._connection is None and self._starting is None and loop.time() >= self._not_before:
            self._starting = loop.create_task(self._start())

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "controller.images.reducer", str(theirs.fileno()),
                    cwd="/", env=clean_environment(), pass_fds=(theirs.fileno(),), start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
        except OSError as error:
            ours.close()
            self._back_off()
            log.warning("no pictures of parts: their process cannot be started: %s", error)
        except BaseException:
            ours.close()
            raise
        else:
            ours.setblocking(False)
            self._connection = ours
            asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)
        finally:
            self._starting = None

    def _back_off(self) -> None:
        self._not_before = asyncio.get_running_loop().time() + _BACK_OFF

    async def close(self) -> None:
        """End it, and with it every picture."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        self._let_go()
        if self._process is not None:
            process, self._process = self._process, None
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _let_go(self) -> None:
        """Forget the connection and what was to come over it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        asyncio.get_running_loop().remove_reader(connection.fileno())
        connection.close()
        self._working_on = 0
        self._taken.clear()
        asked, self._asked = self._asked, {}
        for future in (each for waiting in asked.values() for each in waiting):
            if not future.done():
                future.set_result(None)
        self._on_lost()

    def _lost(self) -> None:
        if self._connection is not None:
            log.warning("the process that reduces pictures of parts went away; it is started again in a while")
            self._back_off()
            self._let_go()

    # What it is asked.

    def take(self, key: int, descriptor: int, **picture: object) -> bool:
        """Give it a picture; false where it cannot take one now. `picture` says what the descriptor holds."""
        if not self.idle or not self._say({"take": key, **picture}, descriptor):
            return False
        self._working_on = key
        return True

    def has_taken(self, key: int) -> bool:
        """Whether its own copy of a picture is complete by now."""
        self._hear()
        return key in self._taken

    async def give(self, key: int) -> bytes | None:
        """Return a reduced picture; None where it is not kept, or does not come in time."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        waiting = self._asked.setdefault(key, [])
        waiting.append(future)
        if len(waiting) == 1 and not self._say({"give": key}):
            self._asked.pop(key, None)
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                return await future
        except TimeoutError:
            waiting.remove(future)
            return None

    def drop(self, *keys: int) -> None:
        """Have it forget pictures."""
        self._taken.difference_update(keys)
        self._say({"drop": keys})

    def _say(self, said: Said, *descriptors: int) -> bool:
        if self._connection is None:
            return False
        try:
            socket.send_fds(self._connection, [orjson.dumps(said)], descriptors)
        except BlockingIOError:  # it has much to do
            return False
        except OSError:
            self._lost()
            return False
        return True

    # What it says.

    def _hear(self) -> None:
        while self._connection is not None:
            try:
                packet, descriptors, _, _ = socket.recv_fds(self._connection, _PACKET, 1)
            except BlockingIOError:
                return
            except OSError:
                packet, descriptors = b"", []
            try:
                if not packet:
                    self._lost()
                    return
                self._heard(orjson.loads(packet), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _heard(self, said: Said, descriptors: list[int]) -> None:
        if "taken" in said:
            self._taken.add(said["taken"])
        elif "given" in said:
            content = os.pread(descriptors[0], os.fstat(descriptors[0]).st_size, 0) if descriptors else None
            for future in self._asked.pop(said["given"], ()):
                if not future.done():
                    future.set_result(content)
        else:
            self._working_on = 0
            self._on_reduced(said.get("reduced") or said["failed"], said)
