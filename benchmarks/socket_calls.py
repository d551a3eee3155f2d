"""A call over the daemon's Unix socket, client included, against bare blocking pipes to the same adapter (SDK 0.3.2).

The server runs in a process of its own, as in a station; ours and bare alternate, each on a process of one package.
The client's image is an array (passed by reference: written anew for every call, and deleted) or the bytes of a `.npy`
file (multipart, as over a URL); then the bare mechanism copies the array once, into a file that stays mapped.

usage: python -m benchmarks.socket_calls [ROUNDS]
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import orjson
import uvloop

from benchmarks.calls import BarePipes as Bare
from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.calls.detection import detect, smoke
from controller.calls.request import DetectionRequest
from controller.client import Client
from controller.client.addresses import Address
from controller.client.answers import Detection
from controller.client.blocking import Pool
from controller.client.calls import multipart, request
from controller.client.pictures import Encoded
from controller.http.application import application
from controller.http.server import SocketServer
from controller.model.observed import ProcessKey
from controller.packages.install import Installer
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import OK, build_package
from tests.station.fake import FakeStation

_AIM_REFERENCE, _AIM_ARRAY, _AIM_MULTIPART = 3.0, 1.15, 1.3
_SMALL, _LARGE = (480, 640, 3), (1200, 1920, 3)
_EXECUTE = "/v1/pids/A01/execute"


def _now() -> str:
    return "2026-01-01T00:00:00Z"


class _Plane:
    def __init__(self, process: AlgorithmProcess) -> None:
        self._process = process

    async def execute(self, request: DetectionRequest) -> Detection:
        return await detect(self._process, request)


async def serve(root: str) -> None:
    """Start the package of the store and serve it until stdin ends."""
    layout = StoreLayout.at(root)
    spec = _spec(layout)
    runner = ProcessPool(layout, smoke=smoke, now=_now)
    await runner.open()
    await runner.start(spec)
    server = SocketServer(application(FakeStation(_Plane(*runner.processes()).execute), layout), layout)
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(1)
    await runner.stop(spec.key, drain=1)
    await runner.close()


def _spec(layout: StoreLayout) -> ProcessSpec:
    (receipt_path,) = layout.deployed.glob("*/*/receipt.json")
    receipt = orjson.loads(receipt_path.read_bytes())
    folder = receipt_path.parent
    return ProcessSpec(
        key=ProcessKey("bench", receipt["name"], receipt["version"]),
        digest=receipt["digest"],
        python=str(folder / "venv" / "bin" / "python"),
        working_directory=str(folder / receipt["working_directory"]),
        log_path=str(layout.process_log("bench", receipt["version"], 0)),
        entry_point=receipt["entry_point"],
    )


def run(rounds: int = 15) -> list[Row]:
    """Measure calls in `rounds` alternating rounds."""
    with tempfile.TemporaryDirectory() as temporary:
        layout = StoreLayout.at(temporary)
        for folder in layout.folders:
            folder.mkdir(parents=True)
        package = build_package(layout.zips, name="bench-socket", source=OK)
        Installer(layout, MutationLock(layout), now=_now).install(package)
        command = [sys.executable, "-m", "benchmarks.socket_calls", "--serve", temporary]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdin
        assert server.stdout
        try:
            assert server.stdout.readline() == b"ready\n"
            return _measure(layout, rounds)
        finally:
            server.stdin.close()
            server.wait()
            server.stdout.close()
            end_all(layout)


def _measure(layout: StoreLayout, rounds: int) -> list[Row]:
    bare = Bare(_spec(layout), layout.images)
    small, large = np.zeros(_SMALL, np.uint8), np.zeros(_LARGE, np.uint8)
    np.save(layout.images / "cam.npy", small)
    with Client(store=layout.root) as client:
        rows = [
            _row("call over the socket, image in shared storage / bare pipes", rounds, 200,
                 _posting(layout, b'{"image_ref": "cam"}', "application/json"),
                 lambda: bare.call("cam", _SMALL), _AIM_REFERENCE),
            _row("the same, the client's 640×480 array / a mapped slot overwritten + bare pipes", rounds, 200,
                 lambda: client.execute("A01", small), lambda: bare.overwrite_and_call(small), _AIM_ARRAY),
            _row("the same, 640×480 .npy by multipart / a mapped slot overwritten + bare pipes", rounds, 100,
                 _posting(layout, *_form(small)), lambda: bare.overwrite_and_call(small), _AIM_MULTIPART),
            _row("the same, the client's 1920×1200 array / a mapped slot overwritten + bare pipes", rounds, 20,
                 lambda: client.execute("A01", large), lambda: bare.overwrite_and_call(large), _AIM_ARRAY),
            _row("the same, 1920×1200 .npy by multipart / a mapped slot overwritten + bare pipes", rounds, 20,
                 _posting(layout, *_form(large)), lambda: bare.overwrite_and_call(large), _AIM_MULTIPART),
        ]  # fmt: skip
    bare.end()
    (layout.images / "cam.npy").unlink()
    return rows


def _row(
    what: str, rounds: int, count: int, ours: Callable[[], object], plain: Callable[[], object], aim: float
) -> Row:
    ours_s, bare_s = [], []
    for _ in range(rounds):
        ours_s.append(_p50(ours, count))
        bare_s.append(_p50(plain, count))
    return Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), aim)


def _p50(call: Callable[[], object], count: int) -> float:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _form(array: np.ndarray) -> tuple[bytes, str]:
    file = io.BytesIO()
    np.save(file, array)
    body = b"".join(multipart("xyz", {"image": Encoded([file.getvalue()])}))
    return body, "multipart/form-data; boundary=xyz"


def _posting(layout: StoreLayout, body: bytes, media_type: str) -> Callable[[], None]:
    """Return what posts a body over one connection."""
    address = Address.of(layout.root, None, None)
    pool = Pool(address)
    buffers = request(address, "POST", _EXECUTE, [body], media_type)

    def post() -> None:
        assert pool.exchange(buffers, None).status == 200

    return post


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve(sys.argv[2]))
    else:
        sys.exit(0 if print_table(run(*map(int, sys.argv[1:]))) else 1)
