"""This product: a real daemon, a real package, and `controller.client`, as a host application has it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import controller
from benchmarks.peers import work
from benchmarks.peers.peer import VERSIONS, Call
from benchmarks.peers.serving import Posting, npy, releases
from controller.client import Client
from controller.model.desired import DeploymentSpec
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

_PIDS = {"client": "A01", "multipart": "A01", "client, zeroCopy": "A02"}


class Ours:
    """The station's daemon with one algorithm process; a second one, of the same package, where zeroCopy is known."""

    def __init__(self, folder: Path) -> None:
        self._station = Station(folder / "station")
        self._daemon = Daemon(self._station)
        self._zero_copy = "images" in DeploymentSpec.model_fields
        self.ways = tuple(_PIDS) if self._zero_copy else tuple(_PIDS)[:2]

    def prepare(self) -> None:
        for version in VERSIONS:
            source = Algorithm(
                top=inspect.getsource(work),
                body=f"return ok(**answer(cur_image, guide_image, {version!r}))",
            )
            package = build_package(
                self._station.root / "deliveries", name="peers-work", version=version, source=source,
                supported_pids=("A01", "A02"),
            )  # fmt: skip
            self._station.pvctl("install", package)

    def start(self) -> None:
        self._desire(VERSIONS[0])
        if self._zero_copy:
            self._station.desire("work-zero-copy", "peers-work", VERSIONS[0], ["A02"], images={"zeroCopy": True})
        self._daemon.start()
        self._daemon.until(lambda status: status["converged"], "convergence")

    def _desire(self, version: str) -> None:
        self._station.desire("work", "peers-work", version, ["A01"])

    def caller(self, way: str) -> Call:
        if way == "multipart":
            posting = Posting.over_socket(self._station.store / "run" / "runner.sock")

            def post(picture: Any, guide: Any) -> Any:
                parts = {"image": npy(picture), **({} if guide is picture else {"guide_image": npy(guide)})}
                return posting.form("/v1/pids/A01/execute", parts)["data"]["debug"]

            return post
        client, pid = Client(store=self._station.store), _PIDS[way]

        def execute(picture: Any, guide: Any) -> Any:
            return client.execute(pid, picture, guide_image=None if guide is picture else guide).data["debug"]

        return execute

    def switch(self, version: str) -> None:
        """Save the edited YAML, as an operator or a pull does."""
        self._desire(version)

    def versions(self) -> str:
        return f"procvision-controller {controller.__version__}, {releases('procvision-algorithm-sdk', 'numpy')}"

    def stop(self) -> None:
        self._daemon.leave_nothing()
        self._station.pvctl("down", expect=None)
