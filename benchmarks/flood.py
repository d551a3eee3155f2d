"""Calls at the line while the listener of the network is attacked, against the same calls while it is not.

One caller on the Unix socket calls without a pause; each window of it under attack follows a quiet one. Compared are
the percentiles of all calls of either kind, as one window has fewer than ten calls beyond its p99. The range is that of
95 % of what drawing the pairs anew makes of it (the bootstrap, Efron 1979).

p99 is what waiting for a core makes of it, and the load needs one, though at a station it comes from other machines. So
its process gives way to the line as the gateway does (`give_way_to_all`), and both keep to the machine's last core; the
line keeps to none, whether attacked or not. Controls say what remains of that: in the first nothing attacks, and the
ratio is the measure's own error; in the others the same load goes to a bare server that answers without looking, and
gives way like the gateway. What an attack costs the loop that answers calls is told by the daemon's processor time for
each call. Memory is what the kernel says is resident.

usage: python -m benchmarks.flood [ROUNDS]
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.table import Row, megabytes, milliseconds, print_table
from controller.client import Client
from controller.host.priority import give_way_to_all
from examples.packing import build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.gateway.test_tls import make_certificate

_AIM = 1.1
_MOST_MEMORY = 60e6
_WINDOW, _SETTLE, _OPENING = 1.0, 0.3, 2.0
"""Seconds of calls in one window; before it, when the load has changed; and until a thousand connections are idle."""
_DRAWS = 400
_IMAGE = np.zeros((48, 64, 3), np.uint8)
_WORKERS = 16
_IDLE = 1000
_NOTHING, _MANY_IDLE = "nothing", "1,000 idle connections"

_Seconds = npt.NDArray[np.float64]

# The load: what one worker does again and again.


class _Target:
    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.bearer = f"Authorization: Bearer {token}\r\n".encode()
        self.done = 0
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    async def send(self, data: bytes, *, tls: bool = False) -> None:
        """Send on a connection of its own, and read until it is closed or nothing more comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context if tls else None)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(2):
                while await reader.read(65536):
                    pass
        finally:
            self.done += 1
            writer.transport.abort()


def _get(path: str, more: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path.encode(), more)


def _post(path: str, more: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % (path.encode(), more)


async def _without_token(target: _Target) -> None:
    await target.send(_get("/v1/status") * 20)


async def _wrong_role(target: _Target) -> None:
    await target.send(_post("/v1/deployments/a01/promote", target.bearer + b"Content-Length: 0\r\n"))


async def _oversized(target: _Target) -> None:
    await target.send(
        _post("/v1/deployments/a01/promote", target.bearer + b"Content-Length: 99999999999\r\n") + b"x" * 65536
    )


async def _malformed(target: _Target) -> None:
    await target.send(b"\x00\xff" * 500 + b"\r\n\r\n")


async def _pipelined(target: _Target) -> None:
    await target.send(_get("/v1/status", target.bearer) * 200)


async def _hit_and_run(target: _Target) -> None:
    """Ask, and leave before the answer: whoever attacks need not wait."""
    _, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        writer.write(_get("/v1/status", target.bearer) * 20)
        await writer.drain()
        await asyncio.sleep(0.01)
    finally:
        target.done += 1
        writer.transport.abort()


async def _handshakes(target: _Target) -> None:
    await target.send(b"", tls=True)


async def _slow(target: _Target) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        for byte in _get("/v1/status"):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.5)
    finally:
        target.done += 1
        writer.transport.abort()


async def _idle(target: _Target) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    target.done += 1
    with suppress(OSError):
        await reader.read(1)
        await asyncio.sleep(5)
    writer.transport.abort()


_Attack = Callable[[_Target], Awaitable[None]]
_ATTACKS: dict[str, tuple[_Attack, int]] = {
    _MANY_IDLE: (_idle, _IDLE),
    "requests without a token": (_without_token, _WORKERS),
    "requests of the wrong role": (_wrong_role, _WORKERS),
    "bodies that are too large": (_oversized, _WORKERS),
    "200 slow clients": (_slow, 200),
    "malformed requests": (_malformed, _WORKERS),
    "pipelined requests with a token": (_pipelined, _WORKERS),
    "requests whose caller leaves": (_hit_and_run, _WORKERS),
}
_CONTROL: dict[str, tuple[_Attack, int]] = {_NOTHING: (_idle, 0)}
_OVER_TLS: dict[str, tuple[_Attack, int]] = {"TLS handshakes": (_handshakes, _WORKERS)}


async def load(name: str, port: int, token: str) -> None:
    """Attack from each line of stdin to the next; print how often in all where stdin ends."""
    attack, workers = {**_ATTACKS, **_OVER_TLS, **_CONTROL}[name]
    target = _Target(port, token)

    async def work() -> None:
        while True:
            try:
                await attack(target)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.05)

    tasks: list[asyncio.Task[None]] = []
    working = False
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        working = not working
        if not working:
            for task in tasks:
                task.cancel()
        else:
            tasks = [asyncio.create_task(work()) for _ in range(workers)]
    print(target.done, flush=True)
    os._exit(0)


async def sink() -> None:
    """Answer everything with the same words and close: what any server at all would cost the machine."""
    answer = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(65536)
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


class _Load:
    """The load's process, which works from one word to the next."""

    def __init__(self, name: str, port: int, token: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.flood", "--load", name, str(port), token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def turn(self, settle: float = _SETTLE) -> None:
        """Have it begin to work, or rest; wait until it does."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        time.sleep(settle)

    def end(self) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        done = int(self._process.stdout.readline())
        self._process.wait()
        return done


def run(rounds: int = 15) -> list[Row]:
    """Measure each attack in `rounds` pairs of windows."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with _running(root / "plain") as line:
            before = _memory(line.daemon, "before")
            rows = _rows(_NOTHING, line, rounds, aim=None)
            rows += [row for name in _ATTACKS for row in _rows(name, line, rounds)]
            with _bare_server() as bare:
                rows += _controls(line, rounds, bare)
            memory = [*before, *_memory(line.daemon, "after all of it")]
        certificate, key = make_certificate(root, "station")
        with _running(root / "tls", "--tls-cert", str(certificate), "--tls-key", str(key)) as line:
            rows += [row for name in _OVER_TLS for row in _rows(name, line, rounds)]
        return [*rows, *memory]


class _Line(NamedTuple):
    """A caller at the line of a daemon that listens at a port, and a viewer's token."""

    daemon: Daemon
    client: Client
    port: int
    token: str

    def window(self) -> _Window:
        """Call for a while."""
        seconds: list[float] = []
        used, until = _processor_time(self.daemon.os_pid), time.perf_counter() + _WINDOW
        while (begun := time.perf_counter()) < until:
            self.client.execute("A01", _IMAGE)
            seconds.append(time.perf_counter() - begun)
        used = _processor_time(self.daemon.os_pid) - used
        return _Window(np.array(seconds), used / len(seconds))


class _Window(NamedTuple):
    """What each call of one window took, and the daemon's processor time for each, in seconds."""

    calls: _Seconds
    used: float


def _percentile(percent: float, windows: Iterable[_Window]) -> float:
    return float(np.percentile(np.concatenate([each.calls for each in windows]), percent))


def _compared(percent: float, pairs: Sequence[tuple[_Window, _Window]]) -> float:
    """Return a percentile of all calls under load, over that of all without."""
    quiet, loaded = zip(*pairs, strict=True)
    return _percentile(percent, loaded) / _percentile(percent, quiet)


def _range(percent: float, pairs: Sequence[tuple[_Window, _Window]]) -> tuple[float, float]:
    """Return between what `_compared` lies in 95 % of as many pairs drawn from these."""
    draw = random.Random(1)  # noqa: S311 - the same range of the same pairs
    found = sorted(_compared(percent, draw.choices(pairs, k=len(pairs))) for _ in range(_DRAWS))
    return found[_DRAWS // 40], found[-_DRAWS // 40 - 1]


@contextmanager
def _running(root: Path, *more: str) -> Iterator[_Line]:
    """Run a daemon that listens and has one PID, which has answered for a while."""
    station = Station(root)
    daemon = Daemon(station)
    build_package(station.zips, name="bench", version="1.0.0", supported_pids=["A01"])
    station.desire("a01", "bench", "1.0.0", ["A01"], rollbackWindow="0s")
    token = json.loads(station.pvctl("token", "create", "load", "--role", "viewer", "-o", "json").stdout)["token"]
    daemon.arguments = ("--listen", "127.0.0.1:0", *more)
    try:
        daemon.start()
        status = daemon.until(lambda status: status["converged"] and _listens(status), "convergence")
        with Client(store=station.store) as client:
            line = _Line(daemon, client, int(status["daemon"]["listen"].rpartition(":")[2]), token)
            line.window()
            yield line
    finally:
        daemon.leave_nothing()
        station.pvctl("down", expect=None)


def _listens(status: dict[str, dict[str, list[dict[str, object]]]]) -> bool:
    return any(each["type"] == "ListenerDown" and not each["status"] for each in status["host"]["conditions"])


@contextmanager
def _bare_server() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flood", "--sink"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def _pairs(name: str, line: _Line, rounds: int, port: int) -> tuple[list[tuple[_Window, _Window]], float]:
    """Return a quiet window and one under load for each round, and how often a second the load did what it does."""
    found = []
    working = _Load(name, port, line.token)
    settle = _OPENING if name == _MANY_IDLE else _SETTLE
    for _ in range(rounds):
        quiet = line.window()
        working.turn(settle)
        found.append((quiet, line.window()))
        working.turn()
    return found, working.end() / rounds / (settle + _WINDOW)


def _rows(name: str, line: _Line, rounds: int, port: int = 0, aim: float | None = _AIM) -> list[Row]:
    pairs, rate = _pairs(name, line, rounds, port or line.port)
    quiet, loaded = zip(*pairs, strict=True)
    low, high = _range(99, pairs)
    return [
        Row(
            f"p99 at the line, {name} ({rate:.0f}/s; p50 × {_compared(50, pairs):.2f}; range {low:.2f} to {high:.2f})",
            f"{_percentile(99, loaded) * 1e3:.3g} ms", f"{_percentile(99, quiet) * 1e3:.3g} ms",
            _compared(99, pairs), aim,
        ),
        Row(
            "  the daemon's processor time for each call meanwhile",
            milliseconds([each.used for each in loaded]), milliseconds([each.used for each in quiet]),
            median(under.used / without.used for without, under in pairs), aim,
        ),
    ]  # fmt: skip


def _controls(line: _Line, rounds: int, port: int) -> list[Row]:
    """Return what the same loads cost where a server that knows nothing answers them."""
    rows = []
    for name in ("requests without a token", "bodies that are too large", "pipelined requests with a token"):
        first, second = _rows(name, line, rounds, port, None)
        rows += [dataclasses.replace(first, what=f"control, a bare server: {first.what}"), second]
    return rows


def _processor_time(os_pid: int) -> float:
    return int(Path(f"/proc/{os_pid}/schedstat").read_text().split()[0]) / 1e9


def _memory(daemon: Daemon, when: str) -> list[Row]:
    gateway = next(
        int(each) for each in Path(f"/proc/{daemon.os_pid}/task/{daemon.os_pid}/children").read_text().split()
        if b"controller.gateway" in Path(f"/proc/{each}/cmdline").read_bytes()
    )  # fmt: skip
    ours, its = (_resident(each) for each in (daemon.os_pid, gateway))
    bound = megabytes(_MOST_MEMORY)
    return [
        Row(f"resident memory of the daemon, {when}", megabytes(ours), bound, ours / _MOST_MEMORY, 1.0),
        Row(f"resident memory of its gateway, {when}", megabytes(its), ""),
    ]


def _resident(os_pid: int) -> int:
    pages = int(Path(f"/proc/{os_pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        give_way_to_all()
        asyncio.run(load(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    elif sys.argv[1:2] == ["--sink"]:
        give_way_to_all()
        asyncio.run(sink())
    else:
        print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}")
        sys.exit(not print_table(run(*map(int, sys.argv[1:]))))
