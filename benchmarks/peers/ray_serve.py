"""Ray Serve: one replica on a cluster of this machine alone; by HTTP, and by its handle from Python (object store)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.peer import VERSIONS, Call
from benchmarks.peers.serving import Posting, free_port, releases
from benchmarks.peers.work import answer


@serve.deployment(num_replicas=1)
class Work:
    """The deployment: raw pixels by HTTP, arrays by handle."""

    def __init__(self, version: str) -> None:
        self._version = version

    async def __call__(self, request: Request) -> dict[str, Any]:
        body = await request.body()
        shape = tuple(json.loads(request.headers["content-type"].partition("shape=")[2]))
        picture, guide = np.frombuffer(body, np.uint8).reshape(2, *shape)
        return answer(picture, guide, self._version)

    def detect(self, picture: np.ndarray, guide: np.ndarray) -> dict[str, Any]:
        return answer(picture, guide, self._version)


class RayServe:
    """A local cluster that lives as long as its driver."""

    ways = ("HTTP, raw bytes", "handle from Python")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0

    def prepare(self) -> None:
        """Nothing: the deployment is this file."""

    def start(self) -> None:
        self._port = free_port()
        ray.init(
            num_cpus=4, include_dashboard=False, _temp_dir=str(self._folder), object_store_memory=512 * 1024 * 1024,
            _node_ip_address="127.0.0.1", logging_level=logging.ERROR, log_to_driver=False,
        )  # fmt: skip
        serve.start(http_options={"host": "127.0.0.1", "port": self._port})
        self.switch(VERSIONS[0])

    def caller(self, way: str) -> Call:
        if way == "handle from Python":
            handle = serve.get_app_handle("work")
            return lambda picture, guide: handle.detect.remote(picture, guide).result(timeout_s=30)
        posting = Posting.to(self._port)

        def post(picture: np.ndarray, guide: np.ndarray) -> Any:
            media_type = f"application/octet-stream; shape={list(picture.shape)}"
            return json.loads(posting.post("/", [picture.data.cast("B"), guide.data.cast("B")], media_type))

        return post

    def switch(self, version: str) -> None:
        """Deploy the application again, as its documentation says for new code: a rolling update."""
        serve.run(Work.bind(version), name="work", route_prefix="/")

    def versions(self) -> str:
        return releases("ray", "starlette", "uvicorn", "numpy")

    def stop(self) -> None:
        serve.shutdown()
        ray.shutdown()
