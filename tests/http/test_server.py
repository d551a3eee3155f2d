"""The socket: its mode, what stood there before, long paths, a group's, and how the server ends."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from controller.client.pictures import encode
from controller.client.slots import Slots
from controller.errors import StoreError
from controller.http.application import application
from controller.http.server import SocketServer
from controller.images.leftovers import sweep_images
from controller.store.layout import StoreLayout
from tests.http.conftest import Reply, ServedStation, ask, form
from tests.http.test_execute import npy
from tests.station.fake import FakePlane, FakeStation
from tests.waiting import until


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def server_at(root: Path, plane: FakePlane | None = None, group: str | None = None) -> tuple[StoreLayout, SocketServer]:
    layout = StoreLayout.at(root)
    layout.images.mkdir(parents=True, exist_ok=True)
    return layout, SocketServer(application(FakeStation((plane or FakePlane()).execute), layout), layout, group=group)


async def detect(layout: StoreLayout) -> Reply:
    return await asyncio.to_thread(ask, layout.socket, "POST", "/v1/pids/A01/execute", *form(image=npy()))


async def test_only_the_owner_may_connect(station: ServedStation) -> None:
    assert (mode_of(station.layout.socket), mode_of(station.layout.run)) == (0o600, 0o700)


async def test_stale_socket_is_replaced_and_ours_removed(tmp_path: Path) -> None:
    layout, server = server_at(tmp_path / "store")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(layout.socket))
    await server.start()
    assert (await asyncio.to_thread(ask, layout.socket, "GET", "/healthz")).status == 200
    await server.stop(1)
    assert [path.name for path in layout.run.iterdir()] == ["images"]


async def test_socket_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    layout, first = server_at(tmp_path / "store")
    _, second = server_at(tmp_path / "store")
    await first.start()
    await second.start()
    await first.stop(1)
    assert (await asyncio.to_thread(ask, layout.socket, "GET", "/healthz")).status == 200
    await second.stop(1)


async def test_long_path_works(tmp_path: Path) -> None:
    layout, server = server_at(tmp_path / ("long-" * 30))
    assert len(str(layout.socket)) > 150
    await server.start()
    assert (await asyncio.to_thread(ask, layout.socket, "GET", "/healthz")).status == 200
    await server.stop(1)


async def test_group_may_connect_and_share_images(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    layout, server = server_at(tmp_path / "store", group=group)
    await server.start()
    assert (mode_of(layout.socket), mode_of(layout.run), mode_of(layout.images)) == (0o660, 0o710, 0o3770)
    assert {path.stat().st_gid for path in (layout.socket, layout.run, layout.images)} == {os.getgid()}
    await server.stop(1)


async def test_unknown_group_and_unusable_folder_are_said(tmp_path: Path) -> None:
    _, server = server_at(tmp_path / "store", group="no-such-group")
    with pytest.raises(StoreError, match=r"no group 'no-such-group'.*--socket-group"):
        await server.start()
    (tmp_path / "file").touch()
    blocked = SocketServer(application(FakeStation(), StoreLayout.at(tmp_path)), StoreLayout.at(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"cannot listen at .*runner\.sock"):
        await blocked.start()


async def test_call_in_flight_finishes_while_the_server_ends(tmp_path: Path) -> None:
    plane = FakePlane()
    plane.gate = asyncio.Event()
    layout, server = server_at(tmp_path / "store", plane)
    await server.start()
    call = asyncio.create_task(
        asyncio.to_thread(ask, layout.socket, "POST", "/v1/pids/A01/execute", *form(image=npy()))
    )
    await until(lambda: plane.places == 1)
    ending = asyncio.create_task(server.stop(10))
    await until(lambda: not layout.socket.exists())
    plane.gate.set()
    assert (await call).status == 200
    await ending


async def test_call_that_outlasts_the_end_is_unknown(tmp_path: Path) -> None:
    plane = FakePlane()
    plane.gate = asyncio.Event()
    layout, server = server_at(tmp_path / "store", plane)
    await server.start()
    call = asyncio.create_task(
        asyncio.to_thread(ask, layout.socket, "POST", "/v1/pids/A01/execute", *form(image=npy()))
    )
    await until(lambda: plane.places == 1)
    await server.stop(0.01)
    reply = await call
    assert (reply.status, reply.error["code"], reply.error["details"]) == (503, 1000, {"outcome": "unknown"})
    assert plane.cancelled == 1


def test_sweep_takes_what_killed_clients_left_and_nothing_else(tmp_path: Path) -> None:
    slots = Slots()
    held = slots.put(tmp_path, encode(b"pixels", "the image"))
    for name in ("client-1-dead.npy", "client-1-dead.tmp", "host-app.npy", "other.npy"):
        (tmp_path / name).touch()
    assert sweep_images(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {f"{held.id}.npy", "host-app.npy", "other.npy"}
    slots.give_back(held)
    assert sweep_images(tmp_path) == 0, "its client keeps it for the next picture"
    slots.clear()
    assert sweep_images(tmp_path / "absent") == 0
