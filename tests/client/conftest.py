"""Stations in processes of their own, and both clients behind one way to call them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.client import AsyncClient, Client, Detection
from controller.store.layout import StoreLayout
from tests.waiting import HANGS

ROOT = Path(__file__).resolve().parents[2]


class StationProcess:
    """The store of a station whose process can be started, killed and started again."""

    def __init__(self, layout: StoreLayout) -> None:
        self.layout = layout
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.client.station_process", str(self.layout.root)], cwd=ROOT
        )

    def wait_until_up(self) -> None:
        with Client(store=self.layout.root, connect_timeout=HANGS) as client:
            client.execute("A01", memoryview(bytes(12)).cast("B", (2, 2, 3)), step_desc="up")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def calls(self) -> list[str]:
        notes = self.layout.root / "calls"
        return notes.read_text().split("\n")[:-1] if notes.exists() else []

    def images(self) -> list[str]:
        return [path.name for path in self.layout.images.iterdir()] if self.layout.images.exists() else []


@pytest.fixture
def station(tmp_path: Path) -> Iterator[StationProcess]:
    process = StationProcess(StoreLayout.at(tmp_path / "store"))
    process.layout.root.mkdir()
    yield process
    process.kill()
    assert process.images() == []


Execute = Callable[..., Detection]


def blocking(store: Path, **options: Any) -> Execute:
    return Client(store=store, **options).execute


def asynchronous(store: Path, **options: Any) -> Execute:
    def execute(*arguments: Any, **keywords: Any) -> Detection:
        async def call() -> Detection:
            async with AsyncClient(store=store, **options) as client:
                return await client.execute(*arguments, **keywords)

        return asyncio.run(call())

    return execute


@pytest.fixture(params=[blocking, asynchronous])
def make(request: pytest.FixtureRequest) -> Callable[..., Execute]:
    """Makes `execute` of either client for a store."""
    maker: Callable[..., Execute] = request.param
    return maker
