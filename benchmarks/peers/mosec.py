"""mosec: a server in Rust with workers in Python; msgpack, as its documentation has it for bytes.

`python -m benchmarks.peers.mosec --port N …` is the server itself.
"""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from typing import Any, NoReturn

import msgpack
import numpy as np
from mosec import Server as MosecServer
from mosec import Worker
from mosec.mixin import MsgpackMixin

from benchmarks.peers.peer import VERSIONS, Call, CannotSwitch
from benchmarks.peers.serving import Posting, Server, free_port, releases
from benchmarks.peers.work import answer


class Work(MsgpackMixin, Worker):
    """The one stage of the server."""

    def forward(self, data: Any) -> Any:
        arrays = [np.frombuffer(data[role], np.uint8).reshape(data["shape"]) for role in ("picture", "guide")]
        return answer(*arrays, VERSIONS[0])


class Mosec:
    """One mosec server with one worker."""

    ways = ("HTTP, msgpack",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0

    def prepare(self) -> None:
        """Nothing: the model is this file."""

    def start(self) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "benchmarks.peers.mosec", "--address", "127.0.0.1", "--port", str(self._port)]
        limits = ["--timeout", "30000", "--max-request-size", str(64 * 1024 * 1024), "--log-level", "warning"]
        self._server = Server([*command, *limits, "--path", str(self._folder / "ipc")], self._folder)
        self._server.until(lambda: _answers(self.caller(self.ways[0])))

    def caller(self, way: str) -> Call:
        posting = Posting.to(self._port)

        def call(picture: np.ndarray, guide: np.ndarray) -> Any:
            document = {"picture": picture.data.cast("B"), "guide": guide.data.cast("B"), "shape": picture.shape}
            return msgpack.unpackb(posting.post("/inference", [msgpack.packb(document)], "application/msgpack"))

        return call

    def switch(self, version: str) -> NoReturn:
        raise CannotSwitch("a running server keeps its workers' code: a new version is a restart behind a proxy")

    def versions(self) -> str:
        return releases("mosec", "msgpack", "numpy")

    def stop(self) -> None:
        self._server.stop()


def _answers(call: Call) -> bool:
    try:
        return bool(call(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)))
    except http.client.HTTPException:
        return False


if __name__ == "__main__":
    server = MosecServer()
    server.append_worker(Work, num=1)
    server.run()
