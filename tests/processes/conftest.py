"""A store for processes, and the proof that every test leaves nothing of it running or lying about."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.calls.detection import detect, smoke
from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.host.environment import TOKEN_VARIABLE
from controller.host.identity import find_processes
from controller.images import shared_folder
from controller.model.observed import ProcessKey
from controller.processes import record_files
from controller.processes.census import end_all
from controller.processes.pool import PoolObserver, ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout
from tests.waiting import until

ADAPTER = Path(__file__).with_name("scripted_adapter.py")
KEY = ProcessKey("screw-check", "screw-check", "1.0.0")

pytestmark = pytest.mark.real


def now() -> str:
    return "2026-01-02T03:04:05Z"


def running(layout: StoreLayout) -> list[int]:
    """Return the processes that carry a token of the store."""
    return [who.os_pid for who, _ in find_processes(TOKEN_VARIABLE, record_files.token_prefix(layout.run))]


def runner_of(layout: StoreLayout) -> ProcessPool:
    return ProcessPool(layout, python=sys.executable, smoke=smoke, now=now)


class Listener(PoolObserver):
    """Remembers what a pool tells, and takes `drain` seconds of the time that a process has to stop."""

    def __init__(self, pool: ProcessPool, drain: float = 0.0) -> None:
        self.heard: list[tuple[str, ProcessKey]] = []
        self._drain = drain
        pool.subscribe(self)

    def process_ready(self, process: AlgorithmProcess) -> None:
        self.heard.append(("ready", process.key))

    def process_exited(self, process: AlgorithmProcess) -> None:
        self.heard.append(("exited", process.key))

    async def process_stopping(self, process: AlgorithmProcess, patience: float) -> None:
        self.heard.append(("stopping", process.key))
        await asyncio.sleep(min(self._drain, patience))


def process_of(runner: ProcessPool, key: ProcessKey = KEY) -> AlgorithmProcess:
    return next(process for process in runner.processes() if process.key == key)


async def until_busy(runner: ProcessPool, key: ProcessKey = KEY) -> None:
    """Wait until a process has a call."""
    await until(lambda: process_of(runner, key).state == "busy", "a call of the process")


async def call(runner: ProcessPool, request: DetectionRequest, key: ProcessKey = KEY) -> Detection:
    """One detection on one process, as a smoke call is made."""
    return await detect(process_of(runner, key), request)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[StoreLayout]:
    store = StoreLayout.at(tmp_path / "store")
    store.run.mkdir(parents=True)
    yield store
    left = running(store)
    files = [path.name for path, _ in record_files.files(store.run)]
    images = [path.name for path in shared_folder.files_of(store.images, record_files.token_prefix(store.run))]
    end_all(store)
    shutil.rmtree(shared_folder.memory_folder(store.images), ignore_errors=True)
    assert (left, files, images) == ([], [], [])


@pytest.fixture
def make_spec(tmp_path: Path, layout: StoreLayout) -> Callable[..., ProcessSpec]:
    """Specs of processes that run the scripted adapter; `start`, `generation` and `acts` go into its script."""
    package = tmp_path / "modules" / "procvision_algorithm_sdk"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copyfile(ADAPTER, package / "adapter.py")

    def make(
        start: str = "", generation: str = "0.3", key: ProcessKey = KEY, acts: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> ProcessSpec:  # fmt: skip
        folder = tmp_path / "work" / f"{key.deployment}-{key.version}-{key.replica}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "script.json").write_text(json.dumps({"start": start, "generation": generation, "acts": acts or {}}))
        spec = ProcessSpec(
            key=key,
            digest="sha256:0",
            python=sys.executable,
            working_directory=str(folder),
            log_path=str(layout.process_log(key.deployment, key.version, key.replica, shadow=key.shadow)),
            python_path=(str(package.parent),),
            start_timeout=20.0,
            call_timeout=20.0,
            stop_grace=1.0,
            smoke_pid="A01",
        )
        return dataclasses.replace(spec, **changes)

    return make
