"""Both clients against a real server: images in every form, errors, retries, kills, and nothing left over."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controller.client import AsyncClient, CallError, Client, NotReached, UnknownOutcome
from controller.errors import Code, ControllerError
from tests.client.conftest import Execute, StationProcess
from tests.waiting import eventually

_ARRAY = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
_SUM = int(_ARRAY.sum())


def file_of(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, _ARRAY)
    else:
        Image.fromarray(_ARRAY).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("image", "by_reference"),
    [
        (_ARRAY, True), (np.asfortranarray(_ARRAY), True), (_ARRAY[:, ::-1], True), (_ARRAY[:, :, 0], True),
        (file_of("npy"), True), (file_of("png"), False), (bytearray(file_of("bmp")), False),
        (memoryview(file_of("png")), False), (Image.fromarray(_ARRAY), True),
    ],
)  # fmt: skip
def test_images_arrive_as_they_are(station: StationProcess, image: Any, by_reference: bool) -> None:
    station.start()
    station.wait_until_up()
    with Client(store=station.layout.root) as client:
        detection = client.execute("A01", image, image, step_index=2, params={"a": np.float32(0.5)}, timeout=20)
    expected = _ARRAY[:, :, 0] if isinstance(image, np.ndarray) and image.ndim == 2 else _ARRAY
    assert detection.data == {
        "shape": list(expected.shape), "sum": int(expected.sum()), "by_reference": by_reference,
    }  # fmt: skip
    assert (detection.pid, detection.name, detection.status) == ("A01", "screw-check", "OK")
    assert detection.to_document()["version"] == "1.0.0"


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_files_and_many_calls_over_one_client(
    station: StationProcess, make: Callable[..., Execute], kind: str, tmp_path: Path
) -> None:
    station.start()
    path = tmp_path / f"part.{kind}"
    path.write_bytes(file_of(kind))
    execute = make(station.layout.root)
    for image in (path, str(path), path):
        assert execute("A01", image).data["sum"] == _SUM


def test_without_a_folder_for_images_they_are_sent(station: StationProcess, make: Callable[..., Execute]) -> None:
    station.start()
    station.wait_until_up()
    station.layout.images.rmdir()
    large = np.ones((900, 1000, 3), np.uint8)
    assert make(station.layout.root)("A01", large).data == {
        "shape": [900, 1000, 3], "sum": 2_700_000, "by_reference": False,
    }  # fmt: skip
    station.layout.images.mkdir()


@pytest.mark.parametrize("image", ["absent.png", _ARRAY.astype(np.float32), object(), {"a": 1}])
def test_what_is_no_image_is_refused_here(station: StationProcess, make: Callable[..., Execute], image: Any) -> None:
    with pytest.raises(CallError) as caught:
        make(station.layout.root)("A01", image)
    assert caught.value.code == Code.image_load_failed
    assert caught.value.next_step


def test_errors_are_as_the_station_said_them(station: StationProcess, make: Callable[..., Execute]) -> None:
    station.start()
    execute = make(station.layout.root)
    for arguments, code in (
        ({"step_index": 0}, Code.invalid_params),
        ({"params": {"a": object()}}, Code.invalid_params),
        ({"pid": "no pid"}, Code.invalid_pid),
    ):
        with pytest.raises(CallError) as caught:
            execute(**{"pid": "A01", "image": _ARRAY, **arguments})
        assert caught.value.code == code
        assert not isinstance(caught.value, (NotReached, UnknownOutcome))
    assert station.calls() == []


def test_a_package_is_named_with_its_version(station: StationProcess, make: Callable[..., Execute]) -> None:
    station.start()
    execute = make(station.layout.root)
    assert [execute("screw-check@1.0.0+b", _ARRAY, for_pid=pid).pid for pid in ("A02", None)] == ["A02", ""]
    for arguments in ({"pid": "A01", "for_pid": "A02"}, {"pid": "screw-check@"}, {"pid": "@1"}, {"pid": "a@b@c"}):
        with pytest.raises(CallError, match="NAME@VERSION") as caught:
            execute(image=_ARRAY, **arguments)
        assert caught.value.code == Code.invalid_params


def test_absent_daemon_is_waited_for(station: StationProcess, make: Callable[..., Execute]) -> None:
    starting = threading.Timer(0.3, station.start)
    starting.start()
    assert make(station.layout.root)("A01", _ARRAY).data["sum"] == _SUM
    starting.join()


def test_absent_daemon_is_said_when_patience_ends(station: StationProcess, make: Callable[..., Execute]) -> None:
    with pytest.raises(NotReached, match=r"runner\.sock: no such file.*pvctl run"):
        make(station.layout.root, connect_timeout=0)("A01", _ARRAY)
    station.start()
    station.wait_until_up()
    station.kill()
    with pytest.raises(NotReached, match="connection refused"):
        make(station.layout.root, connect_timeout=0.05)("A01", _ARRAY)
    with pytest.raises(NotReached, match="connection refused"):
        make(station.layout.root)("A01", _ARRAY, timeout=0.05)


def test_connection_that_went_stale_is_replaced(station: StationProcess) -> None:
    with Client(store=station.layout.root) as client:
        station.start()
        first = client.execute("A01", _ARRAY).request_id
        station.kill()
        station.start()
        assert client.execute("A01", _ARRAY).request_id != first


@pytest.mark.parametrize("image", [_ARRAY, file_of("png")])
def test_call_in_flight_when_the_daemon_is_killed_is_unknown(
    station: StationProcess, make: Callable[..., Execute], image: Any
) -> None:
    station.start()
    killer = threading.Thread(target=lambda: (eventually(lambda: "hang" in station.calls()), station.kill()))
    killer.start()
    with pytest.raises(UnknownOutcome, match="unknown: the connection was closed before the answer came") as caught:
        make(station.layout.root)("A01", image, step_desc="hang")
    killer.join()
    assert caught.value.details == {"outcome": "unknown"}
    assert station.calls() == ["hang"], "what may have been carried out is not tried again by itself"


def test_unknown_outcome_is_tried_again_where_the_caller_says_so(
    station: StationProcess, make: Callable[..., Execute]
) -> None:
    def kill_and_start() -> None:
        eventually(lambda: station.calls() == ["hang once"])
        station.kill()
        station.start()

    station.start()
    killer = threading.Thread(target=kill_and_start)
    killer.start()
    execute = make(station.layout.root, connect_timeout=30)
    answer = execute("A01", _ARRAY, step_desc="hang once", retry_unknown=True)
    killer.join()
    assert answer.status == "OK"
    assert station.calls() == ["hang once", "hang once"]


def test_threads_share_a_client_while_the_daemon_is_killed_again_and_again(station: StationProcess) -> None:
    """Every call ends as an answer of its own or as unknown; what is answered was noted, nothing is answered twice."""
    station.start()
    ended: list[str] = []

    def call_often(client: Client, thread: int) -> None:
        for number in range(60):
            image = np.full((2, 2), number, np.uint8)
            try:
                assert client.execute("A01", image, step_desc=f"{thread}-{number}").data["sum"] == 4 * number
                ended.append(f"{thread}-{number}")
            except UnknownOutcome:
                ended.append(f"{thread}-{number} unknown")

    with Client(store=station.layout.root) as client:
        threads = [threading.Thread(target=call_often, args=(client, thread)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for count in (20, 80):
            eventually(lambda count=count: len(station.calls()) >= count)
            station.kill()
            station.start()
        for thread in threads:
            thread.join()
    assert len(ended) == 240
    calls = station.calls()
    assert len(calls) == len(set(calls)), "a call that may have been carried out was tried again"
    assert {name for name in ended if "unknown" not in name} <= set(calls)


def test_caller_s_time_ends_the_waiting(station: StationProcess, make: Callable[..., Execute]) -> None:
    station.start()
    station.wait_until_up()
    with pytest.raises(CallError) as caught:
        make(station.layout.root)("A01", _ARRAY, step_desc="hang", timeout=0.1)
    assert (caught.value.code, caught.value.details) == (Code.timeout, {"caller_timeout": True})


async def test_cancelled_call_leaves_nothing(station: StationProcess) -> None:
    station.start()
    await asyncio.to_thread(station.wait_until_up)
    async with AsyncClient(store=station.layout.root) as client:
        call = asyncio.create_task(client.execute("A01", np.zeros((800, 800, 3), np.uint8), step_desc="hang"))
        await asyncio.to_thread(eventually, lambda: station.calls() == ["up", "hang"])
        assert len(station.images()) == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert station.images() == []


async def test_many_calls_at_once(station: StationProcess) -> None:
    station.start()
    async with AsyncClient(store=station.layout.root) as client:
        images = [np.full((2, 2), number, np.uint8) for number in range(50)]
        found = await asyncio.gather(*(client.execute("A01", image) for image in images))
    assert [each.data["sum"] for each in found] == [4 * number for number in range(50)]


def test_what_is_no_address_is_refused() -> None:
    for options in ({}, {"store": "a", "url": "http://b"}, {"url": "ftp://b"}, {"url": "runtime_store"}):
        with pytest.raises(ControllerError, match="pass"):
            Client(**options)


def test_import_is_light() -> None:
    code = "import sys, controller.client; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"asyncio", "numpy", "pydantic", "starlette", "uvicorn", "controller.runner"})
