"""mosec: a server in Rust with workers in Python; msgpack, as its documentation has it for bytes.

`python -m benchmarks.peers.mosec --port N …` is the server itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from mosec import Server, Worker
from mosec.mixin import MsgpackMixin

from benchmarks.peers.peer import VERSIONS, Call
from benchmarks.peers.restarted import Restarted
from benchmarks.peers.serving import Posting
from benchmarks.peers.work import answer


class Work(MsgpackMixin, Worker):
    """The one stage of the server."""

    def forward(self, data: Any) -> Any:
        arrays = [np.frombuffer(data[role], np.uint8).reshape(data["shape"]) for role in ("picture", "guide")]
        return answer(*arrays, VERSIONS[0])


class Mosec(Restarted):
    """One mosec server with one worker."""

    ways = ("HTTP, msgpack",)
    path = "/inference"
    distributions = ("mosec", "msgpack")
    why_not = "a running server keeps its workers' code: a new version is a restart behind a proxy"

    def command(self, folder: Path, port: int) -> list[str]:
        command = [sys.executable, "-m", "benchmarks.peers.mosec", "--address", "127.0.0.1", "--port", str(port)]
        limits = ["--timeout", "30000", "--max-request-size", str(64 * 1024 * 1024), "--log-level", "warning"]
        return [*command, *limits, "--path", str(folder / "ipc")]

    def caller(self, way: str) -> Call:
        del way
        posting = Posting.to(self._port)

        def call(picture: np.ndarray, guide: np.ndarray) -> Any:
            document = {"picture": picture.data.cast("B"), "guide": guide.data.cast("B"), "shape": picture.shape}
            return msgpack.unpackb(posting.post(self.path, [msgpack.packb(document)], "application/msgpack"))

        return call


if __name__ == "__main__":
    server = Server()
    server.append_worker(Work, num=1)
    server.run()
