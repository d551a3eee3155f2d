"""The bounds of the gateway, in one place (docs/operations.md has the table), and the buckets that keep rates."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from controller.http.failures import CLOSE, Refused

MIB = 1024 * 1024
UNAUTHORIZED, TOO_MANY, _OUR_DOING = 401, 429, 500


@dataclass(frozen=True, slots=True)
class Rate:
    """`each_second` on average, `burst` at once."""

    each_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, seconds, numbers.

    `connections_each`: of one address. `handshake`: until TLS is agreed on. `headers`: all of a request; `target`: path
    and query. `small`: a body up to this size is taken in whole before anybody is asked; `body` bounds a detection's,
    `upload` a zip's, `form` one for the page, `json` every other. `silent`: for which a body may not go on; it has
    `patience`, and more for what arrived: at least `slowest` bytes a second. `at_once`: requests that are forwarded, of
    one token `at_once_each`; of them `reads_at_once` only ask, of one token `reads_at_once_each`: a few at a time, as a
    call at the line waits for those that came before it. `large_at_once` have a large body, their bytes `large_bytes`
    in all; of them a caller has at most `large_at_once_each`, and as many bytes as one detection may have:
    `large_bytes` are more, so that whoever comes beside it has room, too. `streams`: answers that go on, of one token
    `streams_each`; `page_at_once`: what the page asks the daemon. `turn`: for which a request waits for its place.
    `told_at_once`: refusals that an address is told at once; any more, and each 429, is kept back for `penalty`.
    """

    connections_each: int = 64
    accepts: Rate = Rate(200, 100)
    handshake: float = 10.0
    headers: int = 32 * 1024
    target: int = 8 * 1024
    small: int = MIB
    json: int = MIB
    form: int = 16 * 1024
    body: int = 640 * MIB
    upload: int = 4096 * MIB
    silent: float = 20.0
    patience: float = 30.0
    slowest: int = 64 * 1024
    at_once: int = 16
    at_once_each: int = 8
    reads_at_once: int = 4
    reads_at_once_each: int = 2
    page_at_once: int = 8
    large_at_once: int = 4
    large_at_once_each: int = 2
    large_bytes: int = 768 * MIB
    large_bytes_each: int = 640 * MIB
    streams: int = 32
    streams_each: int = 8
    turn: float = 5.0
    penalty: float = 1.0
    requests_of_token: Rate = Rate(100, 200)
    reads_of_token: Rate = Rate(5, 20)
    requests_of_address: Rate = Rate(200, 400)
    refusals_of_token: Rate = Rate(2, 20)
    refusals_of_address: Rate = Rate(2, 20)
    told_at_once: Rate = Rate(5, 20)


class Buckets:
    """A bucket for each key, filled at a rate; one that nobody has named for long is full again, and forgotten."""

    _MOST = 4096

    def __init__(self, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Return the seconds after which there is something in a key's bucket; 0: there is now."""
        return max(0.0, (1.0 - self._level(key)) / self._rate.each_second)

    def take(self, key: str) -> float:
        """Take one out of a key's bucket, and return 0; or the seconds to wait, and take nothing."""
        level = self._level(key)
        if level < 1.0:
            return (1.0 - level) / self._rate.each_second
        self._levels[key] = (level - 1.0, self._now())
        self._levels.move_to_end(key)
        if len(self._levels) > self._MOST:
            self._levels.popitem(last=False)
        return 0.0

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (self._rate.burst, 0.0))
        return min(self._rate.burst, level + (self._now() - at) * self._rate.each_second)


class Penalty:
    """Keeps back the refusals of who comes too often or is refused too often: they wait, and cost nothing meanwhile."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.penalty
        self._told = Buckets(limits.told_at_once)

    def seconds(self, address: str, status: int) -> float:
        """Count a refusal; return the seconds for which it is kept back. What is not their doing is told at once: 0."""
        if status >= _OUR_DOING:
            return 0.0
        often = self._told.take(address) > 0 or status == TOO_MANY
        return self._seconds if often else 0.0

    async def pass_by(self, address: str, status: int) -> None:
        """Count a refusal, and wait until it is to be told."""
        if seconds := self.seconds(address, status):
            await asyncio.sleep(seconds)


def too_often(what: str, seconds: float) -> Refused:
    """Return the refusal of somebody who comes too often."""
    return Refused(
        TOO_MANY,
        f"too many {what}",
        next_step="ask less often",
        headers={**CLOSE, "Retry-After": str(max(1, math.ceil(seconds)))},
    )


@dataclass(slots=True)
class Places:
    """A number of places; whoever finds none waits `turn` seconds for one. `what`: for the refusal."""

    most: int
    turn: float
    what: str
    _semaphore: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._semaphore = asyncio.Semaphore(self.most)

    async def enter(self) -> None:
        """Take a place. Raises Refused 503."""
        try:
            async with asyncio.timeout(self.turn):
                await self._semaphore.acquire()
        except TimeoutError:
            raise Refused(
                503, f"{self.most} {self.what} are under way", next_step="ask again later",
                headers={**CLOSE, "Retry-After": "1"},
            ) from None  # fmt: skip

    def leave(self) -> None:
        """Give the place back."""
        self._semaphore.release()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Have a place for the block. Raises Refused 503."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()


class Shared:
    """Places of which one caller has at most `each`; whoever reads slowly keeps nobody else waiting.

    `patience`: seconds that a caller who has as many waits for one of its own.
    """

    def __init__(self, places: Places, each: int, patience: float) -> None:
        self._places = places
        self._each = each
        self._patience = patience
        self._of: dict[str, tuple[Places, int]] = {}

    async def enter(self, caller: str) -> None:
        """Take a place. Raises Refused: 429, the caller has enough of them; 503, there is none."""
        own, there = self._of.get(caller) or (Places(self._each, self._patience, self._places.what), 0)
        self._of[caller] = own, there + 1
        try:
            try:
                await own.enter()
            except Refused:
                raise too_often(f"{self._places.what} at once by {caller}", self._places.turn) from None
            try:
                await self._places.enter()
            except BaseException:
                own.leave()
                raise
        except BaseException:
            self._forget(caller)
            raise

    def leave(self, caller: str) -> None:
        """Give the place back."""
        self._places.leave()
        self._of[caller][0].leave()
        self._forget(caller)

    def _forget(self, caller: str) -> None:
        own, there = self._of.pop(caller)
        if there > 1:
            self._of[caller] = own, there - 1


class LargeBodies:
    """Places and bytes of large bodies, in all and of one caller: nobody has all of them."""

    def __init__(self, limits: Limits) -> None:
        places = Places(limits.large_at_once, limits.turn, "large requests")
        self._places = Shared(places, limits.large_at_once_each, limits.turn)
        self._limits = limits
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[Callable[[int], None]]:
        """Have a place for the block, and what counts bytes for as long.

        Raises:
            Refused: 429, the caller has enough of them; 503, there is none. What counts raises the same.
        """
        await self._places.enter(caller)
        taken = 0

        def count(more: int) -> None:
            nonlocal taken
            self._require_room(caller, more)
            self._bytes[caller] += more
            taken += more

        try:
            yield count
        finally:
            self._bytes[caller] -= taken
            if not self._bytes[caller]:
                del self._bytes[caller]
            self._places.leave(caller)

    def _require_room(self, caller: str, more: int) -> None:
        own, everybodys = self._bytes[caller], self._bytes.total()
        if own + more > self._limits.large_bytes_each:
            raise too_often(f"large requests at once by {caller}: {own // MIB} MiB are under way", self._limits.turn)
        if everybodys + more > self._limits.large_bytes:
            raise Refused(
                503, f"large requests of {everybodys // MIB} MiB are under way", next_step="ask again later",
                headers={**CLOSE, "Retry-After": "1"},
            )  # fmt: skip
