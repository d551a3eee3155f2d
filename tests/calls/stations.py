"""A station for tests of the data plane: real processes of the scripted adapter, mappings, and who restarts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

from controller.calls.data_plane import DataPlane
from controller.calls.request import DetectionRequest
from controller.calls.service import Service
from controller.client.answers import Detection
from controller.errors import CallError
from controller.model.health import Timeouts
from controller.model.observed import ActiveMapping, ProcessKey
from controller.model.package import PackageRef
from controller.processes.pool import ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.processes.spec import ProcessSpec
from controller.processes.supervision import SupervisionLimits, Supervisor
from controller.store.active import ActiveMappings
from controller.store.layout import StoreLayout
from tests.processes.conftest import KEY, runner_of
from tests.processes.test_process import ask

NEXT = dataclasses.replace(KEY, version="1.1.0")
TWIN = dataclasses.replace(KEY, replica=1)
NEIGHBOUR = ProcessKey("neighbour", "neighbour", "1.0.0")


class Station:
    """A pool with supervisor and data plane, and the mappings. `ended` is what the supervisor told of.

    What ended and is among `restarts` is started again.
    """

    def __init__(self, layout: StoreLayout) -> None:
        layout.active.mkdir(exist_ok=True)
        self.active = ActiveMappings(layout)
        self.runner: ProcessPool = runner_of(layout)
        self.ended: list[tuple[ProcessKey, str]] = []
        self.restarts: dict[ProcessKey, ProcessSpec] = {}
        self.services: dict[str, Service] = {}
        self._starting: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        await self.runner.open()
        self.supervisor = Supervisor(self.runner, on_exited=self._heard)
        self.plane = DataPlane(self.runner, self.active)

    def _heard(self, key: ProcessKey, why: str) -> None:
        self.ended.append((key, why))
        if key in self.restarts:
            self._starting.add(asyncio.create_task(self.runner.start(self.restarts[key])))

    def switch(self, pid: str, ref: PackageRef) -> None:
        self.active.write_all({pid: ActiveMapping(ref.name, ref.version, "2026-01-02T03:04:05Z")}, lambda _: None)

    def serve(self, *pids: str, deployment: str = KEY.deployment, ref: PackageRef = KEY.ref, **limits: Any) -> None:
        """Switch PIDs to a version and give the plane their service beside what it has already."""
        for pid in pids:
            self.switch(pid, ref)
        service = Service(**{"deployment": deployment, "pids": pids, "call_timeout": 20.0, **limits})
        self.services[deployment] = service
        self.plane.configure(self.services)
        timeouts = Timeouts.model_construct(call=service.call_timeout, start=service.start_timeout)
        self.runner.configure({deployment: timeouts}, {deployment: service.input})

    def limit(self, deployment: str = KEY.deployment, **limits: Any) -> None:
        """Give the supervisor limits for a deployment, which hold from now on, also for its next ping."""
        self.supervisor.configure({deployment: SupervisionLimits(**limits)})

    def request(self, pid: str = "A01", do: str = "", **given: Any) -> DetectionRequest:
        return dataclasses.replace(ask(do, **given), pid=pid)

    async def call(self, pid: str = "A01", do: str = "", **given: Any) -> Detection:
        return await self.plane.execute(self.request(pid, do, **given))

    def calling(self, pid: str = "A01", do: str = "", **given: Any) -> asyncio.Task[Detection]:
        return asyncio.create_task(self.call(pid, do, **given))

    async def failure(self, pid: str = "A01", do: str = "", **given: Any) -> CallError:
        try:
            answer = await self.call(pid, do, **given)
        except CallError as error:
            return error
        raise AssertionError(f"no failure but {answer}")

    def process(self, key: ProcessKey = KEY) -> AlgorithmProcess:
        return next(process for process in self.runner.processes() if process.key == key)

    def os_pid(self, key: ProcessKey = KEY) -> int:
        return self.process(key).os_pid

    async def close(self) -> None:
        self.supervisor.stop()
        await self.plane.stop()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for process in self.runner.processes():
            await self.runner.stop(process.key, drain=0)
        await self.runner.close()


@contextlib.asynccontextmanager
async def station(layout: StoreLayout, *specs: ProcessSpec) -> AsyncIterator[Station]:
    """A station with these processes; A01 is active on the first test version, the neighbour, if any, on B01."""
    opened = Station(layout)
    await opened.open()
    try:
        opened.supervisor.start()
        await opened.plane.start()
        await asyncio.gather(*(opened.runner.start(spec) for spec in specs))
        opened.serve("A01", "A02")
        opened.serve("B01", deployment=NEIGHBOUR.deployment, ref=NEIGHBOUR.ref)
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def neighbour_undisturbed(opened: Station, calls: int = 20) -> AsyncIterator[None]:
    """Prove that the neighbour answered every one of its calls, and at least so many, while the block ran."""
    over = asyncio.Event()

    async def go_on() -> int:
        answered = 0
        while not (over.is_set() and answered >= calls):
            answer = await opened.call("B01", n=answered)
            assert answer.data["given"]["n"] == answered
            answered += 1
        return answered

    going_on = asyncio.create_task(go_on())
    try:
        yield
    finally:
        over.set()
        await going_on
