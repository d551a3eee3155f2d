"""A call over the daemon's Unix socket, client included, against bare blocking pipes to an adapter of the same package.

The server runs in a process of its own, as in a station; ours and bare alternate in short rounds, each on a process of
one package (SDK 0.3.2), and what is compared are the medians of pairs. The client's image is an array (passed by
reference, through a slot) or the bytes of a `.npy` file (multipart, as over a URL); the bare mechanism copies the array
once, into a file that stays mapped. Its adapter is started as the SDK's documents say; in the rows "own adapter", which
have no aim, as the controller starts one. `looks`: the algorithm reads every pixel; else none. "A relay" is no call of
ours but what stands in its place in the least (`relay.py`): the floor of a body that comes over a socket.

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
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import orjson
import uvloop

from benchmarks.calls import BarePipes as Bare
from benchmarks.relay import Relay
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
from controller.model.input import PictureInput
from controller.model.observed import ProcessKey
from controller.packages.install import Installer
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import Algorithm, build_package
from tests.station.fake import FakeStation

_AIM_REFERENCE, _AIM_ARRAY, _AIM_MULTIPART = 3.0, 1.15, 1.3
_SMALL, _LARGE = (480, 640, 3), (1200, 1920, 3)
_LOOK = [{"look": True}]
_LOOKS = Algorithm(body="return ok(mean=float(image.mean())) if params.get('look') else ok()")
_EXECUTE = "/v1/pids/A01/execute"


def _now() -> str:
    return "2026-01-01T00:00:00Z"


class _Plane:
    def __init__(self, plain: AlgorithmProcess, zero_copy: AlgorithmProcess) -> None:
        self._processes = {"A01": plain, "Z01": zero_copy}
        self.station = FakeStation(self.execute)

    async def execute(self, request: DetectionRequest) -> Detection:
        self.station.asked.clear()  # it would hold every picture
        return await detect(self._processes[request.pid], request)


async def serve(root: str) -> None:
    """Start the package of the store and serve it until stdin ends."""
    layout = StoreLayout.at(root)
    spec = _spec(layout)
    runner = ProcessPool(layout, smoke=smoke, now=_now)
    await runner.open()
    zero_copy = replace(spec, key=replace(spec.key, replica=1), input=PictureInput(zero_copy=True))
    for each in (spec, zero_copy):
        await runner.start(each)
    server = SocketServer(application(_Plane(*runner.processes()).station, layout), layout)
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(1)
    for each in (spec, zero_copy):
        await runner.stop(each.key, drain=1)
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


def run(rounds: int = 40) -> list[Row]:
    """Measure calls in `rounds` alternating rounds."""
    with tempfile.TemporaryDirectory() as temporary:
        layout = StoreLayout.at(temporary)
        for folder in layout.folders:
            folder.mkdir(parents=True)
        package = build_package(layout.zips, name="bench-socket", source=_LOOKS)
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
    bare, own = Bare(_spec(layout), layout.images), Bare(_spec(layout), layout.images, ours=True)
    small, large = (np.random.default_rng(1).integers(0, 256, shape, np.uint8) for shape in (_SMALL, _LARGE))
    np.save(layout.images / "cam.npy", small)
    for array in (small, large):
        own.overwrite_and_call(array)
    relay = Relay(own)
    rows = [
        *_rows("image in shared storage", rounds, 50, _posting(layout, b'{"image_ref": "cam"}', "application/json"),
               lambda: bare.call("cam", _SMALL), _AIM_REFERENCE),
    ]  # fmt: skip
    with Client(store=layout.root) as client:
        for name, array, count in (("640×480", small, 40), ("1920×1200", large, 10)):
            rows += [
                *_rows(f"{name} array", rounds, count, partial(client.execute, "A01", array),
                       partial(bare.overwrite_and_call, array), _AIM_ARRAY, steady=True),
                *_rows(f"{name} array / own adapter", rounds, count, partial(client.execute, "A01", array),
                       partial(own.overwrite_and_call, array), None),
                *_rows(f"{name} .npy by multipart", rounds, count, _posting(layout, *_form(array)),
                       partial(bare.overwrite_and_call, array), _AIM_MULTIPART),
                *_rows(f"{name} by a relay", rounds, count, partial(relay.call, array),
                       partial(bare.overwrite_and_call, array), None),
                *_rows(f"{name} array, zeroCopy", rounds, count, partial(client.execute, "Z01", array),
                       partial(bare.overwrite_and_call, array), None),
                *_rows(f"{name} array, looks", rounds, count, partial(client.execute, "A01", array, guide_info=_LOOK),
                       partial(bare.overwrite_and_call, array, _LOOK), None),
                *_rows(f"{name} array, looks, zeroCopy", rounds, count,
                       partial(client.execute, "Z01", array, guide_info=_LOOK),
                       partial(bare.overwrite_and_call, array, _LOOK), None),
            ]  # fmt: skip
    relay.end()
    for each in (bare, own):
        each.end()
    (layout.images / "cam.npy").unlink()
    return rows


def _rows(  # noqa: PLR0913 - what is compared, how often, and the aim
    what: str, rounds: int, count: int, ours: Callable[[], object], plain: Callable[[], object], aim: float | None,
    *, steady: bool = False,
) -> list[Row]:  # fmt: skip
    """Return ours against the bare mechanism; `steady`: also p99 of ours against its p50."""
    ours_s, bare_s, all_ours = [], [], []
    _timed(ours, count)
    _timed(plain, count)
    for _ in range(rounds):
        taken = _timed(ours, count)
        ours_s.append(median(taken))
        all_ours += taken
        bare_s.append(median(_timed(plain, count)))
    found = [Row(what, milliseconds(ours_s), milliseconds(bare_s), median_ratio(ours_s, bare_s), aim)]
    if steady:
        p50, p99 = median(all_ours), sorted(all_ours)[int(len(all_ours) * 0.99)]
        found.append(Row(f"{what}: p99 / p50", milliseconds(p99), milliseconds(p50), p99 / p50, 3.0))
    return found


def _timed(call: Callable[[], object], count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


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
