"""`python -m tests.api SCHEMATHESIS [--seconds N] [--seed N] [--only socket|network]`: try to break the API.

A real daemon with real packages, asked by schemathesis with every check: valid and invalid requests, made of
docs/openapi.json, and sequences of them. It must find nothing. `SCHEMATHESIS` is the program, which has an environment
of its own (`make api`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.station.port import WORKER
from examples.packing import Algorithm, build_package
from tests.end_to_end.api_client import DOCUMENT
from tests.end_to_end.running import Daemon, through_folder
from tests.end_to_end.station import Station

CONFIG = Path(__file__).with_name("schemathesis.toml")
PORT = 18443
_PIECE = 1 << 16


def main() -> int:
    """Run schemathesis on a new station; return its exit code."""
    words = argparse.ArgumentParser(prog="python -m tests.api")
    words.add_argument("schemathesis", type=Path)
    words.add_argument("--seconds", type=int, default=240)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", choices=("socket", "network"))
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pvctl-api-"))
    try:
        with a_station(folder) as station:
            codes = [
                attack(given.schemathesis.absolute(), url, given.seconds, given.seed, more, folder)
                for way, url, more in addresses(station)
                if given.only in {None, way}
            ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return max(codes)


@contextmanager
def a_station(folder: Path) -> Iterator[Station]:
    """Yield a station whose daemon runs, with a deployment and with a package that no deployment has."""
    station = Station(folder / "station")
    source = Algorithm(body="return ok()")
    for name in ("screw-check", "spare"):
        for version in ("1.0.0", "1.1.0"):
            pids = ("A01", "A02") if name == "screw-check" else ("S01", "S02")
            build_package(station.zips, name=name, version=version, source=source, supported_pids=pids)
    steps = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
    station.desire("screw-check", "screw-check", "1.0.0", ["A01", "A02"], strategy=steps)
    daemon = Daemon(station)
    daemon.confined = lambda command: [*command, "--listen", f"127.0.0.1:{PORT}"]
    daemon.start()
    try:
        daemon.until(lambda status: status["converged"], "convergence")
        station.pvctl("install", station.zips / "spare-1.0.0-offline.zip", expect=None)
        yield station
    finally:
        station.pvctl("down", expect=None)
        daemon.leave_nothing()


def addresses(station: Station) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield each way to ask the station, its address, and what schemathesis has to know more.

    It reaches the socket through a port of ours. Over the network it must not revoke the token that it comes in with,
    and speaks for nobody else.
    """
    with forwarded(station.store / "run") as port:
        yield "socket", f"http://127.0.0.1:{port}", ()
    token = station.json("token", "create", "tester", "--role", "admin")["token"]
    own = ("--header", f"Authorization: Bearer {token}", "--exclude-operation-id", "revoke_token")
    yield "network", f"http://127.0.0.1:{PORT}", own


@contextmanager
def forwarded(run: Path) -> Iterator[int]:
    """Yield a port of this machine behind which a store's socket is."""
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(_PIECE):
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with through_folder(run) as folder:
            inner, outer = await asyncio.open_unix_connection(f"{folder}/runner.sock")
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def serve() -> None:
        async with await asyncio.start_server(connected, sock=listener) as server:
            await server.serve_forever()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def attack(program: Path, url: str, seconds: int, seed: int, more: tuple[str, ...], folder: Path) -> int:
    """Run schemathesis for some seconds at most; return its exit code."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    for operation in (each for path in document["paths"].values() for each in path.values() if more):
        operation["parameters"] = [each for each in operation.get("parameters", ()) if each["name"] != WORKER]
    asked = folder / "openapi.json"
    asked.write_text(json.dumps(document), encoding="utf-8")
    command = [
        program, "--config-file", CONFIG, "run", asked, "--url", url, "--seed", str(seed),
        "--max-time", str(seconds), *more,
    ]  # fmt: skip
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"), "NO_COLOR": "1"}
    return subprocess.run(list(map(str, command)), check=False, cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
