"""A server on a store of its own with the fake station, and a plain HTTP client from the standard library."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.http.application import application
from controller.http.request_body import BodyLimits
from controller.http.server import SocketServer
from controller.store.layout import StoreLayout
from tests.station.fake import FakePlane, FakeStation
from tests.waiting import HANGS


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        assert self.json.keys() == {"error"}
        error: dict[str, Any] = self.json["error"]
        assert error.keys() == {"code", "name", "message", "details"}
        assert "Traceback" not in error["message"]
        return error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("station", timeout=HANGS)
        self._folder = path.parent

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            self.sock.settimeout(HANGS)
            self.sock.connect(f"/proc/self/fd/{folder}/runner.sock")
        finally:
            os.close(folder)


def ask(
    path: Path, method: str, target: str, body: bytes | None = None, kind: str = "application/json", **headers: str
) -> Reply:
    """One request over a connection of its own."""
    connection = _UnixConnection(path)
    try:
        connection.request(method, target, body, {**headers, **({} if body is None else {"Content-Type": kind})})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def form(**parts: bytes) -> tuple[bytes, str]:
    """A multipart body and its Content-Type."""
    body = b"".join(
        b'--xyz\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n\r\n%s\r\n' % (name.encode(), data)
        for name, data in parts.items()
    )
    return body + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


@dataclass
class ServedStation:
    layout: StoreLayout
    fake: FakeStation
    limits: BodyLimits

    @property
    def plane(self) -> FakePlane:
        return self.fake.plane

    async def ask(
        self, method: str, target: str, body: bytes | None = None, kind: str = "application/json", **headers: str
    ) -> Reply:
        return await asyncio.to_thread(ask, self.layout.socket, method, target, body, kind, **headers)

    async def detect(self, pid: str = "A01", **parts: bytes) -> Reply:
        return await self.ask("POST", f"/v1/pids/{pid}/execute", *form(**parts))


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[ServedStation]:
    layout = StoreLayout.at(tmp_path / "store")
    layout.images.mkdir(parents=True)
    fake, limits = FakeStation(), BodyLimits(each=4 << 20, total=6 << 20, patience=20)
    server = SocketServer(application(fake, layout, limits), layout)
    await server.start()
    yield ServedStation(layout, fake, limits)
    fake.events.close()
    await server.stop(1)
    assert (fake.plane.places, limits.held) == (0, 0)
