"""Whatever an algorithm does with its pictures, and whoever is killed meanwhile: it sees its own call's, and no other.

Each picture carries its own number in every pixel, and the algorithm answers what it sees in every one that it has:
those of this call, those that it kept of calls before, those that it handed to a thread, and (0.0.x) those that a
thread reads by an id that it was given in a call, whether or not that was answered by now.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.calls.data_plane import DataPlane
from controller.calls.detection import smoke
from controller.calls.request import DetectionRequest
from controller.calls.service import Service
from controller.client.arguments import CallArguments
from controller.client.pictures import encode
from controller.client.slots import Slots
from controller.host import adapter_pictures
from controller.http.application import application
from controller.http.server import SocketServer
from controller.images import shared_folder
from controller.images.formats import ImageRef
from controller.images.leftovers import sweep_images
from controller.model.input import PictureInput
from controller.model.observed import ActiveMapping, ProcessKey
from controller.packages.install import Installer
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.store.active import ActiveMappings
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import Algorithm, Generation, build_package
from tests.station.fake import FakeStation
from tests.waiting import HANGS

pytestmark = pytest.mark.real

_TOP = """
import threading
import numpy as np

KEPT, THREADS, WRONG, REFUSED = [], [], [], []

def number(pixels):
    first = pixels.reshape(-1, 3)[0]
    return int(first @ [65536, 256, 1]) if (pixels == first).all() else -1

def later(pixels, expected):
    for _ in range(20):
        time.sleep(0.002)
        if number(pixels) != expected:
            WRONG.append([expected, number(pixels)])

def by_id(picture, meta, expected):
    for _ in range(60):
        found = number(read_image_from_shared_memory(picture, meta))
        if found not in (expected, 0):
            WRONG.append(["by id", expected, found])
        REFUSED.append(found == 0)
        time.sleep(0.0002)
"""
_BODY = """
guide = locals().get("guide_image")
seen, guided = number(image), None if guide is None else number(guide)
WRONG.extend([kept, number(pixels)] for kept, pixels in KEPT if number(pixels) != kept)
mapped = not image.flags.owndata
if params.get("keep"):
    KEPT.append((seen, image if params["keep"] == "whole" else image[2:5, 1:]))
    del KEPT[:-params.get("most", 6)]
if params.get("forget"):
    KEPT.clear()
if params.get("thread"):
    THREADS.append(threading.Thread(target=later, args=(image, seen)))
    THREADS[-1].start()
if params.get("by_id"):
    said = (shared_mem_id, image_meta) if params["by_id"] == "as given" else (str(shared_mem_id), dict(image_meta))
    WRONG.extend(["own", seen] for _ in range(1) if number(read_image_from_shared_memory(*said)) != seen)
    THREADS.append(threading.Thread(target=by_id, args=(*said, seen)))
    THREADS[-1].start()
if params.get("scribble"):
    copy = image.copy()
    image[::2] = 255 - image[::2]
    if guide is not None and number(guide) != guided:
        WRONG.append(["guide", guided, number(guide)])
    assert not (image == copy).all()
    image[:] = copy
if params.get("wait"):
    time.sleep(params["wait"])
if params.get("join"):
    for thread in THREADS:
        thread.join()
    THREADS.clear()
return ok(seen=seen, guide=guided, mapped=mapped, wrong=WRONG, kept=len(KEPT), last=number(image),
          bytes=image.nbytes, writeable=bool(image.flags.writeable), refused=sum(REFUSED))
"""
_LOOKS = Algorithm(top=_TOP, body=_BODY)


def numbered(number: int, shape: tuple[int, int] = (24, 32)) -> np.ndarray:
    """A picture that carries its number in every pixel."""
    return np.broadcast_to(np.array([number >> 16, number >> 8 & 255, number & 255], np.uint8), (*shape, 3)).copy()


def now() -> str:
    return "2026-01-02T03:04:05Z"


def install(root: Path, generation: Generation) -> tuple[StoreLayout, ProcessSpec]:
    layout = StoreLayout.at(root)
    for folder in layout.folders:
        folder.mkdir(parents=True)
    name = f"hoards-{generation.replace('.', '')}"
    package = build_package(layout.zips, name=name, source=_LOOKS, generation=generation)
    receipt = Installer(layout, MutationLock(layout), now=now).install(package)
    folder = layout.package(receipt.ref)
    return layout, ProcessSpec(
        key=ProcessKey("hoards", receipt.name, receipt.version), digest=receipt.digest,
        python=str(folder / "venv" / "bin" / "python"), working_directory=str(folder / receipt.working_directory),
        log_path=str(layout.process_log("hoards", receipt.version, 0)), entry_point=receipt.entry_point,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["0.3", "0.0"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return request.param, *install(tmp_path_factory.mktemp("hoards") / "store", request.param)


Ask = Callable[..., Any]


@asynccontextmanager
async def served(layout: StoreLayout, spec: ProcessSpec, *, zero_copy: bool) -> AsyncIterator[Ask]:
    """The station's data plane and its socket; what is yielded makes a detection in process."""
    spec = dataclasses.replace(spec, input=PictureInput(zero_copy=zero_copy))
    pool = ProcessPool(layout, smoke=smoke, now=now)
    await pool.open()
    await pool.start(spec)
    active = ActiveMappings(layout)
    active.write_all({"A01": ActiveMapping(spec.key.name, spec.key.version, now())}, lambda _: None)
    plane = DataPlane(pool, active)
    plane.configure({"hoards": Service(deployment="hoards", pids=("A01",), input=spec.input)})
    server = SocketServer(application(FakeStation(plane.execute), layout), layout)
    await server.start()

    async def ask(image: object, guide: object = None, **params: Any) -> dict[str, Any]:
        given = CallArguments(guide_info=[params], params=params)
        answer = await plane.execute(DetectionRequest("A01", image, guide, given))
        found: dict[str, Any] = answer.data["debug"]
        return found

    try:
        yield ask
    finally:
        await server.stop(1)
        await plane.stop()
        await pool.stop(spec.key, drain=1)
        await pool.close()
        await asyncio.to_thread(end_all, layout)
        shutil.rmtree(shared_folder.memory_folder(layout.images), ignore_errors=True)


@pytest.mark.parametrize("zero_copy", [False, True])
async def test_an_algorithm_sees_the_pictures_of_its_call_and_keeps_them_as_they_were(
    installed: tuple[Generation, StoreLayout, ProcessSpec], zero_copy: bool
) -> None:
    generation, layout, spec = installed
    chance, slots, mapped = random.Random(f"{generation} {zero_copy}"), Slots(), set()  # noqa: S311
    shapes = [(24, 32), (48, 16), (480, 640)]
    async with served(layout, spec, zero_copy=zero_copy) as ask:
        for number in range(1, 141):
            shape = chance.choice(shapes)
            params = {
                "keep": chance.choice(["", "", "whole", "part"]), "most": chance.choice([3, 12]),
                "forget": chance.random() < 0.05,
                chance.choice(["thread", "scribble", "neither"]): chance.random() < 0.5,
            }  # fmt: skip
            if generation == "0.0" and chance.random() < 0.5:
                params["by_id"] = chance.choice(["as given", "copied"])
            image, guide = numbered(number, shape), None
            if chance.random() < 0.3:
                guide = numbered(number + 1_000_000, chance.choice(shapes))
            if chance.random() < 0.6:
                slot = slots.put(layout.images, encode(image, "the image"))
                found = await ask(ImageRef(slot.id), guide, **params)
                slots.give_back(slot)
            else:
                found = await ask(image, guide, **params)
            expected = None if generation == "0.0" else number + (0 if guide is None else 1_000_000)
            assert (found["seen"], found["last"], found["guide"], found["wrong"]) == (number, number, expected, [])
            assert found["writeable"]
            mapped.add(found["mapped"])
        last = await ask(numbered(0), join=True)
        assert last["wrong"] == []
        assert bool(last["refused"]) == (generation == "0.0"), "pictures were asked for by id after their calls"
        slots.clear()
    assert (True in mapped) == zero_copy


async def test_a_process_has_a_free_slot_though_every_picture_is_kept(
    installed: tuple[Generation, StoreLayout, ProcessSpec],
) -> None:
    _, layout, spec = installed
    async with served(layout, spec, zero_copy=True) as ask:
        mapped = [(await ask(numbered(each), keep="whole", most=100))["mapped"] for each in range(1, 31)]
        files = [path for path in layout.images.iterdir() if path.name.startswith(f"{_token(layout)}.image")]
        found = await ask(numbered(99), keep="")
    assert found["seen"] == 99
    assert (found["wrong"], found["kept"]) == ([], 30)
    assert sum(mapped) <= adapter_pictures.MOST_MAPPED
    assert len(files) <= adapter_pictures.MOST_MAPPED + 1


def _token(layout: StoreLayout) -> str:
    (record,) = layout.run.glob("*-*-*.json")
    return record.stem


async def test_a_file_of_a_host_application_is_never_mapped(
    installed: tuple[Generation, StoreLayout, ProcessSpec],
) -> None:
    _, layout, spec = installed
    async with served(layout, spec, zero_copy=True) as ask:
        np.save(layout.images / "cam.npy", numbered(5))
        assert not (await ask(ImageRef("cam"), keep="whole"))["mapped"]
        np.save(layout.images / "cam.npy", numbered(6, (3, 4)))  # over it, and shorter
        found = await ask(ImageRef("cam"))
        (layout.images / "cam.npy").unlink()
    assert (found["seen"], found["wrong"]) == (6, [])


_CLIENT = """
import random, sys, threading
import numpy as np
from controller.client import CallError, Client, UnknownOutcome
store, base = sys.argv[1], int(sys.argv[2])
chance = random.Random(base)

def calls(start):
    for number in range(start, start + 40):
        image = np.empty((chance.choice([24, 120, 480]), 32, 3), np.uint8)
        image[:] = [number >> 16, number >> 8 & 255, number & 255]
        params = {"keep": chance.choice(["", "", "part"]), "scribble": chance.random() < 0.3,
                  "wait": chance.choice([0, 0, 0, 0.02])}
        impatient = 0.005 if params["wait"] and chance.random() < 0.5 else 20
        try:
            found = client.execute("A01", image, guide_info=[params], params=params, timeout=impatient).data["debug"]
        except CallError as error:
            assert error.details.get("caller_timeout"), error
            continue
        assert (found["seen"], found["last"], found["wrong"]) == (number, number, []), (number, found)

with Client(store=store) as client:
    threads = [threading.Thread(target=calls, args=(base + 1000 * turn,)) for turn in range(3)]
    failed = []
    threading.excepthook = lambda failure: failed.append(failure.exc_value)
    for thread in threads: thread.start()
    for thread in threads: thread.join()
for each in failed: print(repr(each))
sys.exit(bool(failed))
"""


@pytest.mark.parametrize("zero_copy", [False, True])
async def test_many_clients_some_of_them_killed_see_their_own_pictures_only(
    installed: tuple[Generation, StoreLayout, ProcessSpec], zero_copy: bool
) -> None:
    _, layout, spec = installed
    chance = random.Random(zero_copy)  # noqa: S311
    async with served(layout, spec, zero_copy=zero_copy) as ask:

        def start(base: int) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", _CLIENT, str(layout.root), str(base)]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        kept = [start(base) for base in (10_000, 20_000)]
        for turn in range(3):
            doomed = start(100_000 + 10_000 * turn)
            await asyncio.sleep(0.4 + chance.random() * 0.3)
            doomed.send_signal(signal.SIGKILL)
            await asyncio.to_thread(doomed.communicate)
            sweep_images(layout.images)
        said = [await asyncio.to_thread(each.communicate, timeout=HANGS) for each in kept]
        assert [(out, each.returncode) for (out, _), each in zip(said, kept, strict=True)] == [("", 0)] * 2
        assert (await ask(numbered(7), forget=True))["wrong"] == []
        assert (await ask(numbered(8)))["seen"] == 8
        sweep_images(layout.images)
        assert list(layout.images.glob("client-*")) == []
