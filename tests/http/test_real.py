"""The surface over the real runner: a real package, called by both clients through the socket."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator

import numpy as np
import pytest
from PIL import Image

from controller.calls.data_plane import DataPlane
from controller.calls.detection import smoke
from controller.calls.request import DetectionRequest
from controller.calls.service import Service
from controller.client import AsyncClient, CallError, Client
from controller.client.answers import Detection
from controller.errors import Code
from controller.http.application import application
from controller.http.server import SocketServer
from controller.images import shared_folder
from controller.model.observed import ActiveMapping, ProcessKey
from controller.packages.install import Installer
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.store.active import ActiveMappings
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import Algorithm, build_package
from tests.http.conftest import ask, form
from tests.station.fake import FakeStation
from tests.waiting import until

pytestmark = pytest.mark.real

_LOOKS = Algorithm(
    body="time.sleep(float(params.get('seconds', 0)))\n"
    "os._exit(3) if params.get('crash') else None\n"
    "return ok(mean=float(image.mean()), shape=list(image.shape), params=params)"
)
_ARRAY = np.random.default_rng(3).integers(0, 256, (480, 640, 3), dtype=np.uint8)


class _Plane:
    """The real data plane, and how many calls are inside. PIDs other than A01 have no version."""

    def __init__(self, runner: ProcessPool, layout: StoreLayout, key: ProcessKey) -> None:
        active = ActiveMappings(layout)
        active.write_all({"A01": ActiveMapping(key.name, key.version, now())}, lambda _: None)
        self._plane = DataPlane(runner, active)
        self._plane.configure({key.deployment: Service(deployment=key.deployment, pids=("A01",), start_timeout=0.2)})
        self.stop = self._plane.stop
        self.inside = 0

    async def execute(self, request: DetectionRequest) -> Detection:
        self.inside += 1
        try:
            return await self._plane.execute(request)
        finally:
            self.inside -= 1


def now() -> str:
    return "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoreLayout, ProcessSpec]:
    layout = StoreLayout.at(tmp_path_factory.mktemp("real") / "store")
    for folder in layout.folders:
        folder.mkdir(parents=True)
    receipt = Installer(layout, MutationLock(layout), now=now).install(
        build_package(layout.zips, name="looks", source=_LOOKS)
    )
    folder = layout.package(receipt.ref)
    return layout, ProcessSpec(
        key=ProcessKey("looks", receipt.name, receipt.version),
        digest=receipt.digest,
        python=str(folder / "venv" / "bin" / "python"),
        working_directory=str(folder / receipt.working_directory),
        log_path=str(layout.process_log("looks", receipt.version, 0)),
        entry_point=receipt.entry_point,
        call_timeout=1.5,
    )


@pytest.fixture
async def plane(installed: tuple[StoreLayout, ProcessSpec]) -> AsyncIterator[tuple[StoreLayout, _Plane]]:
    layout, spec = installed
    runner = ProcessPool(layout, smoke=smoke, now=now)
    await runner.open()
    await runner.start(spec)
    real = _Plane(runner, layout, spec.key)
    server = SocketServer(application(FakeStation(real.execute), layout), layout)
    await server.start()
    yield layout, real
    await server.stop(1)
    await real.stop()
    await runner.stop(spec.key, drain=1)
    await runner.close()
    await asyncio.to_thread(end_all, layout)
    left = layout.images.exists()  # it is removed with the last process, unless an image is in it
    shutil.rmtree(shared_folder.memory_folder(layout.images), ignore_errors=True)
    assert not left


async def test_both_clients_get_the_algorithm_s_own_answer(plane: tuple[StoreLayout, _Plane]) -> None:
    layout, _ = plane
    file = io.BytesIO()
    Image.fromarray(_ARRAY).save(file, "png")
    expected = {"mean": float(_ARRAY.mean()), "shape": [480, 640, 3], "params": {"dark": 1}}
    async with AsyncClient(store=layout.root) as client:
        for image in (_ARRAY, file.getvalue()):
            found = await client.execute("A01", image, guide_info=[{"dark": 1}], timeout=20)
            assert (found.status, found.name, found.data["debug"]) == ("OK", "looks", expected)
    with Client(store=layout.root) as client:
        found = await asyncio.to_thread(client.execute, "A01", _ARRAY, guide_info=[{"dark": 1}])
        assert found.data["debug"] == expected
        for path in layout.images.iterdir():
            path.unlink()
        layout.images.resolve().rmdir()  # all of it, as systemd's RemoveIPC does
        for _ in range(2):
            found = await asyncio.to_thread(client.execute, "A01", _ARRAY, guide_info=[{"dark": 1}])
            assert found.data["debug"] == expected


async def test_failures_of_the_real_runner_have_their_status(plane: tuple[StoreLayout, _Plane]) -> None:
    layout, _ = plane

    async def status(pid: str = "A01", **parts: bytes) -> tuple[int, int]:
        reply = await asyncio.to_thread(ask, layout.socket, "POST", f"/v1/pids/{pid}/execute", *form(**parts))
        return reply.status, reply.error["code"]

    file = io.BytesIO()
    np.save(file, _ARRAY)
    assert await status("B%2001", image=file.getvalue()) == (400, Code.invalid_pid)
    assert await status("B01", image=file.getvalue()) == (404, Code.no_active_version)
    assert await status(image=b"no image") == (400, Code.image_load_failed)
    assert await status(image=file.getvalue()[:-1]) == (400, Code.image_load_failed)
    assert await status(request=b'{"image_ref": "absent"}') == (400, Code.shared_memory_not_found)
    assert await status(request=b'{"image_ref": "../cam"}') == (400, Code.invalid_params)
    assert await status(image=file.getvalue(), request=b'{"phase": "pre"}') == (400, Code.invalid_params)
    waiting = b'{"timeout": 0.1, "guide_info": [{"seconds": 0.5}]}'
    assert await status(image=file.getvalue(), request=waiting) == (504, Code.timeout)
    assert await status(image=file.getvalue(), request=b'{"guide_info": [{"crash": true}]}') == (
        502, Code.heartbeat_lost,
    )  # fmt: skip
    assert await status(image=file.getvalue()) == (503, Code.not_initialized)


async def test_hang_is_a_timeout(plane: tuple[StoreLayout, _Plane]) -> None:
    layout, _ = plane
    async with AsyncClient(store=layout.root) as client:
        with pytest.raises(CallError) as caught:
            await client.execute("A01", _ARRAY, guide_info=[{"seconds": 60}])
    assert caught.value.code == Code.timeout


async def test_caller_that_leaves_frees_its_place_in_the_queue(plane: tuple[StoreLayout, _Plane]) -> None:
    layout, real = plane
    async with AsyncClient(store=layout.root) as client:
        first = asyncio.create_task(client.execute("A01", _ARRAY, guide_info=[{"seconds": 1}]))
        await until(lambda: real.inside == 1)
        second = asyncio.create_task(client.execute("A01", _ARRAY))
        await until(lambda: real.inside == 2)
        second.cancel()
        await until(lambda: real.inside == 1)
        assert (await first).status == "OK"
