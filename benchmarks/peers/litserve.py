"""LitServe: one worker; pictures as files of a form, as its documentation has it for images.

`python -m benchmarks.peers.litserve PORT` is the server itself. Annotations are objects here: LitServe looks at them.
"""

import sys
from pathlib import Path
from typing import Any, NoReturn

import litserve
import numpy as np
from fastapi import Request

from benchmarks.peers.peer import VERSIONS, Call, CannotSwitch
from benchmarks.peers.serving import Posting, Server, free_port, npy, releases
from benchmarks.peers.work import answer


class Work(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:
        """Nothing is loaded."""

    def decode_request(self, request: Request) -> Any:
        return [np.load(request[role].file) for role in ("picture", "guide")]

    def predict(self, x: Any) -> Any:
        return answer(*x, VERSIONS[0])

    def encode_response(self, output: Any) -> Any:
        return output


class LitServe:
    """One LitServe server with one worker."""

    ways = ("HTTP, multipart",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0

    def prepare(self) -> None:
        """Nothing: the model is this file."""

    def start(self) -> None:
        self._port = free_port()
        self._server = Server([sys.executable, "-m", "benchmarks.peers.litserve", str(self._port)], self._folder)
        self._server.until(lambda: bool(self.caller(self.ways[0])(*[np.zeros((4, 4, 3), np.uint8)] * 2)))

    def caller(self, way: str) -> Call:
        posting = Posting.to(self._port)
        return lambda picture, guide: posting.form("/predict", {"picture": npy(picture), "guide": npy(guide)})

    def switch(self, version: str) -> NoReturn:
        raise CannotSwitch("a running server keeps its model: a new version is a restart behind a proxy")

    def versions(self) -> str:
        return releases("litserve", "fastapi", "uvicorn", "numpy")

    def stop(self) -> None:
        self._server.stop()


if __name__ == "__main__":
    server = litserve.LitServer(Work(), accelerator="cpu", workers_per_device=1, timeout=30)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
